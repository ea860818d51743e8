//! Wall-clock times of moments.
//!
//! Durations come from tokio's clock, which tests can stop; only what people read is turned into a date here.

use std::time::SystemTime;

use tokio::time::Instant;

/// The wall-clock time of a moment in the past.
pub fn wall(moment: Instant) -> SystemTime {
    SystemTime::now() - moment.elapsed()
}
