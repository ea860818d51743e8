//! Parts of listeners that occur in all of them.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::r#type::v3::Int32Range;

use crate::proto::{
    announced, any, http_inspector as inspector_http, listener, original_dst, tls_inspector as inspector_tls,
};
use listener::ListenerFilterChainMatchPredicate as Predicate;
use listener::listener_filter::ConfigType;
use listener::listener_filter_chain_match_predicate::{MatchSet, Rule};

/// Looks up where a redirected connection was going.
pub(crate) fn original_destination() -> listener::ListenerFilter {
    filter("envoy.filters.listener.original_dst", any(&original_dst::OriginalDst::default()))
}

/// Looks whether a connection begins with a TLS handshake, and for which name.
pub(crate) fn tls_inspector() -> listener::ListenerFilter {
    filter("envoy.filters.listener.tls_inspector", any(&inspector_tls::TlsInspector::default()))
}

/// Reads the header by which a proxy in front tells who the client is.
pub(crate) fn proxy_protocol() -> listener::ListenerFilter {
    filter("envoy.filters.listener.proxy_protocol", any(&announced::ProxyProtocol::default()))
}

/// Looks whether a connection begins with a plaintext HTTP request.
pub(crate) fn http_inspector() -> listener::ListenerFilter {
    filter("envoy.filters.listener.http_inspector", any(&inspector_http::HttpInspector::default()))
}

fn filter(name: &str, config: crate::proto::Any) -> listener::ListenerFilter {
    listener::ListenerFilter {
        name: name.to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

/// Runs a filter only where it is needed, by the chains that depend on it: waiting for a first byte would stall
/// protocols in which the server speaks first. None if no chain needs it.
pub(super) fn where_needed(
    mut filter: listener::ListenerFilter,
    chains: &[listener::FilterChain],
    needs: impl Fn(&listener::FilterChainMatch) -> bool,
) -> Option<listener::ListenerFilter> {
    // Chains without a port stand for all ports that no other chain names.
    let mut by_port: BTreeMap<u32, bool> = BTreeMap::new();
    for conditions in chains.iter().filter_map(|chain| chain.filter_chain_match.as_ref()) {
        let port = conditions.destination_port.as_ref().map_or(0, |port| port.value);
        *by_port.entry(port).or_default() |= needs(conditions);
    }
    let default = by_port.remove(&0).unwrap_or_default();
    let exceptions: Vec<u32> =
        by_port.into_iter().filter(|(_, needed)| *needed != default).map(|(port, _)| port).collect();
    if exceptions.is_empty() {
        return default.then_some(filter);
    }
    let listed = any_port(&exceptions);
    filter.filter_disabled =
        Some(if default { listed } else { Predicate { rule: Some(Rule::NotMatch(Box::new(listed))) } });
    Some(filter)
}

fn any_port(ports: &[u32]) -> Predicate {
    let mut rules: Vec<Predicate> = ports
        .iter()
        .map(|port| Predicate {
            rule: Some(Rule::DestinationPortRange(Int32Range { start: *port as i32, end: *port as i32 + 1 })),
        })
        .collect();
    if rules.len() == 1 {
        rules.remove(0)
    } else {
        Predicate { rule: Some(Rule::OrMatch(MatchSet { rules })) }
    }
}

/// A chain for whatever no other chain takes.
pub(crate) fn match_all(name: &str, filters: Vec<listener::Filter>) -> listener::FilterChain {
    listener::FilterChain { name: name.to_owned(), filters, ..Default::default() }
}
