//! Sidecar.

use std::collections::{BTreeMap, BTreeSet};

use crds::networking::{
    CaptureMode, IstioEgressListener, IstioIngressListener, OutboundTrafficPolicy, OutboundTrafficPolicyMode,
    ServerTlsMode, ServerTlsSettings, SidecarPort, SidecarSpec,
};

use super::{
    destination_rule::connection_pool,
    findings::{At, Findings},
    gateway::complete_host,
    http_route,
    names::{self, Protocol},
    service_entry::labels_selector,
    tls,
};

pub(super) fn check(spec: &SidecarSpec, namespace: &str, found: &mut Findings) {
    let at = At::spec();
    if let Some(selector) = &spec.workload_selector {
        labels_selector(&at.field("workloadSelector"), selector, found);
    }
    let empty = spec.egress.is_empty()
        && spec.ingress.is_empty()
        && spec.outbound_traffic_policy.is_none()
        && spec.inbound_connection_pool.is_none();
    found.error_if(
        empty,
        &at,
        "says nothing; add egress, ingress, outboundTrafficPolicy or inboundConnectionPool",
    );
    let mut ports = BTreeSet::new();
    for (index, listener) in spec.ingress.iter().enumerate() {
        let at = at.item("ingress", index);
        ingress(&at, listener, found);
        found.error_if(
            !ports.insert(listener.port.number),
            &at.field("port.number"),
            "another listener has the same port",
        );
    }
    if let Some(pool) = &spec.inbound_connection_pool {
        connection_pool(&at.field("inboundConnectionPool"), pool, found);
    }
    egress(&at, &spec.egress, namespace, found);
    if let Some(policy) = &spec.outbound_traffic_policy {
        outbound(&at.field("outboundTrafficPolicy"), policy, found);
    }
}

fn port(at: &At, port: &SidecarPort, found: &mut Findings) {
    if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
        found.check(&at.field("name"), names::port_name(name));
    }
    found.check(&at.field("protocol"), names::protocol(port.protocol.as_deref()));
    found.error_if(
        port.target_port.is_some_and(|target| target > 0),
        &at.field("targetPort"),
        "has no effect on a Sidecar; remove it",
    );
}

fn ingress(at: &At, listener: &IstioIngressListener, found: &mut Findings) {
    let port_at = at.field("port");
    port(&port_at, &listener.port, found);
    found.check(&port_at.field("number"), names::port(listener.port.number.unwrap_or_default()));
    if let Some(bind) = listener.bind.as_deref().filter(|bind| !bind.is_empty()) {
        found.check(&at.field("bind"), names::ip(bind));
    }
    if let Some(endpoint) = listener.default_endpoint.as_deref().filter(|text| !text.is_empty()) {
        found.check(&at.field("defaultEndpoint"), default_endpoint(endpoint));
    }
    if let Some(settings) = &listener.tls {
        ingress_tls(&at.field("tls"), settings, &listener.port, found);
    }
    if let Some(pool) = &listener.connection_pool {
        connection_pool(&at.field("connectionPool"), pool, found);
        let http = Protocol::parse(listener.port.protocol.as_deref().unwrap_or_default())
            .is_some_and(Protocol::is_http);
        if pool.http.is_some() && !http {
            found.warning(
                &at.field("connectionPool.http"),
                "has no effect, because the port's protocol is not HTTP",
            );
        }
    }
}

/// `127.0.0.1:PORT`, `0.0.0.0:PORT`, `[::1]:PORT`, `[::]:PORT`, `:PORT` or `unix:///path`.
fn default_endpoint(text: &str) -> Result<(), String> {
    if let Some(path) = text.strip_prefix("unix://") {
        return names::unix_socket(path);
    }
    let parsed = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u32>().ok()?)));
    match parsed {
        Some(("" | "127.0.0.1" | "0.0.0.0" | "[::1]" | "[::]", port)) => names::port(port),
        _ => Err(format!(
            "{text:?} is none of 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT and unix:///path"
        )),
    }
}

fn ingress_tls(at: &At, settings: &ServerTlsSettings, port: &SidecarPort, found: &mut Findings) {
    for (name, present) in [
        ("subjectAltNames", !settings.subject_alt_names.is_empty()),
        ("httpsRedirect", settings.https_redirect == Some(true)),
        ("credentialName", settings.credential_name.is_some()),
        ("credentialNames", !settings.credential_names.is_empty()),
        ("tlsCertificates", !settings.tls_certificates.is_empty()),
    ] {
        found.error_if(present, &at.field(name), "is not possible in a Sidecar");
    }
    if let Some(mode @ (ServerTlsMode::IstioMutual | ServerTlsMode::AutoPassthrough)) = settings.mode {
        found.error(&at.field("mode"), format!("{mode} is not possible in a Sidecar"));
    }
    let protocol = Protocol::parse(port.protocol.as_deref().unwrap_or_default());
    found.error_if(
        !protocol.is_some_and(Protocol::is_tls),
        at,
        "is possible only for the protocols HTTPS and TLS",
    );
    tls::server(at, settings, found);
}

fn egress(at: &At, listeners: &[IstioEgressListener], namespace: &str, found: &mut Findings) {
    let (mut numbers, mut sockets) = (BTreeSet::new(), BTreeSet::new());
    for (index, listener) in listeners.iter().enumerate() {
        let at = at.item("egress", index);
        match &listener.port {
            None => {
                found.error_if(index + 1 != listeners.len(), &at, "a listener without port must be the last");
            }
            Some(of) => {
                port(&at.field("port"), of, found);
                bind(&at, listener, of.number.unwrap_or_default(), found);
                let bind = listener.bind.as_deref().unwrap_or_default();
                let duplicate = match of.number.unwrap_or_default() {
                    0 => !sockets.insert(bind),
                    number => !numbers.insert(number),
                };
                found.error_if(duplicate, &at.field("port"), "another listener has the same port or socket");
            }
        }
        hosts(&at, &listener.hosts, namespace, found);
    }
}

fn bind(at: &At, listener: &IstioEgressListener, number: u32, found: &mut Findings) {
    let bind = listener.bind.as_deref().unwrap_or_default();
    if number != 0 {
        found.check(&at.field("port.number"), names::port(number));
        if !bind.is_empty() {
            found.check(&at.field("bind"), names::ip(bind));
        }
        return;
    }
    match bind.strip_prefix("unix://") {
        Some(path) => found.check(&at.field("bind"), names::unix_socket(path)),
        None => found.error(&at.field("port.number"), "is needed, unless bind is a Unix socket"),
    }
    let captured = listener.capture_mode == Some(CaptureMode::Iptables);
    found.error_if(
        captured,
        &at.field("captureMode"),
        "a Unix socket can't be captured; use DEFAULT or NONE",
    );
}

fn hosts(at: &At, hosts: &[String], own: &str, found: &mut Findings) {
    found.error_if(hosts.is_empty(), &at.field("hosts"), "needs at least one host, such as \"./*\"");
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (index, text) in hosts.iter().enumerate() {
        let at = at.item("hosts", index);
        let Some((namespace, host)) = text.split_once('/') else {
            found.error(&at, format!("{text:?} is not of the form namespace/dnsName, such as \"./*\""));
            continue;
        };
        let excluded = namespace.strip_prefix('~');
        let named = excluded.unwrap_or(namespace);
        if !(matches!(named, "*" | ".") || names::is_label(named) || (excluded.is_some() && named.is_empty()))
        {
            found.error(&at, format!("{namespace:?} is none of \"*\", \".\", \"~\" and a namespace's name"));
        }
        found.check(&at, complete_host(host));
        if excluded.is_none() {
            let hosts = seen.entry(if namespace == "." { own } else { namespace }).or_default();
            let twice = hosts.contains("*") || hosts.contains(host) || (host == "*" && !hosts.is_empty());
            if twice {
                found.warning(&at, format!("{text:?} is covered by, or covers, another host of the list"));
            }
            hosts.insert(host);
        }
    }
    if seen.len() > 1 && seen.get("*").is_some_and(|hosts| hosts.contains("*")) {
        found.warning(&at.field("hosts"), "\"*/*\" means everything; the other hosts have no effect");
    }
}

fn outbound(at: &At, policy: &OutboundTrafficPolicy, found: &mut Findings) {
    let Some(proxy) = &policy.egress_proxy else { return };
    let at = at.field("egressProxy");
    if policy.mode.unwrap_or_default() != OutboundTrafficPolicyMode::AllowAny {
        return found.error(&at, "needs mode ALLOW_ANY");
    }
    found.check(&at.field("host"), names::domain(&proxy.host));
    found.error_if(proxy.port.is_none(), &at.field("port"), "is needed");
    http_route::destination(&at, proxy, found);
}
