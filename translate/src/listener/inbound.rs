//! The listener that all redirected inbound connections come to, with filter chains for each of the workload's ports.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::networking::IstioIngressListener;
use model::Protocol;
use model::config::MutualTlsMode;
use xds::names::{self, ClusterName};

use super::chain::where_needed;
use super::inbound_tls::{conditions, kinds, socket};
use super::{
    Class, Manager, PLAIN_HTTP, Routes, access_log, forward, http_filter, http_inspector, match_all,
    original_destination, single, tls_inspector,
};
use crate::context::Context;
use crate::node::Interception;
use crate::proto::{address, boolean, core, duration, listener, uint32};
use crate::resource::Resource;
use crate::route;
use crate::view::ServiceTarget;

/// One of the workload's ports, however many services lead to it.
#[derive(Clone, Debug)]
pub(crate) struct InboundPort {
    /// The workload's port.
    pub(crate) number: u16,
    /// What it speaks, by the oldest service.
    pub(crate) protocol: Protocol,
    /// Services that lead to it, oldest first; none if a Sidecar declares it.
    pub(crate) services: Vec<ServiceTarget>,
    /// The Sidecar's declaration, if it has one.
    pub(crate) ingress: Option<IstioIngressListener>,
}

/// The workload's ports: what its Sidecar declares, else what services say.
pub(crate) fn inbound_ports(context: &Context<'_>) -> Vec<InboundPort> {
    let declared = context.scope.sidecar().map_or(&[][..], |sidecar| &sidecar.ingress);
    let mut ports: BTreeMap<u16, InboundPort> = BTreeMap::new();
    if declared.is_empty() {
        for target in context.view.targets.iter() {
            let port = ports.entry(target.target_port).or_insert_with(|| InboundPort {
                number: target.target_port,
                protocol: target.protocol,
                services: Vec::new(),
                ingress: None,
            });
            port.services.push(target.clone());
        }
    }
    for ingress in declared {
        let Some(number) = ingress.port.number.and_then(|number| u16::try_from(number).ok()) else {
            continue;
        };
        ports.entry(number).or_insert_with(|| InboundPort {
            number,
            protocol: Protocol::parse(ingress.port.protocol.as_deref().unwrap_or_default()),
            services: Vec::new(),
            ingress: Some(ingress.clone()),
        });
    }
    ports.into_values().collect()
}

/// The listener.
pub(crate) fn virtual_inbound(context: &Context<'_>, ports: &[InboundPort]) -> Arc<Resource> {
    let own_port = context.mesh.settings.inbound_port();
    let mutual_tls = context.mesh.mutual_tls(&context.view.namespace, &context.view.labels);
    // Connections made to the port itself would be passed through to itself.
    let mut chains = vec![listener::FilterChain {
        filter_chain_match: Some(listener::FilterChainMatch {
            destination_port: uint32(own_port.into()),
            ..Default::default()
        }),
        ..match_all("virtualInbound-blackhole", vec![forward(context, single(names::BLACK_HOLE_CLUSTER))])
    }];
    // Ports that a policy names without a service take what the policy says as well.
    let extra = mutual_tls.ports.iter().filter(|(port, _)| !ports.iter().any(|known| known.number == **port));
    for (port, mode) in extra {
        chains.extend(undeclared(context, *mode, Some(*port)));
    }
    chains.extend(undeclared(context, mutual_tls.mode, None));
    for port in ports {
        let mode = mutual_tls.of_port(port.number);
        for kind in kinds(mode, port.protocol) {
            chains.push(listener::FilterChain {
                name: names::listener(context.wildcard(), port.number),
                filter_chain_match: Some(conditions(kind, Some(port.number))),
                filters: vec![if kind.http { http(context, port) } else { tcp(context, port) }],
                transport_socket: socket(context, kind),
                ..Default::default()
            });
        }
    }
    let transparent = context.view.settings.interception == Interception::Transparent;
    let listener = listener::Listener {
        name: names::VIRTUAL_INBOUND.to_owned(),
        address: Some(address(context.wildcard(), own_port)),
        listener_filters: listener_filters(&chains),
        filter_chains: chains,
        listener_filters_timeout: duration(
            context
                .mesh
                .settings
                .config
                .protocol_detection_timeout
                .map_or(std::time::Duration::ZERO, |set| set.0),
        ),
        continue_on_listener_filters_timeout: true,
        transparent: if transparent { boolean(true) } else { None },
        traffic_direction: core::TrafficDirection::Inbound.into(),
        access_log: access_log::of_listener(context),
        ..Default::default()
    };
    Resource::of(names::VIRTUAL_INBOUND, &listener)
}

fn listener_filters(chains: &[listener::FilterChain]) -> Vec<listener::ListenerFilter> {
    let detects_http = |conditions: &listener::FilterChainMatch| {
        conditions.application_protocols.iter().any(|alpn| PLAIN_HTTP.contains(&alpn.as_str()))
    };
    let tls = where_needed(tls_inspector(), chains, |conditions| conditions.transport_protocol == "tls");
    let http = where_needed(http_inspector(), chains, detects_http);
    std::iter::once(original_destination()).chain(tls).chain(http).collect()
}

/// Chains for ports that no service declares: to wherever the connection was going.
fn undeclared(context: &Context<'_>, mode: MutualTlsMode, port: Option<u16>) -> Vec<listener::FilterChain> {
    let cluster = names::INBOUND_PASSTHROUGH_CLUSTER;
    let build = |kind: &super::inbound_tls::Kind| {
        let (name, filter) = if kind.http {
            let manager = Manager {
                class: Class::Inbound,
                stat_prefix: format!("{cluster};"),
                routes: Routes::Inline(Box::new(route::inbound(cluster, Protocol::Auto, ":0/*", 0))),
                grpc_web: false,
            };
            ("virtualInbound-catchall-http", http_filter(context, manager))
        } else {
            (names::VIRTUAL_INBOUND, forward(context, single(cluster)))
        };
        listener::FilterChain {
            filter_chain_match: Some(conditions(*kind, port)),
            transport_socket: socket(context, *kind),
            ..match_all(name, vec![filter])
        }
    };
    kinds(mode, Protocol::Auto).iter().map(build).collect()
}

fn http(context: &Context<'_>, port: &InboundPort) -> listener::Filter {
    let cluster = ClusterName::inbound(port.number).to_string();
    let service = port.services.first();
    let number = service.map_or(port.number, |service| service.port);
    let host = service.map_or_else(
        || {
            let sidecar = context.scope.sidecar().map(|sidecar| &sidecar.meta.name);
            sidecar.map_or_else(String::new, |name| format!("{}.{}", name.name, name.namespace))
        },
        |service| service.host.to_string(),
    );
    let manager = Manager {
        class: Class::Inbound,
        stat_prefix: format!("inbound_{};", names::listener(context.wildcard(), port.number)),
        routes: Routes::Inline(Box::new(route::inbound(
            &cluster,
            port.protocol,
            &format!("{host}:{number}/*"),
            number,
        ))),
        grpc_web: port.protocol == Protocol::GrpcWeb,
    };
    http_filter(context, manager)
}

fn tcp(context: &Context<'_>, port: &InboundPort) -> listener::Filter {
    forward(context, single(&ClusterName::inbound(port.number).to_string()))
}
