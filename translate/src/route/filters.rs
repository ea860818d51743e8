//! What a route says to HTTP filters: injected faults and the cross-origin policy.

use crds::networking::{CorsPolicy, HttpFaultInjection, HttpRoute, UnmatchedPreflights};

use super::matching::pattern;
use crate::proto::{
    any, boolean, cors, exactly, fault, fault_common, fraction, runtime_fraction, string_matcher, written,
};
use crate::wire;

/// Name of the fault filter.
pub(crate) const FAULT: &str = "envoy.filters.http.fault";
/// Name of the cross-origin filter.
pub(crate) const CORS: &str = "envoy.filters.http.cors";

/// Encoded `typed_per_filter_config` entries of a route.
pub(super) fn per_filter(rule: &HttpRoute) -> Vec<(&'static str, Vec<u8>)> {
    let mut entries = Vec::new();
    if let Some(fault) = rule.fault.as_ref().and_then(injected) {
        entries.push((FAULT, wire::any(&any(&fault))));
    }
    if let Some(policy) = &rule.cors_policy {
        entries.push((CORS, wire::any(&any(&cross_origin(policy)))));
    }
    entries
}

/// Without a percentage, no request is affected.
fn injected(written_fault: &HttpFaultInjection) -> Option<fault::HttpFault> {
    let delay = written_fault.delay.as_ref().and_then(|delay| {
        let percent = delay.percentage.as_ref().map_or_else(
            || f64::from(delay.percent.unwrap_or_default()),
            |percentage| percentage.value.unwrap_or_default(),
        );
        Some(fault_common::FaultDelay {
            percentage: Some(fraction(percent)),
            fault_delay_secifier: Some(fault_common::fault_delay::FaultDelaySecifier::FixedDelay(written(
                Some(delay.fixed_delay?),
            )?)),
        })
    });
    let abort = written_fault.abort.as_ref().and_then(|abort| {
        use fault::fault_abort::ErrorType;
        let error = match (abort.http_status, abort.grpc_status.as_deref()) {
            (Some(status), _) => ErrorType::HttpStatus(u32::try_from(status).ok()?),
            (None, Some(status)) => ErrorType::GrpcStatus(grpc_status(status)?),
            (None, None) => return None,
        };
        let percentage = abort.percentage.as_ref().and_then(|percentage| percentage.value);
        Some(fault::FaultAbort {
            percentage: percentage.map(fraction),
            error_type: Some(error),
            ..Default::default()
        })
    });
    let some = delay.is_some() || abort.is_some();
    some.then(|| fault::HttpFault { delay, abort, ..Default::default() })
}

const GRPC_STATUS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A gRPC status by name or number.
fn grpc_status(written: &str) -> Option<u32> {
    let by_name = GRPC_STATUS.iter().position(|name| *name == written).map(|at| at as u32);
    by_name.or_else(|| written.parse().ok().filter(|number| *number < GRPC_STATUS.len() as u32))
}

fn cross_origin(policy: &CorsPolicy) -> cors::CorsPolicy {
    let origins = if policy.allow_origins.is_empty() {
        policy.allow_origin.iter().map(|origin| exactly(origin)).collect()
    } else {
        policy.allow_origins.iter().filter_map(pattern).map(string_matcher).collect()
    };
    cors::CorsPolicy {
        allow_origin_string_match: origins,
        allow_methods: policy.allow_methods.join(","),
        allow_headers: policy.allow_headers.join(","),
        expose_headers: policy.expose_headers.join(","),
        max_age: policy.max_age.map(|age| age.0.as_secs().to_string()).unwrap_or_default(),
        allow_credentials: policy.allow_credentials.and_then(boolean),
        filter_enabled: Some(runtime_fraction(100.0)),
        forward_not_matching_preflights: boolean(
            policy.unmatched_preflights != Some(UnmatchedPreflights::Ignore),
        ),
        ..Default::default()
    }
}
