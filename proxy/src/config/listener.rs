//! Listeners and their filter chains.

use std::collections::BTreeSet;
use std::hash::Hasher as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3 as pb;
use prost::Message as _;
use twox_hash::XxHash64;

use super::error::{At as _, ConfigError, Result, each};
use super::value::{enumeration, flag, optional_duration, port, socket_address, timeout};
use super::{access_log, listener_filter, network, tls};
use crate::snapshot::http::RouteSource;
use crate::snapshot::listener::{
    ChainMatch, Direction, FilterChain, FilterChains, Listener, Network, Transport,
};

/// Envoy's time for listener filters where none is set.
const DETECTION_TIMEOUT: Duration = Duration::from_secs(15);

/// A compiled Listener and the resources that it names.
#[derive(Debug)]
pub struct CompiledListener {
    /// The listener.
    pub listener: Arc<Listener>,
    /// Route tables that it looks up.
    pub routes: BTreeSet<Arc<str>>,
    /// Secrets that it needs.
    pub secrets: BTreeSet<Arc<str>>,
}

/// Compiles a Listener.
pub fn listener(value: &pb::Listener) -> Result<CompiledListener> {
    refuse_unsupported(value)?;
    let chains = each("filter_chains", &value.filter_chains, |chain| chain_named(chain).map(Arc::new))?;
    let default = match &value.default_filter_chain {
        Some(chain) => Some(Arc::new(chain_named(chain).field("default_filter_chain")?)),
        None => None,
    };
    if chains.is_empty() && default.is_none() {
        return Err(ConfigError::new("filter_chains: at least one is required"));
    }
    let filters = listener_filter::filters(&value.listener_filters)?;
    let hand_off = flag(value.use_original_dst.as_ref());
    let listener = Listener {
        name: value.name.as_str().into(),
        addresses: addresses(value)?,
        bind: binds(value),
        proxy_protocol: filters.proxy_protocol,
        original_destination: filters.original_destination || hand_off,
        hand_off,
        direction: direction(value.traffic_direction)?,
        tls_inspector: filters.tls,
        http_inspector: filters.http,
        detection_timeout: timeout(
            "listener_filters_timeout",
            value.listener_filters_timeout.as_ref(),
            Some(DETECTION_TIMEOUT),
        )?,
        continue_on_timeout: value.continue_on_listener_filters_timeout,
        chains: FilterChains::new(chains, default),
        access_logs: each("access_log", &value.access_log, access_log::listener_access_log)?,
    };
    Ok(CompiledListener {
        routes: route_names(&listener),
        secrets: secret_names(&listener),
        listener: Arc::new(listener),
    })
}

fn refuse_unsupported(value: &pb::Listener) -> Result<()> {
    let fields = [
        ("filter_chain_matcher", value.filter_chain_matcher.is_some()),
        ("fcds_config", value.fcds_config.is_some()),
        ("api_listener", value.api_listener.is_some()),
        ("udp_listener_config", value.udp_listener_config.is_some()),
        ("internal_listener", value.listener_specifier.is_some()),
        ("transparent", flag(value.transparent.as_ref())),
    ];
    match fields.into_iter().find(|(_, set)| *set) {
        Some((field, _)) => Err(ConfigError::unsupported(field)),
        None => Ok(()),
    }
}

fn addresses(value: &pb::Listener) -> Result<Vec<SocketAddr>> {
    let mut all = vec![tcp_address(value.address.as_ref()).field("address")?];
    for (index, more) in value.additional_addresses.iter().enumerate() {
        all.push(tcp_address(more.address.as_ref()).entry("additional_addresses", index)?);
    }
    Ok(all)
}

fn tcp_address(address: Option<&core::Address>) -> Result<SocketAddr> {
    if let Some(core::address::Address::SocketAddress(socket)) = address.and_then(|a| a.address.as_ref())
        && socket.protocol != core::socket_address::Protocol::Tcp as i32
    {
        return Err(ConfigError::unsupported("a protocol other than TCP"));
    }
    socket_address(address)
}

fn binds(value: &pb::Listener) -> bool {
    let older = value.deprecated_v1.as_ref().and_then(|older| older.bind_to_port.as_ref());
    value.bind_to_port.as_ref().or(older).is_none_or(|bind| bind.value)
}

fn direction(value: i32) -> Result<Direction> {
    use core::TrafficDirection as Pb;
    Ok(match enumeration(value).field("traffic_direction")? {
        Pb::Unspecified => Direction::Unspecified,
        Pb::Inbound => Direction::Inbound,
        Pb::Outbound => Direction::Outbound,
    })
}

/// Compiles a chain; an error says which by its name, if it has one.
fn chain_named(value: &pb::FilterChain) -> Result<FilterChain> {
    chain(value).map_err(|error| match value.name.as_str() {
        "" => error,
        name => ConfigError::new(format!("({name}) {error}")),
    })
}

fn chain(value: &pb::FilterChain) -> Result<FilterChain> {
    if flag(value.use_proxy_proto.as_ref()) {
        return Err(ConfigError::unsupported("use_proxy_proto"));
    }
    Ok(FilterChain {
        name: value.name.as_str().into(),
        matcher: value
            .filter_chain_match
            .as_ref()
            .map(chain_match)
            .transpose()
            .field("filter_chain_match")?
            .unwrap_or_default(),
        tls: tls::downstream(value.transport_socket.as_ref()).field("transport_socket")?,
        transport_timeout: optional_duration(
            "transport_socket_connect_timeout",
            value.transport_socket_connect_timeout.as_ref(),
        )?
        .filter(|timeout| !timeout.is_zero()),
        network: network::network(&value.filters)?,
        fingerprint: fingerprint(value),
    })
}

/// Of everything that decides what becomes of a connection. Metadata doesn't, and has no fixed encoding.
fn fingerprint(value: &pb::FilterChain) -> u64 {
    let mut hasher = XxHash64::with_seed(0);
    if let Some(condition) = &value.filter_chain_match {
        hasher.write(&condition.encode_to_vec());
    }
    if let Some(socket) = &value.transport_socket {
        hasher.write(&socket.encode_to_vec());
    }
    if let Some(timeout) = &value.transport_socket_connect_timeout {
        hasher.write(&timeout.encode_to_vec());
    }
    for filter in &value.filters {
        hasher.write(&filter.encode_to_vec());
    }
    hasher.finish()
}

fn chain_match(value: &pb::FilterChainMatch) -> Result<ChainMatch> {
    let unsupported = [
        ("address_suffix", !value.address_suffix.is_empty()),
        ("direct_source_prefix_ranges", !value.direct_source_prefix_ranges.is_empty()),
        ("source_type", value.source_type != 0),
        ("source_ports", !value.source_ports.is_empty()),
    ];
    if let Some((field, _)) = unsupported.into_iter().find(|(_, set)| *set) {
        return Err(ConfigError::unsupported(field));
    }
    let destination_port = value.destination_port.as_ref().map(|number| port(number.value));
    Ok(ChainMatch {
        destination_port: destination_port.transpose().field("destination_port")?,
        prefix_ranges: each("prefix_ranges", &value.prefix_ranges, super::value::cidr)?,
        server_names: value.server_names.iter().map(|name| name.to_ascii_lowercase().into()).collect(),
        transport_protocol: match value.transport_protocol.as_str() {
            "" => None,
            "tls" => Some(Transport::Tls),
            "raw_buffer" => Some(Transport::RawBuffer),
            other => return Err(ConfigError::unsupported(format!("the transport protocol {other:?}"))),
        },
        application_protocols: value.application_protocols.iter().map(|name| name.as_str().into()).collect(),
        source_ranges: each("source_prefix_ranges", &value.source_prefix_ranges, super::value::cidr)?,
    })
}

fn route_names(listener: &Listener) -> BTreeSet<Arc<str>> {
    let of_chain = |chain: &Arc<FilterChain>| match &chain.network {
        Network::Http(manager) => match &manager.routes {
            RouteSource::Named(name) => Some(name.clone()),
            RouteSource::Inline(_) => None,
        },
        Network::Tcp(_) => None,
    };
    listener.chains.iter().filter_map(of_chain).collect()
}

fn secret_names(listener: &Listener) -> BTreeSet<Arc<str>> {
    let tls = listener.chains.iter().filter_map(|chain| chain.tls.as_ref());
    tls.flat_map(|tls| tls.certificates.iter().chain(&tls.roots).cloned()).collect()
}
