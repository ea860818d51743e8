//! All resources of a view, from nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Mesh, Protocol, Service, Text};
use xds::ResourceType;
use xds::names;

use crate::context::Context;
use crate::listener::{Unit, has_http_listener, units_of};
use crate::memo::{Memo, Shared};
use crate::resource::{Resource, Resources};
use crate::route::Host;
use crate::view::ProxyView;
use crate::{cluster, endpoints, gateway, listener, name_table, route, secret};

/// Resources by type.
pub(crate) type Set = Vec<(ResourceType, Arc<Resource>)>;

/// Generates everything that a view has. What other views of the same mesh share with it is not generated again.
pub fn generate(mesh: &Mesh, view: &ProxyView, memo: &Memo) -> Resources {
    let mut all = shared(mesh, view.shared(), memo);
    let context = Context::new(mesh, view, memo);
    if !context.is_gateway() {
        for (kind, resource) in own(&context) {
            all.insert(kind, resource);
        }
    }
    all
}

/// Everything but the workload's own ports.
fn shared(mesh: &Mesh, key: ProxyView, memo: &Memo) -> Resources {
    let known = memo.shared(&key).filter(|known| known.resources.made_from() == mesh.version);
    if let Some(known) = known {
        return known.resources;
    }
    let resources = anew(&Context::new(mesh, &key, memo));
    memo.keep(key, Shared { resources: resources.clone(), step: None });
    resources
}

/// Everything but the workload's own ports, from nothing.
pub(crate) fn anew(context: &Context<'_>) -> Resources {
    let mesh = context.mesh;
    let mut all = Resources::from_version(mesh.version);
    let mut insert = |set: Set| set.into_iter().for_each(|(kind, resource)| all.insert(kind, resource));
    insert(fixed(context));
    for service in mesh.services.values() {
        insert(of_service(context, service));
    }
    if context.is_gateway() {
        insert(gateway::gateway(context));
        return all;
    }
    insert(secret::of_rules(context));
    let mut units: BTreeSet<Unit> = BTreeSet::new();
    let mut hosts: BTreeSet<(u16, &Text)> = BTreeSet::new();
    for service in mesh.services.values() {
        units.extend(units_of(service));
        hosts.extend(service.ports.iter().map(|port| (port.number, &service.key.host)));
    }
    for unit in units {
        insert(
            listener::outbound(context, unit).map(|one| (ResourceType::Listener, one)).into_iter().collect(),
        );
    }
    let ports: BTreeSet<u16> = mesh.http_on.keys().chain(mesh.opaque_on.keys()).copied().collect();
    let http_ports: BTreeSet<u16> =
        ports.into_iter().filter(|port| has_http_listener(context, *port)).collect();
    for port in &http_ports {
        insert(vec![(ResourceType::VirtualHost, route::catch_all(context, &names::outbound_route(*port)))]);
    }
    if name_table::is_wanted(context) {
        let hosts: BTreeSet<&Text> = hosts.iter().map(|(_, host)| *host).collect();
        for host in hosts {
            insert(of_name(context, host));
        }
    }
    for (port, host) in hosts {
        insert(of_host(context, host, port, http_ports.contains(&port)));
    }
    for (port, host) in route::others(mesh) {
        if http_ports.contains(&port) {
            insert(of_other(context, host, port));
        }
    }
    for port in http_ports {
        let name = names::outbound_route(port);
        let configuration = frame(context, &name, &all);
        all.insert(ResourceType::Route, configuration);
    }
    all
}

/// What does not depend on any object.
pub(crate) fn fixed(context: &Context<'_>) -> Set {
    let mut set: Set =
        cluster::builtin(context).into_iter().map(|one| (ResourceType::Cluster, one)).collect();
    if !context.is_gateway() {
        set.push((ResourceType::Listener, listener::virtual_outbound(context)));
    }
    set
}

/// The workload's own ports.
pub(crate) fn own(context: &Context<'_>) -> Set {
    let ports = listener::inbound_ports(context);
    let mut set: Set =
        ports.iter().map(|port| (ResourceType::Cluster, cluster::inbound(context, port))).collect();
    set.push((ResourceType::Listener, listener::virtual_inbound(context, &ports)));
    set
}

/// Clusters and endpoints of a service, if the view needs them.
pub(crate) fn of_service(context: &Context<'_>, service: &Arc<Service>) -> Set {
    if !context.scope.needs(service) || !context.scope.chooses(service) {
        return Set::new();
    }
    let clusters = cluster::outbound(context, service).into_iter().map(|one| (ResourceType::Cluster, one));
    clusters.chain(endpoints_of(context, service)).collect()
}

/// Endpoints of a service that the view needs.
pub(crate) fn endpoints_of<'a>(
    context: &Context<'a>,
    service: &'a Arc<Service>,
) -> impl Iterator<Item = (ResourceType, Arc<Resource>)> + use<'a> {
    endpoints::outbound(context, service).into_iter().map(|one| (ResourceType::Endpoints, one))
}

/// Virtual hosts, and routes of its own, of a host on a port.
pub(crate) fn of_host(context: &Context<'_>, host: &str, port: u16, on_wildcard: bool) -> Set {
    let mut set = Set::new();
    let Some(service) = context.scope.service(host) else { return set };
    let Some(protocol) = service.port(port).map(|port| port.protocol) else { return set };
    let http = protocol.is_http() || protocol == Protocol::Auto;
    if !http || !context.scope.sees(service, Some(port)) {
        return set;
    }
    let host = Host::Service(service);
    if on_wildcard {
        let name = names::outbound_route(port);
        set.extend(
            route::virtual_host(context, &name, host, port).map(|one| (ResourceType::VirtualHost, one)),
        );
    }
    if protocol == Protocol::Auto && context.view.addresses(service).next().is_some() {
        let name = names::detected_route(&service.key.host, port);
        let own = route::virtual_host(context, &name, host, port);
        set.push((ResourceType::Route, route::configuration(context, &name, own.iter())));
        set.extend(own.map(|one| (ResourceType::VirtualHost, one)));
    }
    set
}

/// What a host's name means to the app.
pub(crate) fn of_name(context: &Context<'_>, host: &str) -> Set {
    name_table::of_host(context, host).map(|one| (ResourceType::NameTable, one)).into_iter().collect()
}

/// The virtual host of a host that only a VirtualService speaks for on a port.
pub(crate) fn of_other(context: &Context<'_>, host: &Text, port: u16) -> Set {
    if !route::is_other(context, host, port) {
        return Set::new();
    }
    let virtual_host = route::virtual_host(context, &names::outbound_route(port), Host::Other(host), port);
    virtual_host.map(|one| (ResourceType::VirtualHost, one)).into_iter().collect()
}

/// A route configuration around the virtual hosts that the view has.
pub(crate) fn frame(context: &Context<'_>, name: &str, all: &Resources) -> Arc<Resource> {
    let prefix = format!("{name}/");
    route::configuration(context, name, all.with_prefix(ResourceType::VirtualHost, &prefix))
}
