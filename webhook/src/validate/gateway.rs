//! Gateway.

use std::collections::BTreeSet;

use crds::networking::{GatewaySpec, Server};

use super::{
    findings::{At, Findings},
    names::{self, Protocol},
    tls,
};

pub(super) fn check(spec: &GatewaySpec, name: &str, found: &mut Findings) {
    let at = At::spec();
    if !names::is_label(name) {
        found.error(&At::spec(), format!("the name {name:?} of a Gateway must be a DNS label, without dots"));
    }
    found.error_if(spec.servers.is_empty(), &at.field("servers"), "needs at least one server");
    let mut ports = BTreeSet::new();
    for (index, server) in spec.servers.iter().enumerate() {
        let at = at.item("servers", index);
        check_server(&at, server, found);
        found.error_if(
            !ports.insert(&server.port.name),
            &at.field("port.name"),
            "another server's port has the same name",
        );
    }
}

fn check_server(at: &At, server: &Server, found: &mut Findings) {
    found.error_if(server.hosts.is_empty(), &at.field("hosts"), "needs at least one host; \"*\" means all");
    for (index, host) in server.hosts.iter().enumerate() {
        found.check(&at.item("hosts", index), gateway_host(host));
    }
    port(at, server, found);
    bind(at, server, found);
    if let Some(settings) = &server.tls {
        tls::server(&at.field("tls"), settings, found);
    }
    if let Some(protocol) = Protocol::parse(&server.port.protocol) {
        tls::fits_protocol(at, server.tls.as_ref(), protocol, found);
        let redirect = server.tls.as_ref().is_some_and(|tls| tls.https_redirect == Some(true));
        if redirect && !protocol.is_http() {
            found.warning(&at.field("tls.httpsRedirect"), "makes sense only on a port of plain HTTP");
        }
    }
}

fn port(at: &At, server: &Server, found: &mut Findings) {
    let at = at.field("port");
    found.check(
        &at.field("protocol"),
        match server.port.protocol.as_str() {
            "" => Err("is needed".into()),
            name => names::protocol(Some(name)),
        },
    );
    let socket = server.bind.as_deref().is_some_and(|bind| bind.starts_with("unix://"));
    if server.port.number > 0 || !socket {
        found.check(&at.field("number"), names::port(server.port.number));
    }
    found.error_if(server.port.name.is_empty(), &at.field("name"), "is needed");
    found.error_if(
        server.port.target_port.is_some_and(|port| port > 0),
        &at.field("targetPort"),
        "has no effect on a Gateway; remove it",
    );
}

fn bind(at: &At, server: &Server, found: &mut Findings) {
    let at = at.field("bind");
    match server.bind.as_deref() {
        None | Some("") => {}
        Some(bind) => match bind.strip_prefix("unix://") {
            Some(path) => {
                found.check(&at, names::unix_socket(path));
                found.error_if(server.port.number != 0, &at, "a Unix socket needs port.number 0");
            }
            None => found.check(&at, names::ip(bind)),
        },
    }
}

/// `host`, or `namespace/host`; the host is complete, or has a wildcard as its first label.
fn gateway_host(text: &str) -> Result<(), String> {
    let host = match text.split_once('/') {
        Some((namespace, host)) => {
            if !matches!(namespace, "*" | ".") && !names::is_label(namespace) {
                return Err(format!("{namespace:?} is none of \"*\", \".\" and a namespace's name"));
            }
            host
        }
        None => text,
    };
    if names::is_ip(host) {
        return Ok(());
    }
    complete_host(host)
}

/// A host that isn't a short name.
pub(super) fn complete_host(host: &str) -> Result<(), String> {
    if host == "*" {
        return Ok(());
    }
    if !host.contains('.') {
        return Err(format!("{host:?} is a short name; write it in full, or * for all hosts"));
    }
    if host.contains('*') && !host.starts_with("*.") {
        return Err(format!("{host:?} has a wildcard that isn't a whole label"));
    }
    names::wildcard_domain(host)
}
