//! Gateways.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::networking::{Server, ServerTlsMode};

use super::FindingKind::{Conflict, Empty, Ignored, UnresolvedReference};
use super::list::{At, List};
use super::{credentials, places};
use crate::config::Gateway;
use crate::mesh::Mesh;
use crate::value::{Protocol, TargetPort, Workload};

pub(super) fn look(mesh: &Mesh, gateway: &Gateway, list: &mut List) {
    let at = At::spec();
    let proxies: Vec<&Arc<Workload>> =
        mesh.workloads.values().filter(|workload| workload.labels.satisfy(&gateway.selector)).collect();
    if proxies.is_empty() && !gateway.selector.is_empty() {
        list.warning(
            Empty,
            &at.field("selector"),
            format_args!(
                "no workload has the labels {}, so that nothing serves it; the gateway's pods need them",
                places::shown(&gateway.selector)
            ),
        );
    }
    let namespaces: BTreeSet<_> = proxies.iter().map(|proxy| proxy.instance.namespace.clone()).collect();
    for (index, server) in gateway.servers.iter().enumerate() {
        let at = at.item("servers", index);
        others(mesh, gateway, &proxies, server, &at, list);
        credentials::of_server(mesh, server, &namespaces, &at.field("tls"), list);
        port(mesh, &proxies, server, &at, list);
    }
    if !mesh.gateway_routes.contains_key(&gateway.meta.name) && gateway.servers.iter().any(needs_routes) {
        list.info(
            Empty,
            &at,
            "no VirtualService is bound to it: HTTP requests are answered with 404 and connections are closed",
        );
    }
}

fn needs_routes(server: &Server) -> bool {
    let tls = server.tls.as_ref();
    tls.is_none_or(|tls| tls.https_redirect != Some(true) && tls.mode != Some(ServerTlsMode::AutoPassthrough))
}

/// What becomes of a connection to a server: routed as HTTP, told apart by the server name in TLS, or forwarded as bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Http,
    ServerName,
    Bytes,
}

fn way(server: &Server) -> Way {
    match Protocol::parse(&server.port.protocol) {
        Protocol::Https | Protocol::Tls => Way::ServerName,
        protocol if protocol.is_http() => Way::Http,
        _ => Way::Bytes,
    }
}

/// Servers of other Gateways on the same port of the same proxies.
fn others(
    mesh: &Mesh,
    gateway: &Gateway,
    proxies: &[&Arc<Workload>],
    server: &Server,
    at: &At,
    list: &mut List,
) {
    let shares = |other: &Gateway| {
        other.meta.name != gateway.meta.name
            && (other.selector == gateway.selector
                || proxies.iter().any(|proxy| proxy.labels.satisfy(&other.selector)))
    };
    let served = gateway.hosts_of(server);
    for other in mesh.gateways.values().filter(|other| shares(other)) {
        let older = other.meta.age_order() < gateway.meta.age_order();
        for theirs in other
            .servers
            .iter()
            .filter(|theirs| theirs.port.number == server.port.number && theirs.bind == server.bind)
        {
            let (name, number) = (&other.meta.name, server.port.number);
            if way(theirs) != way(server) {
                let message = format!(
                    "Gateway {name} has port {number} as {} and this one as {} on the same proxies, where one of the two \
                     cannot be told from the other; use another port",
                    theirs.port.protocol, server.port.protocol
                );
                list.error(Conflict, &at.field("port"), message);
                continue;
            }
            let same =
                served.iter().find(|host| other.hosts_of(theirs).iter().any(|it| it.host == host.host));
            let Some(same) = same else { continue };
            match way(server) {
                Way::ServerName if older => list.error(
                    Conflict,
                    &at.field("hosts"),
                    format_args!(
                        "Gateway {name} is older and serves {} on port {number} of the same proxies; connections go \
                         there, and its certificate is used; take the host out of one of the two",
                        same.host
                    ),
                ),
                Way::ServerName => list.info(
                    Conflict,
                    &at.field("hosts"),
                    format_args!("Gateway {name} serves {} on port {number} too and is younger, so that this one counts", same.host),
                ),
                Way::Bytes if older => list.error(
                    Conflict,
                    &at.field("port"),
                    format_args!("Gateway {name} is older and takes every connection to port {number} of the same proxies; use another port"),
                ),
                Way::Bytes => {}
                Way::Http => list.info(
                    Conflict,
                    &at.field("hosts"),
                    format_args!("Gateway {name} serves {} on port {number} of the same proxies; routes of both are merged", same.host),
                ),
            }
        }
    }
}

/// Connections come through a Service, if the proxies have one.
fn port(mesh: &Mesh, proxies: &[&Arc<Workload>], server: &Server, at: &At, list: &mut List) {
    let Some(proxy) = proxies.first() else { return };
    let keys = mesh.services_in.get(&proxy.instance.namespace).into_iter().flatten();
    let services: Vec<_> = keys
        .filter_map(|key| mesh.services.get(key))
        .filter(|service| !service.selector.is_empty() && proxy.labels.satisfy(&service.selector))
        .collect();
    let number = server.port.number;
    let leads = |port: &crate::ServicePort| {
        u32::from(port.number) == number
            || matches!(&port.target, TargetPort::Number(target) if u32::from(*target) == number)
    };
    if let Some(service) = services.first()
        && !services.iter().flat_map(|service| &service.ports).any(leads)
    {
        let known: Vec<_> = service.ports.iter().map(|port| port.number.to_string()).collect();
        list.warning(
            UnresolvedReference,
            &at.field("port.number"),
            format_args!(
                "Service {}/{} in front of the gateway has no port {number}, only {}; add it there",
                service.key.namespace,
                service.name,
                known.join(", ")
            ),
        );
    }
    if server.hosts.is_empty() {
        list.warning(Ignored, &at.field("hosts"), "there are none, so that nothing is served");
    }
}
