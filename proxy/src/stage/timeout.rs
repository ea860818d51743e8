//! How long a request may take.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::snapshot::route::{Forward, GrpcTimeout, RetryPolicy};

const EXPECTED: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// A request's limits. `None` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// For the answer, over all attempts.
    pub whole: Option<Duration>,
    /// For one attempt.
    pub each: Option<Duration>,
    /// Whether the upstream reads `grpc-timeout`.
    pub grpc: bool,
}

/// The limits of a request on this route, and the headers that tell the upstream about them.
pub fn limits(
    forward: &Forward,
    retry: Option<&RetryPolicy>,
    headers: &mut HeaderMap,
    grpc: bool,
) -> Timeouts {
    let mut limits =
        Timeouts { whole: forward.timeout, each: retry.and_then(|retry| retry.per_try_timeout), grpc: false };
    if grpc && let GrpcTimeout::UpTo(most) = forward.grpc_timeout {
        limits.grpc = true;
        let asked = headers.get(GRPC_TIMEOUT).and_then(parse_grpc_timeout);
        limits.whole = match (asked, most) {
            (Some(asked), Some(most)) => Some(asked.min(most)),
            (Some(asked), None) => Some(asked),
            (None, _) => limits.whole,
        };
    }
    if limits.whole.is_some() && limits.each >= limits.whole {
        limits.each = None;
    }
    limits.tell(Duration::ZERO, headers);
    limits
}

impl Timeouts {
    /// Tells the upstream how long it has, `elapsed` after the whole request had come.
    pub fn tell(&self, elapsed: Duration, headers: &mut HeaderMap) {
        // Zero would mean no limit.
        let left = self.whole.map(|whole| whole.saturating_sub(elapsed).max(Duration::from_millis(1)));
        let Some(expected) = [self.each, left].into_iter().flatten().min() else { return };
        headers.insert(EXPECTED, HeaderValue::from(expected.as_millis() as u64));
        if self.grpc
            && let Ok(value) = HeaderValue::try_from(grpc_timeout(expected))
        {
            headers.insert(GRPC_TIMEOUT, value);
        }
    }
}

/// As `grpc-timeout` has it, in the smallest unit from milliseconds on that eight digits are enough for.
fn grpc_timeout(timeout: Duration) -> String {
    let mut number = timeout.as_millis();
    let mut units = [('m', 1000), ('S', 60), ('M', 60), ('H', 1)].into_iter().peekable();
    while let Some((unit, next)) = units.next() {
        if number < 100_000_000 || units.peek().is_none() {
            return format!("{}{unit}", number.min(99_999_999));
        }
        number /= next;
    }
    String::new()
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
    fn the_route_and_grpc_each_have_their_say() {
        let seconds = |n| Some(Duration::from_secs(n));
        let asked = || headers(&[("grpc-timeout", "9S")]);
        for (route, per_try, grpc, given, expected) in [
            (None, None, None, headers(&[]), (None, None)),
            (seconds(3), None, None, headers(&[]), (seconds(3), None)),
            (seconds(3), seconds(1), None, headers(&[]), (seconds(3), seconds(1))),
            (seconds(3), seconds(4), None, headers(&[]), (seconds(3), None)),
            (seconds(3), None, None, asked(), (seconds(3), None)),
            (seconds(3), None, Some(None), asked(), (seconds(9), None)),
            (seconds(3), None, Some(seconds(4)), asked(), (seconds(4), None)),
            (seconds(3), None, Some(None), headers(&[]), (seconds(3), None)),
        ] {
            let mut forward = Forward::to_cluster("c");
            forward.timeout = route;
            forward.grpc_timeout = grpc.map_or(GrpcTimeout::Ignored, GrpcTimeout::UpTo);
            let retry = RetryPolicy { per_try_timeout: per_try, ..RetryPolicy::new(RetryOn::RESET) };
            let mut sent = given.clone();
            let got = limits(&forward, Some(&retry), &mut sent, grpc.is_some());
            assert_eq!((got.whole, got.each), expected, "{given:?}");
            let told = sent.get(EXPECTED).map(|value| value.to_str().unwrap().parse().unwrap());
            assert_eq!(told.map(Duration::from_millis), expected.1.or(expected.0), "{given:?}");
        }
    }

    #[test]
    fn later_attempts_are_told_what_is_left() {
        let mut limits = Timeouts { whole: Some(Duration::from_secs(1)), each: None, grpc: true };
        for (each, elapsed, expected, grpc) in
            [(None, 700, "300", "300m"), (Some(200), 700, "200", "200m"), (None, 1200, "1", "1m")]
        {
            limits.each = each.map(Duration::from_millis);
            let mut headers = HeaderMap::new();
            limits.tell(Duration::from_millis(elapsed), &mut headers);
            assert_eq!(
                (&headers[EXPECTED], &headers[GRPC_TIMEOUT]),
                (&HeaderValue::from_static(expected), &HeaderValue::from_static(grpc))
            );
        }
        assert_eq!(grpc_timeout(Duration::from_hours(48)), "172800S");
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
