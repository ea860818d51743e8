//! Listeners of outbound traffic. None of them binds a port: `virtualOutbound` hands connections over by destination.
//!
//! HTTP of all services on a port shares `0.0.0.0_<port>`, because routes tell services apart. Other protocols have
//! nothing but the address: a service with one has `<address>_<port>`, one without is a filter chain of the wildcard's.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use model::config::VirtualService;
use model::{Protocol, Service, ServicePort, is_single};
use xds::ResourceType;
use xds::names;

use super::outbound_chains::Chains;
use super::{access_log, forward, http_inspector, match_all, single, tls_inspector};
use crate::context::Context;
use crate::memo::Inputs;
use crate::proto::{address, boolean, core, duration, listener};
use crate::resource::Resource;
use crate::route;

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
            Self::Wildcard(port) => match context.scope.door(port) {
                Some(door) => door.address.unwrap_or(context.loopback()),
                None => context.wildcard(),
            },
            Self::At(ip, _) => ip,
        }
    }

    /// Whether applications connect to the listener itself, as its Sidecar says, instead of being redirected to it.
    pub(super) fn is_open(self, context: &Context<'_>) -> bool {
        matches!(self, Self::Wildcard(port) if context.scope.door(port).is_some_and(|door| door.open))
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

/// Listeners that a service has a part in for some proxy.
pub(crate) fn units_of(service: &Service) -> BTreeSet<Unit> {
    let mut units = BTreeSet::new();
    let addresses = service.addresses.iter().chain(&service.assigned);
    let single: Vec<IpAddr> = addresses.filter(|net| is_single(net)).map(IpNet::addr).collect();
    for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
        units.insert(Unit::Wildcard(port.number));
        units.extend(single.iter().map(|ip| Unit::At(*ip, port.number)));
    }
    units
}

/// Listeners that a service has a filter chain of its own in.
pub(crate) fn opaque_units_of(service: &Service) -> BTreeSet<Unit> {
    let opaque = |unit: &Unit| service.port(unit.port()).is_some_and(|port| !port.protocol.is_http());
    units_of(service).into_iter().filter(opaque).collect()
}

/// A service's part in a listener that is not just HTTP.
pub(super) struct Part<'a> {
    pub(super) service: &'a Arc<Service>,
    pub(super) port: &'a ServicePort,
    /// VirtualServices that may speak for it.
    pub(super) routes: Vec<&'a Arc<VirtualService>>,
}

/// Parts of a listener, the oldest service first.
fn parts<'a>(context: &Context<'a>, unit: Unit) -> Vec<Part<'a>> {
    let mesh = context.mesh;
    let (number, open) = (unit.port(), unit.is_open(context));
    let keys = match unit {
        Unit::Wildcard(port) => mesh.opaque_on.get(&port),
        Unit::At(ip, _) => mesh.services_at.get(&IpNet::from(ip)),
    };
    let mut parts: Vec<Part<'a>> = keys
        .into_iter()
        .flatten()
        .filter_map(|key| {
            let service = mesh.services.get(key)?;
            let port = service.port(number).filter(|port| {
                // Who connects to the proxy itself names no service's address.
                belongs(context, service, port, unit) || (open && is_opaque(port))
            })?;
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
fn belongs(context: &Context<'_>, service: &Service, port: &ServicePort, unit: Unit) -> bool {
    let mut addresses = context.view.single_addresses(service);
    let by_address = match unit {
        Unit::Wildcard(_) => addresses.next().is_none(),
        Unit::At(ip, _) => addresses.any(|own| own.addr() == ip),
    };
    is_opaque(port) && by_address
}

fn is_opaque(port: &ServicePort) -> bool {
    !port.protocol.is_http() && port.protocol != Protocol::Udp
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
            detected.is_some_and(|one| belongs(context, service, one, Unit::Wildcard(port)))
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
    inputs.text(&model::intern(&context.unknown_cluster()));
    inputs.word(http.into()).word(unit.is_open(context).into()).text(&model::intern(&unit.name(context)));
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
    let mut chains = Chains::new(*context, unit);
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
    let by_name = uses(&|conditions| !conditions.server_names.is_empty());
    let detects = uses(&|conditions| !conditions.application_protocols.is_empty());
    if by_name {
        filters.push(tls_inspector());
        chains.keep_other_bytes();
    } else {
        // Where nobody looks for TLS everything is a raw buffer, and a chain that says so would take what is no HTTP
        // away from those that don't: having found a transport, Envoy does not look further.
        let conditions = chains.all.iter_mut().filter_map(|chain| chain.filter_chain_match.as_mut());
        conditions.for_each(|conditions| conditions.transport_protocol.clear());
    }
    if detects {
        filters.push(http_inspector());
    }
    let timeout = context.mesh.settings.config.protocol_detection_timeout.filter(|_| detects);
    let complete = chains.all.iter().any(|chain| chain.filter_chain_match.is_none());
    // Who connects to the proxy itself wanted nothing that it could be passed on to.
    let unknown =
        if unit.is_open(context) { names::BLACK_HOLE_CLUSTER.to_owned() } else { context.unknown_cluster() };
    let rest = || match_all("", vec![forward(context, single(&unknown))]);
    let listener = listener::Listener {
        name: name.clone(),
        address: Some(address(bind, unit.port())),
        default_filter_chain: (!complete).then(rest),
        filter_chains: chains.all,
        listener_filters: filters,
        listener_filters_timeout: duration(timeout.map_or(std::time::Duration::ZERO, |timeout| timeout.0)),
        continue_on_listener_filters_timeout: true,
        bind_to_port: boolean(unit.is_open(context)),
        traffic_direction: core::TrafficDirection::Outbound.into(),
        access_log: access_log::of_listener(context),
        ..Default::default()
    };
    Resource::of(&name, &listener)
}
