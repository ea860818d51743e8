//! What a virtual host or route configures for HTTP filters: `typed_per_filter_config`.

use std::collections::HashMap;
use std::sync::Arc;

use ::http::{HeaderValue, StatusCode};
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::filters::common::fault::v3 as common_fault;
use envoy_types::pb::envoy::extensions::filters::http::{cors::v3 as cors_pb, fault::v3 as fault_pb};
use envoy_types::pb::google::protobuf::Any;

use super::error::{At as _, ConfigError, Result, each};
use super::value::{decode, duration, flag, fraction, number, runtime_fraction};
use super::{istio, matcher};
use crate::snapshot::route::{Abort, Cors, Fault, Fraction};

const FAULT: &str = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
const CORS: &str = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy";
const FILTER_CONFIG: &str = "type.googleapis.com/envoy.config.route.v3.FilterConfig";

/// Settings of one level for the filters that take part in the request path.
#[derive(Debug, Clone, Default)]
pub(super) struct PerFilter {
    pub(super) fault: Option<Arc<Fault>>,
    pub(super) cors: Option<Arc<Cors>>,
}

impl PerFilter {
    /// These settings, and `outer` where there are none.
    pub(super) fn or(self, outer: &Self) -> Self {
        Self {
            fault: self.fault.or_else(|| outer.fault.clone()),
            cors: self.cors.or_else(|| outer.cors.clone()),
        }
    }
}

/// The settings of a level. A filter that is not known here is refused unless it is said to be optional.
pub(super) fn per_filter(configs: &HashMap<String, Any>) -> Result<PerFilter> {
    let mut found = PerFilter::default();
    for (name, any) in configs {
        apply(&mut found, name, any).field(&format!("typed_per_filter_config[{name:?}]"))?;
    }
    Ok(found)
}

fn apply(found: &mut PerFilter, name: &str, any: &Any) -> Result<()> {
    match any.type_url.as_str() {
        FAULT => found.fault = Some(Arc::new(fault(&decode(any)?)?)),
        CORS => found.cors = Some(Arc::new(cors_filter(&decode(any)?)?)),
        FILTER_CONFIG => {
            let wrapper: route::FilterConfig = decode(any)?;
            match &wrapper.config {
                _ if wrapper.disabled => disable(found, name)?,
                Some(inner) => match apply(found, name, inner) {
                    Err(_) if wrapper.is_optional => {}
                    result => result?,
                },
                None => {}
            }
        }
        known if istio::has_no_part_in_routes(known) => {}
        unknown => return Err(ConfigError::unknown_extension("HTTP filter", name, unknown)),
    }
    Ok(())
}

fn disable(found: &mut PerFilter, name: &str) -> Result<()> {
    match name {
        "envoy.filters.http.fault" => found.fault = Some(Arc::new(no_fault())),
        "envoy.filters.http.cors" => found.cors = Some(Arc::new(Cors { disabled: true, ..Cors::default() })),
        other => {
            return Err(ConfigError::unsupported(format!(
                "switching off the HTTP filter {other:?} for a route"
            )));
        }
    }
    Ok(())
}

fn no_fault() -> Fault {
    Fault {
        delay: None,
        abort: None,
        headers: Vec::new(),
        upstream_cluster: None,
        downstream_nodes: Vec::new(),
        max_active: None,
    }
}

/// Faults on purpose.
pub(super) fn fault(value: &fault_pb::HttpFault) -> Result<Fault> {
    if value.response_rate_limit.is_some() {
        return Err(ConfigError::unsupported("response_rate_limit"));
    }
    Ok(Fault {
        delay: value.delay.as_ref().map(delay).transpose().field("delay")?,
        abort: value.abort.as_ref().map(abort).transpose().field("abort")?,
        headers: each("headers", &value.headers, matcher::header)?,
        upstream_cluster: (!value.upstream_cluster.is_empty())
            .then(|| value.upstream_cluster.as_str().into()),
        downstream_nodes: value.downstream_nodes.iter().map(|node| node.as_str().into()).collect(),
        max_active: number(value.max_active_faults.as_ref()),
    })
}

fn delay(value: &common_fault::FaultDelay) -> Result<(Fraction, std::time::Duration)> {
    use common_fault::fault_delay::FaultDelaySecifier as Specifier;
    let share = fraction(value.percentage.as_ref()).field("percentage")?;
    match &value.fault_delay_secifier {
        Some(Specifier::FixedDelay(fixed)) => Ok((share, duration(fixed).field("fixed_delay")?)),
        Some(Specifier::HeaderDelay(_)) => Err(ConfigError::unsupported("header_delay")),
        None => Err(ConfigError::new("a fixed_delay is required")),
    }
}

fn abort(value: &fault_pb::FaultAbort) -> Result<(Fraction, Abort)> {
    use fault_pb::fault_abort::ErrorType;
    let share = fraction(value.percentage.as_ref()).field("percentage")?;
    match &value.error_type {
        Some(ErrorType::HttpStatus(code)) => Ok((share, Abort::Http(status(*code).field("http_status")?))),
        Some(ErrorType::GrpcStatus(code)) => Ok((share, Abort::Grpc(*code))),
        Some(ErrorType::HeaderAbort(_)) => Err(ConfigError::unsupported("header_abort")),
        None => Err(ConfigError::new("an http_status or grpc_status is required")),
    }
}

/// A status code that may be sent.
pub(super) fn status(code: u32) -> Result<StatusCode> {
    u16::try_from(code)
        .ok()
        .filter(|code| (200..600).contains(code))
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| ConfigError::new(format!("{code} is not an HTTP status from 200 to 599")))
}

fn cors_filter(value: &cors_pb::CorsPolicy) -> Result<Cors> {
    let enabled = runtime_fraction(value.filter_enabled.as_ref()).field("filter_enabled")?;
    Ok(Cors {
        allow_origins: each("allow_origin_string_match", &value.allow_origin_string_match, matcher::string)?,
        allow_methods: header_value(&value.allow_methods).field("allow_methods")?,
        allow_headers: header_value(&value.allow_headers).field("allow_headers")?,
        expose_headers: header_value(&value.expose_headers).field("expose_headers")?,
        max_age: header_value(&value.max_age).field("max_age")?,
        allow_credentials: flag(value.allow_credentials.as_ref()),
        forward_unmatched_preflights: value.forward_not_matching_preflights.as_ref().is_none_or(|v| v.value),
        disabled: enabled == Fraction(0),
    })
}

/// CORS in its older place, on the route action or virtual host.
pub(super) fn cors_route(value: &route::CorsPolicy) -> Result<Cors> {
    use route::cors_policy::EnabledSpecifier;
    let enabled = match &value.enabled_specifier {
        None => Fraction::ALL,
        Some(EnabledSpecifier::FilterEnabled(share)) => {
            runtime_fraction(Some(share)).field("filter_enabled")?
        }
    };
    Ok(Cors {
        allow_origins: each("allow_origin_string_match", &value.allow_origin_string_match, matcher::string)?,
        allow_methods: header_value(&value.allow_methods).field("allow_methods")?,
        allow_headers: header_value(&value.allow_headers).field("allow_headers")?,
        expose_headers: header_value(&value.expose_headers).field("expose_headers")?,
        max_age: header_value(&value.max_age).field("max_age")?,
        allow_credentials: flag(value.allow_credentials.as_ref()),
        forward_unmatched_preflights: value.forward_not_matching_preflights.as_ref().is_none_or(|v| v.value),
        disabled: enabled == Fraction(0),
    })
}

/// A header value; empty is none.
pub(super) fn header_value(text: &str) -> Result<Option<HeaderValue>> {
    if text.is_empty() {
        return Ok(None);
    }
    HeaderValue::from_str(text)
        .map(Some)
        .map_err(|_| ConfigError::new(format!("{text:?} has characters that HTTP forbids in a header")))
}
