//! Durations (`100ms`, `1.5s`, `2m`) and sizes (`64KiB`, `1GiB`) as people
//! write them, for flags and query parameters.

use std::time::Duration;

/// Parses `250ms`, `1.5s`, `2m` or `1h`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let scale = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)];
    let seconds = scaled(text, &scale)
        .ok_or_else(|| format!("`{text}` is not a duration; write it as 100ms, 1.5s or 2m"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("`{text}`: {error}"))
}

/// Parses `512`, `64KiB`, `16MiB` or `1GiB` into bytes.
pub fn size(text: &str) -> Result<u64, String> {
    let scale = [("KiB", 1024.0), ("MiB", 1_048_576.0), ("GiB", 1_073_741_824.0), ("B", 1.0), ("", 1.0)];
    scaled(text, &scale)
        .filter(|bytes| *bytes >= 0.0)
        .map(|bytes| bytes as u64)
        .ok_or_else(|| format!("`{text}` is not a size; write it as 512, 64KiB, 16MiB or 1GiB"))
}

fn scaled(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (number, scale) =
        units.iter().find_map(|(unit, scale)| text.strip_suffix(unit).map(|number| (number, scale)))?;
    number.trim().parse::<f64>().ok().map(|number| number * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_people_write_them() {
        for (text, milliseconds) in [("100ms", 100), ("1.5s", 1500), ("2m", 120_000), ("3", 3000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for (text, bytes) in [("512", 512), ("64KiB", 65536), ("1.5MiB", 1_572_864), ("1GiB", 1 << 30)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_an_example_of_sense() {
        assert!(duration("soon").unwrap_err().contains("100ms"));
        assert!(duration("-1s").is_err());
        assert!(size("-1").unwrap_err().contains("1GiB"));
    }
}
