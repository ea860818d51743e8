//! Durations as Go writes them (`1h30m`, `1.5s`, `250ms`), which proto JSON's (`45s`) are a part of.

use std::time::Duration;

const UNITS: [(&str, f64); 7] =
    [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// The duration, or nothing if the text isn't a non-negative one.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    if text.trim().is_empty() { None } else { Duration::try_from_secs_f64(seconds).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let cases = [
            ("45s", Some(45.0)),
            ("1h30m", Some(5400.0)),
            ("1.5s", Some(1.5)),
            ("250ms", Some(0.25)),
            ("0", Some(0.0)),
            ("0s", Some(0.0)),
            ("24h0m0s", Some(86_400.0)),
            ("", None),
            ("5", None),
            ("-5s", None),
            ("5 s", None),
            ("five", None),
            ("1e400h", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse(text).map(|d| d.as_secs_f64()), seconds, "{text:?}");
        }
    }
}
