//! Envoy's messages under short names, and the few shapes that occur everywhere.

#![expect(clippy::unnecessary_wraps, reason = "they fill fields, and prost's message fields are options")]

use std::net::IpAddr;
use std::time;

use prost::{Message, Name};

pub(crate) use envoy_types::pb::envoy::config::accesslog::v3 as accesslog;
pub(crate) use envoy_types::pb::envoy::config::cluster::v3 as cluster;
pub(crate) use envoy_types::pb::envoy::config::core::v3 as core;
pub(crate) use envoy_types::pb::envoy::config::endpoint::v3 as endpoint;
pub(crate) use envoy_types::pb::envoy::config::listener::v3 as listener;
pub(crate) use envoy_types::pb::envoy::config::route::v3 as route;
pub(crate) use envoy_types::pb::envoy::config::trace::v3 as trace;
#[cfg(test)]
pub(crate) use envoy_types::pb::envoy::extensions::access_loggers::file::v3 as file_log;
pub(crate) use envoy_types::pb::envoy::extensions::filters::common::fault::v3 as fault_common;
pub(crate) use envoy_types::pb::envoy::extensions::filters::http::cors::v3 as cors;
pub(crate) use envoy_types::pb::envoy::extensions::filters::http::fault::v3 as fault;
pub(crate) use envoy_types::pb::envoy::extensions::filters::http::grpc_stats::v3 as grpc_stats;
pub(crate) use envoy_types::pb::envoy::extensions::filters::http::grpc_web::v3 as grpc_web;
pub(crate) use envoy_types::pb::envoy::extensions::filters::http::router::v3 as router;
pub(crate) use envoy_types::pb::envoy::extensions::filters::listener::http_inspector::v3 as http_inspector;
pub(crate) use envoy_types::pb::envoy::extensions::filters::listener::original_dst::v3 as original_dst;
pub(crate) use envoy_types::pb::envoy::extensions::filters::listener::proxy_protocol::v3 as announced;
pub(crate) use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3 as tls_inspector;
pub(crate) use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
pub(crate) use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3 as tcp_proxy;
pub(crate) use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3 as previous_hosts;
pub(crate) use envoy_types::pb::envoy::extensions::transport_sockets::proxy_protocol::v3 as proxy_protocol;
pub(crate) use envoy_types::pb::envoy::extensions::transport_sockets::raw_buffer::v3 as raw_buffer;
pub(crate) use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
pub(crate) use envoy_types::pb::envoy::extensions::upstreams::http::v3 as upstream_http;
pub(crate) use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
pub(crate) use envoy_types::pb::envoy::r#type::v3 as kinds;
pub(crate) use envoy_types::pb::google::protobuf::{Any, BoolValue, Duration, UInt32Value, UInt64Value};

/// A message packed with its type.
pub(crate) fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// A wrapped number.
pub(crate) fn uint32(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

/// A wrapped number.
pub(crate) fn uint64(value: u64) -> Option<UInt64Value> {
    Some(UInt64Value { value })
}

/// A wrapped flag.
pub(crate) fn boolean(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

/// A length of time.
pub(crate) fn duration(value: time::Duration) -> Option<Duration> {
    let seconds = i64::try_from(value.as_secs()).unwrap_or(i64::MAX);
    Some(Duration { seconds, nanos: value.subsec_nanos() as i32 })
}

/// A length of time as written in an Istio kind.
pub(crate) fn written(value: Option<crds::Duration>) -> Option<Duration> {
    value.and_then(|value| duration(value.0))
}

/// A TCP address.
pub(crate) fn address(ip: IpAddr, port: u16) -> core::Address {
    named_address(&ip.to_string(), port)
}

/// A TCP address by name or IP.
pub(crate) fn named_address(host: &str, port: u16) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
            address: host.to_owned(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
            ..Default::default()
        })),
    }
}

/// A Unix socket.
pub(crate) fn pipe(path: &str) -> core::Address {
    core::Address {
        address: Some(core::address::Address::Pipe(core::Pipe { path: path.to_owned(), mode: 0 })),
    }
}

/// From where else than the stream itself would configuration come.
pub(crate) fn ads() -> core::ConfigSource {
    core::ConfigSource {
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource {},
        )),
        // Wait for the control plane as long as it takes: starting without configuration would drop traffic.
        initial_fetch_timeout: duration(time::Duration::ZERO),
        resource_api_version: core::ApiVersion::V3.into(),
        ..Default::default()
    }
}

/// A percentage with the resolution of a ten-thousandth of a percent.
pub(crate) fn fraction(percent: f64) -> kinds::FractionalPercent {
    kinds::FractionalPercent {
        numerator: (percent.clamp(0.0, 100.0) * 10_000.0).round() as u32,
        denominator: kinds::fractional_percent::DenominatorType::Million.into(),
    }
}

/// A percentage that runtime settings could override; nothing does.
pub(crate) fn runtime_fraction(percent: f64) -> core::RuntimeFractionalPercent {
    core::RuntimeFractionalPercent { default_value: Some(fraction(percent)), runtime_key: String::new() }
}

/// An exact string.
pub(crate) fn exactly(text: &str) -> matcher::StringMatcher {
    string_matcher(matcher::string_matcher::MatchPattern::Exact(text.to_owned()))
}

/// A string matcher of any pattern, case-sensitive.
pub(crate) fn string_matcher(pattern: matcher::string_matcher::MatchPattern) -> matcher::StringMatcher {
    matcher::StringMatcher { match_pattern: Some(pattern), ignore_case: false }
}

/// A regular expression that must match the whole input.
pub(crate) fn regex(pattern: &str) -> matcher::RegexMatcher {
    matcher::RegexMatcher { regex: pattern.to_owned(), ..Default::default() }
}

/// A network.
pub(crate) fn cidr(net: &ipnet::IpNet) -> core::CidrRange {
    core::CidrRange { address_prefix: net.addr().to_string(), prefix_len: uint32(net.prefix_len().into()) }
}
