//! Hosts of VirtualServices that no service declares. They are routed on port 80, where people expect such hosts, and on
//! the ports of the services that are listed beside them.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::config::VirtualService;
use model::{Mesh, Protocol, Service, Text, host_matches, is_wildcard};

use super::{Binding, rules};
use crate::context::Context;

/// Where such hosts are routed by themselves.
const USUAL: u16 = 80;

/// Whether no service of the client's declares a host of a VirtualService on a port.
pub(crate) fn is_other(context: &Context<'_>, host: &str, port: u16) -> bool {
    let here = |service: &Service| service.port(port).is_some() && context.scope.sees(service, Some(port));
    if !is_wildcard(host) {
        return !context.scope.service(host).is_some_and(|service| here(service));
    }
    // `*` and the like stand for nothing in particular.
    host.len() > 2
        && !on_port(context, port).any(|service| host_matches(host, &service.key.host) && here(service))
}

/// VirtualServices that list a host and hold on a port, oldest first.
pub(super) fn listing<'a>(
    context: &Context<'a>,
    host: &str,
    port: u16,
) -> impl Iterator<Item = &'a Arc<VirtualService>> {
    let context = *context;
    let listed = context.mesh.mesh_routes.get(host).into_iter().flat_map(|list| list.iter());
    listed.filter(move |service| context.scope.sees_routes(service) && holds_on(&context, service, port))
}

/// Whether a VirtualService that the client sees has rules for a host that no service declares.
pub(super) fn speaks(context: &Context<'_>, host: &str, port: u16) -> bool {
    let binding = Binding { port, tls: false, gateways: &super::sidecar::mesh() };
    let mut listed = listing(context, host, port).peekable();
    listed.peek().is_some()
        && is_other(context, host, port)
        && listed.any(|service| !rules(context, service, &binding).is_empty())
}

/// Whether a VirtualService has something to say on a port: on the usual one always, else if it speaks for a service
/// there. Who writes a wildcard speaks for those services that nobody speaks for more specifically.
fn holds_on(context: &Context<'_>, service: &Arc<VirtualService>, port: u16) -> bool {
    let http = |one: &Service| {
        one.port(port).is_some_and(|port| port.protocol.is_http() || port.protocol == Protocol::Auto)
            && context.scope.sees(one, Some(port))
    };
    let best = |one: &Service| {
        let first = context.mesh.virtual_services_for(&one.key.host, context.scope).next();
        first.is_some_and(|first| Arc::ptr_eq(first, service))
    };
    port == USUAL
        || service.mesh_hosts().any(|host| {
            if is_wildcard(host) {
                let covered = on_port(context, port).filter(|one| host_matches(host, &one.key.host));
                covered.into_iter().any(|one| http(one) && context.scope.chooses(one) && best(one))
            } else {
                context.scope.service(host).is_some_and(|one| http(one))
            }
        })
}

fn on_port<'a>(context: &Context<'a>, port: u16) -> impl Iterator<Item = &'a Arc<Service>> {
    let mesh = context.mesh;
    mesh.services_on(port).filter_map(|key| mesh.services.get(key))
}

/// Ports on which hosts of a VirtualService may be routed beside services that it lists too.
pub(crate) fn ports_beside(mesh: &Mesh, service: &VirtualService) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    if service.mesh_hosts().nth(1).is_none() {
        return ports;
    }
    for host in service.mesh_hosts() {
        let numbers = |one: &Service| one.ports.iter().map(|port| port.number).collect::<Vec<_>>();
        if is_wildcard(host) {
            let covered = mesh.services.values().filter(|one| host_matches(host, &one.key.host));
            ports.extend(covered.flat_map(|one| numbers(one)));
        } else {
            ports.extend(mesh.services_of(host).flat_map(|one| numbers(one)));
        }
    }
    ports
}

/// Hosts that may have to be routed though no service declares them, with the port.
pub(crate) fn others(mesh: &Mesh) -> BTreeSet<(u16, &Text)> {
    let usual = mesh.mesh_routes.keys().map(|host| (USUAL, host));
    let beside = mesh.virtual_services.values().flat_map(|service| {
        let ports = ports_beside(mesh, service);
        ports.into_iter().flat_map(|port| service.mesh_hosts().map(move |host| (port, host)))
    });
    usual.chain(beside).collect()
}
