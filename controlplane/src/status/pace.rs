//! How fast statuses are written: so many a second, whatever happens to the mesh. Pure: times in, permission out.

use std::time::Duration;

use tokio::time::Instant;

/// Writes per second over a longer time.
const RATE: f64 = 10.0;
/// Writes at once after a pause.
const BURST: f64 = 20.0;

/// A bucket of permissions that fills with time.
#[derive(Debug)]
pub(super) struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    /// Takes a permission, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at);
        self.left = (self.left + passed.as_secs_f64() * RATE).min(BURST);
        self.at = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }

    /// How long until there is one.
    pub(super) fn wait(&self) -> Duration {
        Duration::from_secs_f64(((1.0 - self.left) / RATE).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_objects_are_written_at_a_bounded_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut written = 0;
        while written < 1000 {
            if pace.take(Instant::now()) {
                written += 1;
            } else {
                tokio::time::sleep(pace.wait()).await;
            }
        }
        let took = start.elapsed().as_secs_f64();
        let expected = (1000.0 - BURST) / RATE;
        assert!((expected..expected * 1.1).contains(&took), "{took} s");
        // A long pause saves up no more than a burst.
        tokio::time::sleep(Duration::from_hours(1)).await;
        let at_once = (0..100).filter(|_| pace.take(Instant::now())).count();
        assert!((at_once as f64 - BURST).abs() < 0.5, "{at_once}");
    }
}
