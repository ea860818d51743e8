//! How long a request may take.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::snapshot::route::{Forward, GrpcTimeout, RetryPolicy};

const RQ_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-upstream-rq-timeout-ms");
const TRY_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-upstream-rq-per-try-timeout-ms");
const EXPECTED: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// A request's limits. `None` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// For the answer, over all attempts.
    pub whole: Option<Duration>,
    /// For one attempt.
    pub each: Option<Duration>,
}

/// The limits of a request on this route, and the headers that tell the upstream about them. `trusted`: the client
/// may ask for limits by header.
pub fn limits(
    forward: &Forward,
    retry: Option<&RetryPolicy>,
    headers: &mut HeaderMap,
    grpc: bool,
    trusted: bool,
) -> Timeouts {
    let mut limits = Timeouts { whole: forward.timeout, each: retry.and_then(|retry| retry.per_try_timeout) };
    if grpc && let GrpcTimeout::UpTo(most) = forward.grpc_timeout {
        let asked = headers.get(GRPC_TIMEOUT).and_then(parse_grpc_timeout);
        limits.whole = match (asked, most) {
            (Some(asked), Some(most)) => Some(asked.min(most)),
            (Some(asked), None) => Some(asked),
            (None, _) => limits.whole,
        };
    }
    for (name, limit) in [(RQ_TIMEOUT, &mut limits.whole), (TRY_TIMEOUT, &mut limits.each)] {
        if let Some(asked) = headers.remove(name).filter(|_| trusted).and_then(|value| milliseconds(&value)) {
            *limit = Some(asked).filter(|asked| !asked.is_zero());
        }
    }
    if limits.whole.is_some() && limits.each >= limits.whole {
        limits.each = None;
    }
    if let Some(expected) = limits.each.or(limits.whole) {
        headers.insert(EXPECTED, HeaderValue::from(expected.as_millis() as u64));
    } else if !trusted {
        headers.remove(EXPECTED);
    }
    limits
}

/// `None`: not a number, which has no effect.
fn milliseconds(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.parse().ok().map(Duration::from_millis)
}

/// gRPC's own timeout: up to eight digits and a unit.
pub fn parse_grpc_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_hours(number),
        "M" => Duration::from_mins(number),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::route::{RetryOn, RetryPolicy};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_route_the_client_and_grpc_each_have_their_say() {
        let seconds = |n| Some(Duration::from_secs(n));
        let (rq, each) = ("x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms");
        for (route, per_try, grpc, given, trusted, expected) in [
            (None, None, None, headers(&[]), true, (None, None)),
            (seconds(3), None, None, headers(&[]), true, (seconds(3), None)),
            (seconds(3), seconds(1), None, headers(&[]), true, (seconds(3), seconds(1))),
            (seconds(3), seconds(4), None, headers(&[]), true, (seconds(3), None)),
            (seconds(3), None, None, headers(&[(rq, "5000")]), true, (seconds(5), None)),
            (seconds(3), None, None, headers(&[(rq, "5000")]), false, (seconds(3), None)),
            (seconds(3), None, None, headers(&[(rq, "0")]), true, (None, None)),
            (seconds(3), None, None, headers(&[(rq, "soon")]), true, (seconds(3), None)),
            (seconds(3), None, None, headers(&[(each, "1000")]), true, (seconds(3), seconds(1))),
            (seconds(3), None, Some(None), headers(&[("grpc-timeout", "9S")]), true, (seconds(9), None)),
            (
                seconds(3),
                None,
                Some(seconds(4)),
                headers(&[("grpc-timeout", "9S")]),
                true,
                (seconds(4), None),
            ),
            (seconds(3), None, Some(None), headers(&[]), true, (seconds(3), None)),
        ] {
            let mut forward = Forward::to_cluster("c");
            forward.timeout = route;
            forward.grpc_timeout = grpc.map_or(GrpcTimeout::Ignored, GrpcTimeout::UpTo);
            let retry = RetryPolicy { per_try_timeout: per_try, ..RetryPolicy::new(RetryOn::RESET) };
            let mut sent = given.clone();
            let got = limits(&forward, Some(&retry), &mut sent, grpc.is_some(), trusted);
            assert_eq!((got.whole, got.each), expected, "{given:?}");
            let told = sent.get(EXPECTED).map(|value| value.to_str().unwrap().parse().unwrap());
            assert_eq!(told.map(Duration::from_millis), expected.1.or(expected.0), "{given:?}");
        }
    }

    #[test]
    fn grpc_timeouts_have_units() {
        for (text, expected) in [
            ("1H", Some(Duration::from_hours(1))),
            ("20m", Some(Duration::from_millis(20))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("999999999n", None),
            ("5", None),
            ("S", None),
            ("-1S", None),
        ] {
            assert_eq!(parse_grpc_timeout(&HeaderValue::from_static(text)), expected, "{text}");
        }
    }
}
