//! Listeners of a gateway: one per port, with a filter chain per server where the client's name tells them apart.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crds::networking::L4MatchAttributes;
use ipnet::IpNet;
use model::config::{ServerHost, VirtualService};

use super::{Serving, tls};
use crate::context::Context;
use crate::listener::{
    Class, Forward, Manager, Routes, forward, http_filter, match_all, proxy_protocol, tls_inspector,
    unrouted_log,
};
use crate::proto::{address, cidr, core, listener};
use crate::resource::Resource;
use crate::route::Binding;
use xds::names;

/// The listener of a port; none if no server on it has anything to serve yet.
pub(super) fn listener(
    context: &Context<'_>,
    bind: IpAddr,
    port: u16,
    servers: &[Serving<'_>],
) -> Option<Arc<Resource>> {
    let mut chains = Chains { context: *context, all: Vec::new(), taken: BTreeSet::new() };
    for serving in servers {
        chains.add(serving);
    }
    if chains.all.is_empty() {
        return None;
    }
    let by_name = chains.all.iter().filter_map(|chain| chain.filter_chain_match.as_ref());
    let inspects = by_name.into_iter().any(|conditions| !conditions.server_names.is_empty());
    let secured = chains.all.iter().any(|chain| chain.transport_socket.is_some());
    let announced = context.view.settings.proxy_protocol.then(proxy_protocol).into_iter();
    let inspector = (inspects || secured).then(tls_inspector);
    let name = names::listener(bind, port);
    let listener = listener::Listener {
        name: name.clone(),
        address: Some(address(bind, port)),
        listener_filters: announced.chain(inspector).collect(),
        filter_chains: chains.all,
        traffic_direction: core::TrafficDirection::Outbound.into(),
        access_log: unrouted_log(context),
        ..Default::default()
    };
    Some(Resource::of(&name, &listener))
}

/// VirtualServices bound to a gateway that its proxy sees, oldest first.
pub(super) fn bound<'a>(
    context: &Context<'a>,
    serving: &Serving<'_>,
) -> impl Iterator<Item = &'a Arc<VirtualService>> + use<'a> {
    let (mesh, namespace) = (context.mesh, &*context.view.namespace);
    let all = mesh.gateway_routes.get(&serving.gateway.meta.name).into_iter().flat_map(|list| list.iter());
    all.filter(move |service| mesh.is_virtual_service_exported(service, namespace))
}

pub(super) struct Chains<'a> {
    pub(super) context: Context<'a>,
    pub(super) all: Vec<listener::FilterChain>,
    /// Server names, or networks, that a chain already takes.
    pub(super) taken: BTreeSet<String>,
}

impl Chains<'_> {
    fn add(&mut self, serving: &Serving<'_>) {
        if serving.passes_by_sni() {
            self.add_services(serving);
        } else if serving.passes_through() {
            self.add_passthrough(serving);
        } else if serving.is_http() {
            self.add_http(serving);
        } else {
            self.add_tcp(serving);
        }
    }

    fn add_http(&mut self, serving: &Serving<'_>) {
        let names = if serving.terminates() { self.server_names(serving) } else { self.plain() };
        let Some(names) = names else { return };
        let manager = Manager {
            class: Class::Gateway,
            stat_prefix: format!("outbound_{};", names::listener(self.context.wildcard(), serving.listen)),
            routes: Routes::Discovered(serving.route_name()),
            // Browsers speak gRPC-Web to gateways without a port being declared for it.
            grpc_web: true,
        };
        let filter = http_filter(&self.context, manager);
        self.push(names, Vec::new(), filter, tls::socket(serving));
    }

    /// Bytes, after TLS if the server terminates it, by the TCP rules of VirtualServices.
    fn add_tcp(&mut self, serving: &Serving<'_>) {
        let gateway = [serving.gateway.meta.name.to_string()];
        let binding = Binding { port: serving.port, tls: serving.terminates(), gateways: &gateway };
        let hosts = serving.gateway.hosts_of(serving.server);
        for service in
            bound(&self.context, serving).filter(|service| common_hosts(&hosts, service).next().is_some())
        {
            for rule in &service.spec.tcp {
                let meant = |condition: &&L4MatchAttributes| self.is_meant(&binding, condition);
                let matching: Vec<_> = rule.matches.iter().filter(meant).collect();
                if !rule.matches.is_empty() && matching.is_empty() {
                    continue;
                }
                let subnets: Vec<IpNet> = matching
                    .iter()
                    .flat_map(|condition| &condition.destination_subnets)
                    .filter_map(|net| net.parse().ok())
                    .collect();
                let Some(target) = Forward::to_destinations(&self.context, &rule.route, serving.port) else {
                    continue;
                };
                let names = if serving.terminates() {
                    self.server_names(serving)
                } else if subnets.is_empty() {
                    self.plain()
                } else {
                    self.taken.insert(format!("{subnets:?}")).then(Vec::new)
                };
                let Some(names) = names else { continue };
                let filter = forward(&self.context, target);
                self.push(names, subnets, filter, tls::socket(serving));
            }
        }
    }

    /// TLS that goes through unopened, by the names in the TLS rules of VirtualServices.
    fn add_passthrough(&mut self, serving: &Serving<'_>) {
        let gateway = [serving.gateway.meta.name.to_string()];
        let binding = Binding { port: serving.port, tls: true, gateways: &gateway };
        let hosts = serving.gateway.hosts_of(serving.server);
        for service in
            bound(&self.context, serving).filter(|service| common_hosts(&hosts, service).next().is_some())
        {
            for rule in &service.spec.tls {
                for condition in &rule.matches {
                    let l4 = L4MatchAttributes {
                        port: condition.port,
                        source_labels: condition.source_labels.clone(),
                        gateways: condition.gateways.clone(),
                        source_namespace: condition.source_namespace.clone(),
                        ..Default::default()
                    };
                    if !self.is_meant(&binding, &l4) {
                        continue;
                    }
                    let names: Vec<String> = condition
                        .sni_hosts
                        .iter()
                        .map(|name| name.to_ascii_lowercase())
                        .filter(|name| self.taken.insert(name.clone()))
                        .collect();
                    let target = Forward::to_destinations(&self.context, &rule.route, serving.port);
                    let (false, Some(target)) = (names.is_empty(), target) else { continue };
                    let filter = forward(&self.context, target);
                    self.push(without_star(names), Vec::new(), filter, None);
                }
            }
        }
    }

    fn is_meant(&self, binding: &Binding<'_>, condition: &L4MatchAttributes) -> bool {
        let port = condition.port.filter(|port| *port != 0);
        let namespace = condition.source_namespace.as_deref();
        port.is_none_or(|port| port == u32::from(binding.port))
            && binding.is_meant(&self.context, &condition.gateways, &condition.source_labels, namespace)
    }

    /// The one chain that needs no name; none if there is one already.
    fn plain(&mut self) -> Option<Vec<String>> {
        self.taken.insert(String::new()).then(Vec::new)
    }

    /// Names of a server that no older server has; none if there are none left.
    fn server_names(&mut self, serving: &Serving<'_>) -> Option<Vec<String>> {
        let hosts = serving.gateway.hosts_of(serving.server);
        let free: Vec<String> = hosts
            .iter()
            .map(|host| host.host.to_string())
            .filter(|host| self.taken.insert(host.clone()))
            .collect();
        (!free.is_empty()).then(|| without_star(free))
    }

    fn push(
        &mut self,
        server_names: Vec<String>,
        subnets: Vec<IpNet>,
        filter: listener::Filter,
        transport_socket: Option<core::TransportSocket>,
    ) {
        let conditions = listener::FilterChainMatch {
            server_names,
            prefix_ranges: subnets.iter().map(cidr).collect(),
            ..Default::default()
        };
        let everything = conditions == listener::FilterChainMatch::default();
        self.all.push(listener::FilterChain {
            filter_chain_match: (!everything).then_some(conditions),
            transport_socket,
            ..match_all("", vec![filter])
        });
    }
}

/// Envoy has no `*` among server names: no names mean every name.
fn without_star(names: Vec<String>) -> Vec<String> {
    if names.iter().any(|name| name == "*") { Vec::new() } else { names }
}

/// Hosts that a server and a VirtualService have in common.
pub(super) fn common_hosts<'a>(
    hosts: &'a [ServerHost],
    service: &'a VirtualService,
) -> impl Iterator<Item = model::Text> + 'a {
    let namespace = &service.meta.name.namespace;
    service
        .hosts
        .iter()
        .flat_map(move |host| hosts.iter().filter_map(move |server| server.common(host, namespace)))
}
