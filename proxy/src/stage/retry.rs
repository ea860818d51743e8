//! Whether a failed attempt is tried again, and when.
//!
//! Follows Envoy's RetryStateImpl. The request path tells what happened, this says what to do; limits on retries of a
//! whole cluster are `upstream`'s.

use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};

use crate::{
    request::head::text,
    snapshot::route::{RetryOn, RetryPolicy},
};

const RATELIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// How an attempt ended without a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There was no connection.
    Connect,
    /// A limit was reached. Never tried again.
    Overflow,
    /// The peer refused the stream before it did anything.
    RefusedStream,
    /// The stream or connection ended; `sent`: the request was on its way.
    Reset {
        /// Whether any of the request had been sent.
        sent: bool,
    },
    /// It took longer than one attempt may.
    TryTimeout,
    /// The client's own fault or choice. Never tried again.
    Client,
}

/// The retries of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    on: RetryOn,
    status_codes: Vec<u16>,
    left: u32,
    done: u32,
    base: Duration,
    max: Duration,
}

impl Retries {
    /// What the route allows.
    pub fn new(policy: Option<&RetryPolicy>) -> Option<Self> {
        policy.map(Self::from).filter(|retries| retries.left > 0)
    }

    /// Whether an attempt that ended so may be tried again, limits apart.
    pub fn wants_after_failure(&self, failure: Failure) -> bool {
        let any_reset = RetryOn::FIVE_XX.with(RetryOn::GATEWAY_ERROR).with(RetryOn::RESET);
        self.on.any(match failure {
            Failure::Overflow | Failure::Client => return false,
            Failure::Connect => any_reset.with(RetryOn::CONNECT_FAILURE).with(RetryOn::RESET_BEFORE_REQUEST),
            Failure::RefusedStream => any_reset.with(RetryOn::REFUSED_STREAM),
            Failure::Reset { sent: true } | Failure::TryTimeout => any_reset,
            Failure::Reset { sent: false } => any_reset.with(RetryOn::RESET_BEFORE_REQUEST),
        })
    }

    /// Whether a response with this head may be tried again, limits apart.
    pub fn wants_after_response(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        if headers.contains_key(RATELIMITED) {
            return self.on.any(RetryOn::RATELIMITED);
        }
        let code = status.as_u16();
        let by_status = (status.is_server_error() && self.on.any(RetryOn::FIVE_XX))
            || (matches!(code, 502..=504) && self.on.any(RetryOn::GATEWAY_ERROR))
            || (code == 409 && self.on.any(RetryOn::RETRIABLE_4XX))
            || (self.on.any(RetryOn::STATUS_CODES) && self.status_codes.contains(&code));
        by_status
            || self.on.any(match text(headers.get(GRPC_STATUS)) {
                "1" => RetryOn::GRPC_CANCELLED,
                "4" => RetryOn::GRPC_DEADLINE_EXCEEDED,
                "8" => RetryOn::GRPC_RESOURCE_EXHAUSTED,
                "13" => RetryOn::GRPC_INTERNAL,
                "14" => RetryOn::GRPC_UNAVAILABLE,
                _ => RetryOn::default(),
            })
    }

    /// Whether attempts are left.
    pub fn left(&self) -> bool {
        self.left > 0
    }

    /// Uses one up: how long to wait before it. Full jitter over an interval that doubles each time.
    pub fn take(&mut self, random: u32) -> Duration {
        self.left -= 1;
        self.done += 1;
        let interval = self.base.saturating_mul(1 << (self.done - 1).min(20)).min(self.max);
        let nanoseconds = interval.as_nanos() as u64;
        Duration::from_nanos(if nanoseconds == 0 { 0 } else { spread(random) % nanoseconds })
    }
}

/// 64 random bits out of 32: intervals have more nanoseconds than 32 bits can tell apart.
fn spread(random: u32) -> u64 {
    u64::from(random).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl From<&RetryPolicy> for Retries {
    fn from(policy: &RetryPolicy) -> Self {
        Self {
            on: policy.on,
            status_codes: policy.status_codes.clone(),
            left: policy.retries,
            done: 0,
            base: policy.base_interval,
            max: policy.max_interval,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn retries(on: &str, codes: &[u16]) -> Retries {
        let policy = RetryPolicy { status_codes: codes.to_vec(), ..RetryPolicy::new(RetryOn::parse(on)) };
        Retries::from(&policy)
    }

    #[test]
    fn failures_are_retried_as_envoy_does() {
        let istio = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
        for (on, failure, expected) in [
            (istio, Failure::Connect, true),
            (istio, Failure::RefusedStream, true),
            (istio, Failure::Reset { sent: true }, false),
            (istio, Failure::Reset { sent: false }, false),
            (istio, Failure::TryTimeout, false),
            (istio, Failure::Overflow, false),
            ("reset-before-request", Failure::Reset { sent: false }, true),
            ("reset-before-request", Failure::Reset { sent: true }, false),
            ("reset", Failure::Reset { sent: true }, true),
            ("5xx", Failure::Connect, true),
            ("5xx", Failure::TryTimeout, true),
            ("gateway-error", Failure::Reset { sent: true }, true),
            ("5xx", Failure::Overflow, false),
            ("5xx", Failure::Client, false),
        ] {
            assert_eq!(retries(on, &[]).wants_after_failure(failure), expected, "{on} {failure:?}");
        }
    }

    #[test]
    fn responses_are_retried_as_envoy_does() {
        let none: &[(&str, &str)] = &[];
        for (on, codes, status, headers, expected) in [
            ("5xx", &[][..], 503, none, true),
            ("5xx", &[], 200, none, false),
            ("gateway-error", &[], 500, none, false),
            ("gateway-error", &[], 504, none, true),
            ("retriable-4xx", &[], 409, none, true),
            ("retriable-status-codes", &[418], 418, none, true),
            ("retriable-status-codes", &[], 503, none, false),
            ("unavailable", &[], 200, &[("grpc-status", "14")][..], true),
            ("unavailable", &[], 200, &[("grpc-status", "13")], false),
            ("cancelled,internal", &[], 200, &[("grpc-status", "13")], true),
            ("5xx", &[], 503, &[("x-envoy-ratelimited", "true")], false),
            ("envoy-ratelimited", &[], 429, &[("x-envoy-ratelimited", "true")], true),
        ] {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            let got =
                retries(on, codes).wants_after_response(StatusCode::from_u16(status).unwrap(), &headers);
            assert_eq!(got, expected, "{on} {status} {headers:?}");
        }
    }

    #[test]
    fn waits_grow_to_a_limit_and_end_with_the_attempts() {
        let policy = RetryPolicy { retries: 6, ..RetryPolicy::new(RetryOn::RESET) };
        let mut retries = Retries::from(&policy);
        for most in [25, 50, 100, 200, 250, 250] {
            assert!(retries.left());
            assert!(retries.take(u32::MAX) < Duration::from_millis(most));
        }
        assert!(!retries.left());
    }
}
