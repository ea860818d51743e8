//! HTTP towards endpoints: `HttpProtocolOptions`, and the fields of the cluster that they replaced.

use std::num::NonZeroU32;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3 as pb;
use envoy_types::pb::envoy::config::common::matcher::v3 as predicate;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::upstreams::http::v3 as http_pb;

use super::error::{At as _, ConfigError, Result};
use super::http::http1;
use super::value::{decode, number, optional_duration, timeout};
use crate::snapshot::cluster::{Http2Keepalive, HttpOptions, UpstreamProtocol};

const OPTIONS: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const OPTIONS_NAME: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Compiles a cluster's HTTP options.
pub(super) fn options(value: &pb::Cluster) -> Result<HttpOptions> {
    let mut options = older(value)?;
    for (name, any) in &value.typed_extension_protocol_options {
        let field = format!("typed_extension_protocol_options[{name:?}]");
        if any.type_url != OPTIONS || name != OPTIONS_NAME {
            return Err(ConfigError::unknown_extension("protocol option", name, &any.type_url)).field(&field);
        }
        decode(any).and_then(|value| apply(&mut options, &value)).field(&field)?;
    }
    Ok(options)
}

/// Status codes that count as errors of an endpoint in place of 5xx; none if the cluster names none.
pub(super) fn error_codes(value: &pb::Cluster) -> Result<Vec<u16>> {
    let Some(any) = value.typed_extension_protocol_options.get(OPTIONS_NAME) else { return Ok(Vec::new()) };
    let options: http_pb::HttpProtocolOptions = decode(any)?;
    let detection = options.outlier_detection.and_then(|detection| detection.error_matcher);
    let mut codes = Vec::new();
    if let Some(matcher) = detection {
        add_codes(&matcher, &mut codes).field("outlier_detection.error_matcher")?;
    }
    Ok(codes)
}

fn add_codes(matcher: &predicate::MatchPredicate, codes: &mut Vec<u16>) -> Result<()> {
    use predicate::match_predicate::Rule;
    let headers = match &matcher.rule {
        Some(Rule::OrMatch(set)) => return set.rules.iter().try_for_each(|rule| add_codes(rule, codes)),
        Some(Rule::HttpResponseHeadersMatch(matched)) => matched.headers.as_slice(),
        _ => &[],
    };
    let code = match headers {
        [only] if only.name == ":status" => exact(only).and_then(|text| text.parse().ok()),
        _ => None,
    };
    codes.push(code.ok_or_else(|| ConfigError::unsupported("anything but one of several exact :status"))?);
    Ok(())
}

fn exact(header: &route::HeaderMatcher) -> Option<&str> {
    use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
    use route::header_matcher::HeaderMatchSpecifier;
    match header.header_match_specifier.as_ref()? {
        HeaderMatchSpecifier::StringMatch(text) => match text.match_pattern.as_ref()? {
            MatchPattern::Exact(exact) => Some(exact),
            _ => None,
        },
        _ => None,
    }
}

/// From the cluster's own fields, which Envoy calls deprecated and people still write.
fn older(value: &pb::Cluster) -> Result<HttpOptions> {
    let mut options = HttpOptions::default();
    if value.http2_protocol_options.is_some() {
        options.protocol = UpstreamProtocol::Http2;
    }
    if value.protocol_selection == pb::cluster::ClusterProtocolSelection::UseDownstreamProtocol as i32 {
        options.protocol = UpstreamProtocol::UseDownstream;
    }
    http2(&mut options, value.http2_protocol_options.as_ref()).field("http2_protocol_options")?;
    options.max_requests_per_connection =
        number(value.max_requests_per_connection.as_ref()).and_then(NonZeroU32::new);
    common(&mut options, value.common_http_protocol_options.as_ref())
        .field("common_http_protocol_options")?;
    if let Some(upstream) = &value.upstream_http_protocol_options {
        options.auto_sni = upstream.auto_sni;
        options.auto_san = upstream.auto_san_validation;
    }
    Ok(options)
}

fn apply(options: &mut HttpOptions, value: &http_pb::HttpProtocolOptions) -> Result<()> {
    use http_pb::http_protocol_options::{
        UpstreamProtocolOptions as Pb, explicit_http_config::ProtocolConfig,
    };
    let unsupported = [
        ("request_mirror_policies", !value.request_mirror_policies.is_empty()),
        ("retry_policy", value.retry_policy.is_some()),
        ("hash_policy", !value.hash_policy.is_empty()),
    ];
    if let Some((field, _)) = unsupported.into_iter().find(|(_, set)| *set) {
        return Err(ConfigError::unsupported(field));
    }
    refuse_filters(value)?;
    common(options, value.common_http_protocol_options.as_ref()).field("common_http_protocol_options")?;
    if let Some(upstream) = &value.upstream_http_protocol_options {
        options.auto_sni = upstream.auto_sni;
        options.auto_san = upstream.auto_san_validation;
    }
    match &value.upstream_protocol_options {
        None => Ok(()),
        Some(Pb::ExplicitHttpConfig(explicit)) => match &explicit.protocol_config {
            None | Some(ProtocolConfig::HttpProtocolOptions(_)) => {
                options.protocol = UpstreamProtocol::Http1;
                match &explicit.protocol_config {
                    Some(ProtocolConfig::HttpProtocolOptions(http1)) => casing(options, Some(http1)),
                    _ => Ok(()),
                }
            }
            Some(ProtocolConfig::Http2ProtocolOptions(config)) => {
                options.protocol = UpstreamProtocol::Http2;
                http2(options, Some(config))
            }
            Some(ProtocolConfig::Http3ProtocolOptions(_)) => Err(ConfigError::unsupported("HTTP/3")),
        },
        Some(Pb::UseDownstreamProtocolConfig(config)) => {
            options.protocol = UpstreamProtocol::UseDownstream;
            casing(options, config.http_protocol_options.as_ref())?;
            http2(options, config.http2_protocol_options.as_ref())
        }
        Some(Pb::AutoConfig(config)) => {
            options.protocol = UpstreamProtocol::Auto;
            casing(options, config.http_protocol_options.as_ref())?;
            http2(options, config.http2_protocol_options.as_ref())
        }
    }
}

/// Upstream HTTP filters: the codec, which ends every such chain, is the only one.
fn refuse_filters(value: &http_pb::HttpProtocolOptions) -> Result<()> {
    for (index, filter) in value.http_filters.iter().enumerate() {
        if filter.name != "envoy.filters.http.upstream_codec" {
            let error = ConfigError::unknown_extension("upstream HTTP filter", &filter.name, "");
            return Err(error).entry("http_filters", index);
        }
    }
    Ok(())
}

fn common(options: &mut HttpOptions, value: Option<&core::HttpProtocolOptions>) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    options.idle_timeout =
        timeout("idle_timeout", value.idle_timeout.as_ref(), Some(Duration::from_hours(1)))?;
    options.max_connection_duration =
        timeout("max_connection_duration", value.max_connection_duration.as_ref(), None)?;
    if let Some(limit) = number(value.max_requests_per_connection.as_ref()) {
        options.max_requests_per_connection = NonZeroU32::new(limit);
    }
    Ok(())
}

fn casing(options: &mut HttpOptions, value: Option<&core::Http1ProtocolOptions>) -> Result<()> {
    let http1 = http1(value)?;
    options.title_case = http1.title_case;
    options.preserve_case = http1.preserve_case;
    Ok(())
}

fn http2(options: &mut HttpOptions, value: Option<&core::Http2ProtocolOptions>) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    options.max_concurrent_streams = number(value.max_concurrent_streams.as_ref()).and_then(NonZeroU32::new);
    options.stream_window = number(value.initial_stream_window_size.as_ref());
    options.connection_window = number(value.initial_connection_window_size.as_ref());
    if let Some(keepalive) = &value.connection_keepalive {
        let interval = optional_duration("connection_keepalive.interval", keepalive.interval.as_ref())?;
        let answer = optional_duration("connection_keepalive.timeout", keepalive.timeout.as_ref())?;
        options.keepalive = interval
            .filter(|interval| !interval.is_zero())
            .map(|interval| Http2Keepalive { interval, timeout: answer.unwrap_or(Duration::from_secs(20)) });
    }
    Ok(())
}
