//! Filter chains of an outbound listener: what tells the services apart that share it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use model::{Address, Protocol, is_wildcard};
use xds::names;

use super::outbound::{Part, Unit};
use super::sni::tls_rules;
use super::tcp::Forward;
use super::{Class, Manager, PLAIN_HTTP, Routes, forward, http_filter, match_all};
use crate::context::Context;
use crate::proto::{cidr, listener};
use crate::route::Binding;

/// Filter chains of one listener, none of which may match the same as another.
pub(super) struct Chains<'a> {
    context: Context<'a>,
    unit: Unit,
    pub(super) all: Vec<listener::FilterChain>,
    /// What is matched already: networks and server name; empty for everything.
    taken: BTreeSet<(Vec<IpNet>, String, bool)>,
}

impl<'a> Chains<'a> {
    pub(super) fn new(context: Context<'a>, unit: Unit) -> Self {
        Self { context, unit, all: Vec::new(), taken: BTreeSet::new() }
    }

    pub(super) fn add_service(&mut self, part: &Part<'_>) {
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
            _ if self.unit.is_open(&self.context) => Vec::new(),
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

    /// Where a chain takes plaintext that is HTTP, what is neither HTTP nor TLS would be closed: having found a transport,
    /// Envoy doesn't look at chains for any. So the chain for opaque bytes of the same networks says "plaintext" as well.
    pub(super) fn keep_other_bytes(&mut self) {
        let networks = |chain: &listener::FilterChain| {
            chain
                .filter_chain_match
                .as_ref()
                .map_or_else(Vec::new, |conditions| conditions.prefix_ranges.clone())
        };
        let detecting: Vec<_> = self.all.iter().filter(|chain| is_detecting(chain)).map(networks).collect();
        let opaque = |chain: &&listener::FilterChain| {
            let conditions = chain.filter_chain_match.as_ref();
            conditions.is_none_or(|conditions| {
                conditions.server_names.is_empty() && conditions.transport_protocol.is_empty()
            })
        };
        let twins: Vec<_> = self
            .all
            .iter()
            .filter(opaque)
            .filter(|chain| detecting.contains(&networks(chain)))
            .map(|chain| listener::FilterChain {
                filter_chain_match: Some(listener::FilterChainMatch {
                    transport_protocol: "raw_buffer".to_owned(),
                    ..chain.filter_chain_match.clone().unwrap_or_default()
                }),
                ..chain.clone()
            })
            .collect();
        self.all.extend(twins);
    }

    pub(super) fn add_http(&mut self, networks: Vec<IpNet>, route_name: String, grpc_web: bool) {
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

fn is_detecting(chain: &listener::FilterChain) -> bool {
    let conditions = chain.filter_chain_match.as_ref();
    conditions.is_some_and(|conditions| !conditions.application_protocols.is_empty())
}

fn parse_net(written: &str) -> Option<IpNet> {
    written.parse().ok().or_else(|| written.parse::<IpAddr>().ok().map(IpNet::from))
}
