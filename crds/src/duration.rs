//! Durations as Istio writes them (`"1.5s"`, `"1h30m"`, `"250ms"`), kept as a standard `Duration`.
//! Istio reads them with Go's `time.ParseDuration`, so any sum of number-and-unit pairs is accepted.

use std::{borrow::Cow, fmt, str::FromStr, time};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time in an Istio object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub time::Duration);

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration: write a number and a unit, such as \"1.5s\", \"250ms\" or \"1h\"")]
pub struct DurationError(String);

impl Duration {
    /// That many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(time::Duration::from_secs(seconds))
    }

    /// That many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(time::Duration::from_millis(millis))
    }
}

impl From<time::Duration> for Duration {
    fn from(value: time::Duration) -> Self {
        Self(value)
    }
}

impl From<Duration> for time::Duration {
    fn from(value: Duration) -> Self {
        value.0
    }
}

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Go keeps nanoseconds in an `int64`, so nothing longer than about 292 years can be meant.
const LONGEST: u128 = i64::MAX as u128;

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let refuse = || DurationError(text.to_owned());
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        if rest == "0" {
            return Ok(Self::default());
        }
        if rest.is_empty() {
            return Err(refuse());
        }
        let mut total = 0_u128;
        while !rest.is_empty() {
            let (nanos, after) = term(rest).ok_or_else(refuse)?;
            total = total.checked_add(nanos).filter(|sum| *sum <= LONGEST).ok_or_else(refuse)?;
            rest = after;
        }
        Ok(Self(time::Duration::from_nanos(total as u64)))
    }
}

/// Takes one `number unit` pair off the front: its nanoseconds and what follows.
fn term(text: &str) -> Option<(u128, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(end);
    let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let scale = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let mut nanos = match whole {
        "" => 0,
        digits => digits.parse::<u64>().ok().map(u128::from)?.checked_mul(scale)?,
    };
    // More than 18 fractional digits can't change a count of nanoseconds.
    let fraction = &fraction[..fraction.len().min(18)];
    if !fraction.is_empty() {
        nanos += fraction.parse::<u128>().ok()? * scale / 10_u128.pow(fraction.len() as u32);
    }
    Some((nanos, rest))
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        if nanos == 0 {
            return write!(f, "{seconds}s");
        }
        let fraction = format!("{nanos:09}");
        write!(f, "{seconds}.{}s", fraction.trim_end_matches('0'))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <Cow<'de, str>>::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "x-duration": true,
            "x-kubernetes-validations": [{
                "rule": "duration(self) >= duration('1ms')",
                "message": "must be a duration of at least 1ms, such as 1.5s",
            }],
        })
    }
}

/// The schema of the few durations that may be zero or are not looked at by Istio's CRDs.
pub(crate) fn unchecked(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "x-duration": true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads_and_writes_seconds() {
        for (text, written) in [
            ("1.5s", "1.5s"),
            ("1h30m", "5400s"),
            ("250ms", "0.25s"),
            ("0", "0s"),
            ("0s", "0s"),
            (".5m", "30s"),
            ("+2s", "2s"),
            ("1us2ns", "0.000001002s"),
            ("1µs", "0.000001s"),
            ("86400s", "86400s"),
            ("0.1234567891234567891234s", "0.123456789s"),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), written, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos in 0..i64::MAX as u64) {
            let duration = Duration(time::Duration::from_nanos(nanos));
            proptest::prop_assert_eq!(duration.to_string().parse::<Duration>().unwrap(), duration);
        }

        #[test]
        fn no_text_is_too_odd(text in "[-+0-9.a-zµ]{0,40}") {
            let _ = text.parse::<Duration>();
        }
    }

    #[test]
    fn refuses_with_the_text_and_a_remedy() {
        for text in ["", "5", "s", ".s", "1.2.3s", "-1s", "1 s", "1d", "999999999999h", "1s!", "١s"] {
            let error = text.parse::<Duration>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("1.5s"), "{error}");
        }
    }
}
