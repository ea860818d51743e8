//! Routes of a gateway: one configuration for all plain HTTP on a port, one for each server that terminates TLS.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Text;
use model::config::VirtualService;
use xds::ResourceType;
use xds::names;

use super::listener::{bound, common_hosts};
use super::{Place, Serving};
use crate::context::Context;
use crate::proto::route;
use crate::resource::Resource;
use crate::route::{Binding, Encoded, configuration, depends, encode_virtual_host, rules};

/// What one host of a route configuration is made from.
#[derive(Default)]
struct HostRoutes<'a> {
    /// VirtualServices that speak for it, with the gateway that they are bound to; oldest first.
    services: Vec<(&'a Arc<VirtualService>, String)>,
    /// Plain HTTP is answered with a redirect.
    https_redirect: bool,
}

/// Route configurations and virtual hosts of all servers.
pub(super) fn routes(
    context: &Context<'_>,
    places: &BTreeMap<Place, Vec<Serving<'_>>>,
) -> Vec<(ResourceType, Arc<Resource>)> {
    let mut by_name: BTreeMap<String, Vec<&Serving<'_>>> = BTreeMap::new();
    for serving in places.values().flatten().filter(|serving| serving.is_http()) {
        by_name.entry(serving.route_name()).or_default().push(serving);
    }
    let mut all = Vec::new();
    for (name, servers) in by_name {
        let virtual_hosts = virtual_hosts(context, &name, &servers);
        all.push((ResourceType::Route, configuration(context, &name, virtual_hosts.iter())));
        all.extend(virtual_hosts.into_iter().map(|host| (ResourceType::VirtualHost, host)));
    }
    all
}

fn virtual_hosts(context: &Context<'_>, route_name: &str, servers: &[&Serving<'_>]) -> Vec<Arc<Resource>> {
    let mut hosts: BTreeMap<Text, HostRoutes<'_>> = BTreeMap::new();
    for serving in servers {
        let gateway = serving.gateway.meta.name.to_string();
        let served = serving.gateway.hosts_of(serving.server);
        let redirect = serving.server.tls.as_ref().is_some_and(|tls| tls.https_redirect == Some(true));
        for service in bound(context, serving).filter(|service| !service.spec.http.is_empty()) {
            for host in common_hosts(&served, service) {
                let entry = hosts.entry(host).or_default();
                let known =
                    entry.services.iter().any(|(known, by)| Arc::ptr_eq(known, service) && *by == gateway);
                if !known {
                    entry.services.push((service, gateway.clone()));
                }
                entry.https_redirect |= redirect;
            }
        }
        // Hosts of other servers' VirtualServices are not redirected, even where a wildcard of this one covers them.
        for host in served.iter().filter(|_| redirect) {
            hosts.entry(host.host.clone()).or_default().https_redirect = true;
        }
    }
    let Some(first) = servers.first() else { return Vec::new() };
    if hosts.is_empty() {
        return vec![black_hole(route_name, first.port)];
    }
    hosts.into_iter().map(|(host, routes)| one(context, route_name, first, &host, &routes)).collect()
}

fn one(
    context: &Context<'_>,
    route_name: &str,
    serving: &Serving<'_>,
    host: &Text,
    made_of: &HostRoutes<'_>,
) -> Arc<Resource> {
    let name = names::virtual_host(host, serving.port);
    let resource_name = names::virtual_host_resource(route_name, &name);
    let mut inputs = context.inputs();
    inputs.text(&model::intern(route_name)).text(host).word(serving.port.into());
    inputs.text(&context.view.namespace).word(made_of.https_redirect.into());
    for (service, gateway) in &made_of.services {
        inputs.text(&model::intern(gateway));
        depends(context, service, &mut inputs);
    }
    context.memo.resource(ResourceType::VirtualHost, inputs, || {
        let mut routes: Vec<Encoded> = made_of
            .services
            .iter()
            .flat_map(|(service, gateway)| {
                let gateways = [gateway.clone()];
                rules(
                    context,
                    service,
                    &Binding { port: serving.port, tls: serving.terminates(), gateways: &gateways },
                )
            })
            .collect();
        // Several VirtualServices may speak for one host; what takes everything comes after what is particular.
        routes.sort_by_key(|route| route.catch_all);
        let frame = route::VirtualHost {
            name,
            domains: vec![host.to_string()],
            include_request_attempt_count: true,
            require_tls: if made_of.https_redirect {
                route::virtual_host::TlsRequirementType::All.into()
            } else {
                route::virtual_host::TlsRequirementType::None.into()
            },
            ..Default::default()
        };
        Resource::new(&resource_name, encode_virtual_host(&frame, &routes))
    })
}

/// A port without routes answers 404 to everything.
fn black_hole(route_name: &str, port: u16) -> Arc<Resource> {
    let name = format!("blackhole:{port}");
    let frame =
        route::VirtualHost { name: name.clone(), domains: vec!["*".to_owned()], ..Default::default() };
    Resource::new(&names::virtual_host_resource(route_name, &name), encode_virtual_host(&frame, &[]))
}
