//! Wall-clock times of moments.
//!
//! Durations come from tokio's clock, which tests can stop; only what people read is turned into a date here.

use std::time::SystemTime;

use time::{OffsetDateTime, macros::format_description};
use tokio::time::Instant;

/// The wall-clock time of a moment in the past.
pub fn wall(moment: Instant) -> SystemTime {
    SystemTime::now() - moment.elapsed()
}

/// A moment as `2026-11-21T04:05:06.789Z`.
pub fn rfc3339(moment: Instant) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(wall(moment)).format(&format).unwrap_or_default()
}
