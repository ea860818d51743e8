//! How requests are carried: timeout, retries, faults, cross-origin policy.

use crds::{
    Duration,
    networking::{CorsPolicy, HttpFaultInjection, HttpRetry, HttpRoute, Percent},
};

use super::{
    findings::{At, Findings},
    headers, matching,
};

const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"];

/// Conditions on which Envoy retries.
const RETRY_ON: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

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

pub(super) fn check(at: &At, route: &HttpRoute, found: &mut Findings) {
    duration(&at.field("timeout"), route.timeout, found);
    if let Some(policy) = &route.retries {
        retries(&at.field("retries"), policy, found);
    }
    if let Some(faults) = &route.fault {
        fault(&at.field("fault"), faults, found);
        if route.timeout.is_some() || route.retries.is_some() {
            found.warning(at, "timeout and retries are switched off by fault on the same rule, as in Istio");
        }
    }
    if let Some(policy) = &route.cors_policy {
        cors(&at.field("corsPolicy"), policy, found);
    }
}

/// A duration that isn't zero; Envoy counts milliseconds.
pub(super) fn duration(at: &At, duration: Option<Duration>, found: &mut Findings) {
    let Some(Duration(length)) = duration else { return };
    if length.as_nanos() < 1_000_000 {
        found.error(at, "must be at least 1ms");
    } else if !length.subsec_nanos().is_multiple_of(1_000_000) {
        found.error(at, "must be a whole number of milliseconds");
    }
}

fn retries(at: &At, policy: &HttpRetry, found: &mut Findings) {
    let attempts = policy.attempts.unwrap_or_default();
    if attempts < 0 {
        found.error(&at.field("attempts"), format!("{attempts} is negative; 0 switches retries off"));
    }
    let configured = policy.per_try_timeout.is_some()
        || policy.retry_on.is_some()
        || policy.retry_remote_localities.is_some();
    found.error_if(
        attempts == 0 && configured,
        at,
        "attempts is 0 or absent, which switches retries off, but other fields are set; set attempts too",
    );
    duration(&at.field("perTryTimeout"), policy.per_try_timeout, found);
    duration(&at.field("backoff"), policy.backoff, found);
    let conditions = policy.retry_on.as_deref().filter(|text| !text.is_empty());
    for condition in conditions.into_iter().flat_map(|text| text.split(',')) {
        let status = condition.parse::<u16>().is_ok_and(|code| (100..=599).contains(&code));
        if !status && !RETRY_ON.contains(&condition) {
            found.error(
                &at.field("retryOn"),
                format!("{condition:?} is neither a status code nor one of {}", RETRY_ON.join(", ")),
            );
        }
    }
}

fn fault(at: &At, fault: &HttpFaultInjection, found: &mut Findings) {
    found.error_if(fault.abort.is_none() && fault.delay.is_none(), at, "needs an abort, a delay or both");
    if let Some(abort) = &fault.abort {
        let at = at.field("abort");
        share(&at, abort.percentage, found);
        if let Some(status) = abort.http_status.filter(|status| !(200..=600).contains(status)) {
            found.error(&at.field("httpStatus"), format!("{status} is not between 200 and 599"));
        }
        if let Some(status) = abort.grpc_status.as_deref().filter(|name| !GRPC_STATUS.contains(name)) {
            found.error(&at.field("grpcStatus"), format!("{status:?} is none of {}", GRPC_STATUS.join(", ")));
        }
        found.error_if(
            abort.http2_error.is_some(),
            &at.field("http2Error"),
            "is not supported; use httpStatus or grpcStatus",
        );
        if abort.http_status.is_none() && abort.grpc_status.is_none() && abort.http2_error.is_none() {
            found.warning(&at, "has no effect without httpStatus or grpcStatus");
        }
    }
    if let Some(delay) = &fault.delay {
        let at = at.field("delay");
        share(&at, delay.percentage, found);
        duration(&at.field("fixedDelay"), delay.fixed_delay, found);
        found.error_if(
            delay.exponential_delay.is_some(),
            &at.field("exponentialDelay"),
            "is not supported; use fixedDelay",
        );
        if delay.percent.is_some() {
            found.warning(&at.field("percent"), "is deprecated; use percentage");
        }
    }
}

/// A share of requests; Envoy counts in millionths.
fn share(at: &At, percentage: Option<Percent>, found: &mut Findings) {
    let at = at.field("percentage");
    match percentage {
        None => found.warning(&at, "is absent, so no request is affected"),
        Some(Percent { value }) => {
            let value = value.unwrap_or_default();
            if !(0.0..=100.0).contains(&value) || (value > 0.0 && value < 0.0001) {
                found.error(&at, format!("{value} is neither 0 nor between 0.0001 and 100"));
            }
        }
    }
}

fn cors(at: &At, policy: &CorsPolicy, found: &mut Findings) {
    for (index, origin) in policy.allow_origins.iter().enumerate() {
        let at = at.item("allowOrigins", index);
        let text = origin.exact.as_ref().or(origin.prefix.as_ref()).or(origin.regex.as_ref());
        found.error_if(text.is_none_or(String::is_empty), &at, "needs exact, prefix or regex");
        matching::expression(&at, origin, found);
    }
    if !policy.allow_origin.is_empty() {
        found.warning(&at.field("allowOrigin"), "is deprecated; use allowOrigins");
    }
    for (index, method) in policy.allow_methods.iter().enumerate() {
        if !METHODS.contains(&method.as_str()) {
            found.error(&at.item("allowMethods", index), format!("{method:?} is not an HTTP method"));
        }
    }
    for (field, list) in [("allowHeaders", &policy.allow_headers), ("exposeHeaders", &policy.expose_headers)]
    {
        for (index, name) in list.iter().enumerate() {
            found.error_if(!headers::is_token(name), &at.item(field, index), "is not a header's name");
        }
    }
    duration(&at.field("maxAge"), policy.max_age, found);
    let fraction = policy.max_age.is_some_and(|age| age.0.subsec_nanos() != 0);
    found.error_if(fraction, &at.field("maxAge"), "must be a whole number of seconds");
}
