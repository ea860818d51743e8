//! Listeners of outbound traffic. None of them binds a port: `virtualOutbound` hands connections over by destination.
//!
//! HTTP of all services on a port shares `0.0.0.0_<port>`, because routes tell services apart. Other protocols have
//! nothing but the address: a service with one has `<address>_<port>`, one without is a filter chain of the wildcard's.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use model::config::VirtualService;
use model::{Address, Protocol, Service, ServicePort, is_wildcard};
use xds::ResourceType;
use xds::names;

use super::sni::tls_rules;
use super::tcp::Forward;
use super::{
    Class, Manager, PLAIN_HTTP, Routes, access_log, forward, http_filter, http_inspector, match_all, single,
    tls_inspector,
};
use crate::context::Context;
use crate::memo::Inputs;
use crate::proto::{address, boolean, cidr, core, duration, listener};
use crate::resource::Resource;
use crate::route::{self, Binding};

/// One listener, by what it listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Unit {
    /// Every address.
    Wildcard(u16),
    /// One address.
    At(IpAddr, u16),
}

impl Unit {
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Wildcard(port) | Self::At(_, port) => port,
        }
    }

    fn bind(self, context: &Context<'_>) -> IpAddr {
        match self {
            Self::Wildcard(_) => context.wildcard(),
            Self::At(ip, _) => ip,
        }
    }

    fn add_to(self, inputs: &mut Inputs) {
        inputs.word(self.port().into());
        if let Self::At(ip, _) = self {
            let bits = match ip {
                IpAddr::V4(ip) => u128::from(ip.to_bits()),
                IpAddr::V6(ip) => ip.to_bits(),
            };
            inputs.word((bits >> 64) as u64).word(bits as u64);
        }
    }

    pub(crate) fn name(self, context: &Context<'_>) -> String {
        names::listener(self.bind(context), self.port())
    }
}

/// Listeners that a service has a part in.
pub(crate) fn units_of(service: &Service) -> BTreeSet<Unit> {
    let mut units = BTreeSet::new();
    for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
        units.insert(Unit::Wildcard(port.number));
        units.extend(single_addresses(service).map(|ip| Unit::At(ip, port.number)));
    }
    units
}

/// Listeners that a service has a filter chain of its own in.
pub(crate) fn opaque_units_of(service: &Service) -> BTreeSet<Unit> {
    let opaque = |unit: &Unit| service.port(unit.port()).is_some_and(|port| !port.protocol.is_http());
    units_of(service).into_iter().filter(opaque).collect()
}

/// Addresses of a service that are not ranges.
fn single_addresses(service: &Service) -> impl Iterator<Item = IpAddr> + '_ {
    service.addresses.iter().filter(|net| net.prefix_len() == net.max_prefix_len()).map(IpNet::addr)
}

/// A service's part in a listener that is not just HTTP.
struct Part<'a> {
    service: &'a Arc<Service>,
    port: &'a ServicePort,
    /// VirtualServices that may speak for it.
    routes: Vec<&'a Arc<VirtualService>>,
}

/// Parts of a listener, the oldest service first.
fn parts<'a>(context: &Context<'a>, unit: Unit) -> Vec<Part<'a>> {
    let mesh = context.mesh;
    let number = unit.port();
    let keys = match unit {
        Unit::Wildcard(port) => mesh.opaque_on.get(&port),
        Unit::At(ip, _) => mesh.services_at.get(&IpNet::from(ip)),
    };
    let mut parts: Vec<Part<'a>> = keys
        .into_iter()
        .flatten()
        .filter_map(|key| {
            let service = mesh.services.get(key)?;
            let port = service.port(number).filter(|port| belongs(service, port, unit))?;
            is_seen(context, service, number).then(|| Part {
                service,
                port,
                routes: mesh.virtual_services_for(&service.key.host, context.scope).collect(),
            })
        })
        .collect();
    parts.sort_by_key(|part| (part.service.created, part.service.key.clone()));
    parts
}

fn is_seen(context: &Context<'_>, service: &Service, port: u16) -> bool {
    context.scope.sees(service, Some(port)) && context.scope.chooses(service)
}

/// Whether a service has a filter chain of its own in a listener.
fn belongs(service: &Service, port: &ServicePort, unit: Unit) -> bool {
    let opaque = !port.protocol.is_http() && port.protocol != Protocol::Udp;
    let by_address = match unit {
        Unit::Wildcard(_) => single_addresses(service).next().is_none(),
        Unit::At(ip, _) => single_addresses(service).any(|own| own == ip),
    };
    opaque && by_address
}

/// Whether the wildcard listener of a port speaks HTTP, and so whether its routes are needed.
pub(crate) fn has_http_listener(context: &Context<'_>, port: u16) -> bool {
    let mesh = context.mesh;
    let services = |keys: Option<&'_ imbl::OrdSet<model::ServiceKey>>| {
        keys.into_iter().flatten().filter_map(|key| mesh.services.get(key)).cloned().collect::<Vec<_>>()
    };
    let declared = mesh.http_on.get(&port).into_iter().flatten().filter_map(|key| mesh.services.get(key));
    let mut declared = declared.filter(|service| is_seen(context, service, port));
    declared.next().is_some()
        || services(mesh.opaque_on.get(&port)).iter().any(|service| {
            let detected = service.port(port).filter(|one| one.protocol == Protocol::Auto);
            detected.is_some_and(|one| belongs(service, one, Unit::Wildcard(port)))
                && is_seen(context, service, port)
        })
}

/// A listener; none if nothing needs it.
pub(crate) fn outbound(context: &Context<'_>, unit: Unit) -> Option<Arc<Resource>> {
    let parts = parts(context, unit);
    let http = matches!(unit, Unit::Wildcard(port) if has_http_listener(context, port));
    if parts.is_empty() && !http {
        return None;
    }
    let mut inputs = context.inputs();
    context.add_telemetry(&mut inputs);
    inputs.word(context.scope.outbound_mode() as u64);
    inputs.word(http.into());
    unit.add_to(&mut inputs);
    for part in &parts {
        inputs.object(part.service).optional(context.rule(part.service));
        if part.service.is_headless() {
            inputs.optional(context.mesh.endpoints.get(&part.service.key));
        }
        for service in &part.routes {
            route::depends(context, service, &mut inputs);
        }
    }
    Some(context.memo.resource(ResourceType::Listener, inputs, || build(context, unit, &parts, http)))
}

fn build(context: &Context<'_>, unit: Unit, parts: &[Part<'_>], http: bool) -> Arc<Resource> {
    let bind = unit.bind(context);
    let name = unit.name(context);
    let mut chains = Chains { context: *context, unit, all: Vec::new(), taken: BTreeSet::new() };
    for part in parts {
        chains.add_service(part);
    }
    if http {
        chains.add_http(Vec::new(), names::outbound_route(unit.port()), false);
    }
    let uses = |test: &dyn Fn(&listener::FilterChainMatch) -> bool| {
        chains.all.iter().filter_map(|chain| chain.filter_chain_match.as_ref()).any(test)
    };
    let mut filters = Vec::new();
    if uses(&|conditions| !conditions.server_names.is_empty()) {
        filters.push(tls_inspector());
    }
    let detects = uses(&|conditions| !conditions.application_protocols.is_empty());
    if detects {
        filters.push(http_inspector());
    }
    let timeout = context.mesh.settings.config.protocol_detection_timeout.filter(|_| detects);
    let complete = chains.all.iter().any(|chain| chain.filter_chain_match.is_none());
    let rest = || match_all("", vec![forward(context, single(context.unknown_cluster()))]);
    let listener = listener::Listener {
        name: name.clone(),
        address: Some(address(bind, unit.port())),
        default_filter_chain: (!complete).then(rest),
        filter_chains: chains.all,
        listener_filters: filters,
        listener_filters_timeout: duration(timeout.map_or(std::time::Duration::ZERO, |timeout| timeout.0)),
        continue_on_listener_filters_timeout: true,
        bind_to_port: boolean(false),
        traffic_direction: core::TrafficDirection::Outbound.into(),
        access_log: access_log::of_listener(context),
        ..Default::default()
    };
    Resource::of(&name, &listener)
}

/// Filter chains of one listener, none of which may match the same as another.
struct Chains<'a> {
    context: Context<'a>,
    unit: Unit,
    all: Vec<listener::FilterChain>,
    /// What is matched already: networks and server name; empty for everything.
    taken: BTreeSet<(Vec<IpNet>, String, bool)>,
}

impl Chains<'_> {
    fn add_service(&mut self, part: &Part<'_>) {
        let networks = self.networks(part);
        if part.service.is_headless() && networks.is_empty() {
            // No pod, nothing to connect to; a chain for everything would take others' traffic.
            return;
        }
        let binding = Binding { port: self.unit.port(), tls: false, gateways: &["mesh".to_owned()] };
        if !self.add_tls_rules(part, &binding, &networks) && !self.add_tcp_rules(part, &binding, &networks) {
            self.add_default(part, networks.clone());
        }
        if part.port.protocol == Protocol::Auto
            && (part.service.is_headless() || matches!(self.unit, Unit::At(..)))
        {
            let name = match self.unit {
                Unit::At(_, port) => names::detected_route(&part.service.key.host, port),
                Unit::Wildcard(port) => names::outbound_route(port),
            };
            self.add_http(networks, name, part.port.protocol == Protocol::GrpcWeb);
        }
    }

    /// Networks that mean a service where its own address is not what is listened on: its ranges, or its pods.
    fn networks(&self, part: &Part<'_>) -> Vec<IpNet> {
        match self.unit {
            Unit::At(..) => Vec::new(),
            Unit::Wildcard(_) if part.service.is_headless() => {
                let endpoints = self.context.mesh.endpoints.get(&part.service.key);
                let all =
                    endpoints.into_iter().flat_map(|known| &known.groups).flat_map(|group| &group.endpoints);
                let mut pods: Vec<IpNet> = all
                    .filter_map(|endpoint| match &endpoint.address {
                        Address::Ip(ip) => Some(IpNet::from(*ip)),
                        Address::Name(_) | Address::Unix(_) => None,
                    })
                    .filter(|pod| !self.taken.iter().any(|(networks, ..)| networks.contains(pod)))
                    .collect();
                pods.sort();
                pods.dedup();
                pods
            }
            Unit::Wildcard(_) => part.service.addresses.clone(),
        }
    }

    /// TLS rules of VirtualServices; true if the service needs no chain of its own any more.
    fn add_tls_rules(&mut self, part: &Part<'_>, binding: &Binding<'_>, networks: &[IpNet]) -> bool {
        if !part.port.protocol.is_tls() {
            return false;
        }
        let mut any = false;
        for service in &part.routes {
            for rule in tls_rules(&self.context, service, binding) {
                let Some(target) =
                    Forward::to_destinations(&self.context, &rule.route.route, self.unit.port())
                else {
                    continue;
                };
                let written: Vec<IpNet> = rule.subnets.iter().filter_map(|net| parse_net(net)).collect();
                let networks = if written.is_empty() { networks.to_vec() } else { written };
                self.add_tcp(networks, rule.names, target);
                any = true;
            }
            if any {
                break;
            }
        }
        any
    }

    /// TCP rules of VirtualServices; true if one of them takes every connection.
    fn add_tcp_rules(&mut self, part: &Part<'_>, binding: &Binding<'_>, networks: &[IpNet]) -> bool {
        if part.port.protocol.is_tls() {
            return false;
        }
        for rule in part.routes.iter().flat_map(|service| &service.spec.tcp) {
            let Some(target) = Forward::to_destinations(&self.context, &rule.route, self.unit.port()) else {
                continue;
            };
            let meant = |condition: &&crds::networking::L4MatchAttributes| {
                let port = condition.port.filter(|port| *port != 0);
                port.is_none_or(|port| port == u32::from(binding.port))
                    && binding.is_meant(
                        &self.context,
                        &condition.gateways,
                        &condition.source_labels,
                        condition.source_namespace.as_deref(),
                    )
            };
            let matching: Vec<_> = rule.matches.iter().filter(meant).collect();
            if rule.matches.is_empty() || matching.iter().any(|one| one.destination_subnets.is_empty()) {
                self.add_tcp(networks.to_vec(), &[], target);
                return true;
            }
            let subnets: Vec<IpNet> = matching
                .iter()
                .flat_map(|condition| &condition.destination_subnets)
                .filter_map(|net| parse_net(net))
                .collect();
            if !subnets.is_empty() {
                self.add_tcp(subnets, &[], target);
            }
        }
        false
    }

    fn add_default(&mut self, part: &Part<'_>, networks: Vec<IpNet>) {
        let target = Forward::to_service(&self.context, part.service, part.port.number);
        let host = part.service.key.host.to_string();
        // Without an address of its own, only the name tells a TLS service from others on the port.
        let by_name = part.port.protocol.is_tls()
            && matches!(self.unit, Unit::Wildcard(_))
            && !part.service.is_headless();
        if by_name && !(is_wildcard(&host) && host.len() < 3) {
            self.add_tcp(networks, &[host], target);
        } else {
            self.add_tcp(networks, &[], target);
        }
    }

    fn add_tcp(&mut self, networks: Vec<IpNet>, server_names: &[String], target: Forward) {
        let mut free: Vec<String> = Vec::new();
        let wanted = if server_names.is_empty() { &[String::new()][..] } else { server_names };
        for name in wanted {
            if self.taken.insert((networks.clone(), name.clone(), false)) {
                free.push(name.clone());
            }
        }
        if free.is_empty() {
            return;
        }
        let server_names: Vec<String> = free.into_iter().filter(|name| !name.is_empty()).collect();
        let conditions = listener::FilterChainMatch {
            prefix_ranges: networks.iter().map(cidr).collect(),
            server_names,
            ..Default::default()
        };
        let everything = conditions == listener::FilterChainMatch::default();
        let chain = match_all("", vec![forward(&self.context, target)]);
        self.all
            .push(listener::FilterChain { filter_chain_match: (!everything).then_some(conditions), ..chain });
    }

    fn add_http(&mut self, networks: Vec<IpNet>, route_name: String, grpc_web: bool) {
        if !self.taken.insert((networks.clone(), String::new(), true)) {
            return;
        }
        let manager = Manager {
            class: Class::Outbound,
            stat_prefix: format!("outbound_{};", self.unit.name(&self.context)),
            routes: Routes::Discovered(route_name),
            grpc_web,
        };
        let chain = match_all("", vec![http_filter(&self.context, manager)]);
        self.all.push(listener::FilterChain {
            filter_chain_match: Some(listener::FilterChainMatch {
                prefix_ranges: networks.iter().map(cidr).collect(),
                transport_protocol: "raw_buffer".to_owned(),
                application_protocols: PLAIN_HTTP.iter().map(ToString::to_string).collect(),
                ..Default::default()
            }),
            ..chain
        });
    }
}

fn parse_net(written: &str) -> Option<IpNet> {
    written.parse().ok().or_else(|| written.parse::<IpAddr>().ok().map(IpNet::from))
}
