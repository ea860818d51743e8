//! Gateways that a VirtualService is bound to.

use crds::networking::{Server, ServerTlsMode};

use super::super::FindingKind::{Ignored, Misplaced, UnresolvedReference};
use super::super::list::{At, List};
use crate::config::{Gateway, VirtualService};
use crate::mesh::{Mesh, of_namespace};
use crate::value::{NamespacedName, Protocol};

pub(super) fn look(mesh: &Mesh, service: &VirtualService, list: &mut List) {
    let at = At::spec().field("gateways");
    let mut found = Vec::new();
    for name in &service.gateways {
        match mesh.gateways.get(name) {
            Some(gateway) => found.push(&**gateway),
            None => missing(mesh, name, &at, list),
        }
    }
    if found.len() == service.gateways.len() && !found.is_empty() {
        hosts(service, &found, list);
    }
    conditions(service, list);
}

fn missing(mesh: &Mesh, name: &NamespacedName, at: &At, list: &mut List) {
    let own: Vec<&str> =
        of_namespace(&mesh.gateways, &name.namespace).map(|one| &*one.meta.name.name).collect();
    let elsewhere = mesh.gateways.keys().find(|other| other.name == name.name);
    let (kind, hint) = match (elsewhere, crds::closest(&name.name, &own)) {
        (Some(other), _) => (Misplaced, format!("did you mean {other}?")),
        (None, Some(meant)) => (UnresolvedReference, format!("did you mean {}/{meant}?", name.namespace)),
        (None, None) => (UnresolvedReference, "create it, or name another".to_owned()),
    };
    list.error(kind, at, format_args!("there is no Gateway {name}; {hint}"));
}

/// Hosts that none of the gateways serves, and rules that they have no use for.
fn hosts(service: &VirtualService, gateways: &[&Gateway], list: &mut List) {
    let namespace = &service.meta.name.namespace;
    let mut serving: Vec<&Server> = Vec::new();
    for (index, host) in service.hosts.iter().enumerate() {
        let before = serving.len();
        for gateway in gateways {
            let serves = |server: &&Server| {
                gateway.hosts_of(server).iter().any(|served| served.common(host, namespace).is_some())
            };
            serving.extend(gateway.servers.iter().filter(serves));
        }
        if serving.len() == before && !service.on_mesh {
            let names: Vec<_> = gateways.iter().map(|gateway| gateway.meta.name.to_string()).collect();
            let served: Vec<&str> = gateways
                .iter()
                .flat_map(|gateway| &gateway.servers)
                .flat_map(|server| &server.hosts)
                .map(String::as_str)
                .take(5)
                .collect();
            list.warning(
                Ignored,
                &At::spec().item("hosts", index),
                format_args!(
                    "{host} is none of the hosts that Gateway {} serves to namespace {namespace}: {}; \
                     add it to a server there",
                    names.join(", "),
                    served.join(", ")
                ),
            );
        }
    }
    let only_http =
        !service.spec.http.is_empty() && service.spec.tls.is_empty() && service.spec.tcp.is_empty();
    if only_http && !service.on_mesh && !serving.is_empty() && serving.iter().all(|server| is_opaque(server))
    {
        list.warning(
            Ignored,
            &At::spec().field("http"),
            "the Gateway's servers for these hosts pass TLS or bytes through unopened, so that http rules are not \
             used; write tls or tcp rules, or let the Gateway terminate TLS",
        );
    }
}

fn is_opaque(server: &Server) -> bool {
    let protocol = Protocol::parse(&server.port.protocol);
    let mode = server.tls.as_ref().and_then(|tls| tls.mode);
    let terminates =
        !matches!(mode, None | Some(ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough));
    !(protocol.is_http() || (protocol == Protocol::Https && terminates))
}

/// Conditions on gateways that the object is not bound to.
fn conditions(service: &VirtualService, list: &mut List) {
    let spec = &service.spec;
    let http = spec.http.iter().enumerate().flat_map(|(rule, of)| {
        of.matches.iter().enumerate().map(move |(index, one)| ("http", rule, index, &one.gateways))
    });
    let tls = spec.tls.iter().enumerate().flat_map(|(rule, of)| {
        of.matches.iter().enumerate().map(move |(index, one)| ("tls", rule, index, &one.gateways))
    });
    let tcp = spec.tcp.iter().enumerate().flat_map(|(rule, of)| {
        of.matches.iter().enumerate().map(move |(index, one)| ("tcp", rule, index, &one.gateways))
    });
    // A delegate's gateways are its roots'.
    for (kind, rule, index, gateways) in http.chain(tls).chain(tcp).filter(|_| !service.hosts.is_empty()) {
        let bound = |name: &String| match name.split_once('/') {
            None => service.on_mesh,
            Some((namespace, name)) => service.gateways.contains(&NamespacedName::new(namespace, name)),
        };
        if !gateways.is_empty() && !gateways.iter().any(bound) {
            list.warning(
                Ignored,
                &At::spec().item(kind, rule).item("match", index).field("gateways"),
                format_args!(
                    "the condition never holds: {} is not in spec.gateways; add it there",
                    gateways.join(", ")
                ),
            );
        }
    }
}
