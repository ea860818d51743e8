//! When to publish: an isolated change at once, a burst when it pauses, and in any case before anyone waits too long.
//! Pure: changes and times in, deadlines out.

use std::time::{Duration, Instant};

/// Kinds of change, by what it costs to publish them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Only endpoints: cheap, and worthless when late.
    Endpoints,
    /// Anything else.
    Configuration,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// A burst is over after this much silence.
    quiet: Duration,
    /// It is published after this time although it goes on.
    longest: Duration,
}

const ENDPOINTS: Window = Window { quiet: Duration::from_millis(10), longest: Duration::from_millis(50) };
const CONFIGURATION: Window = Window { quiet: Duration::from_millis(100), longest: Duration::from_secs(10) };
/// A long burst of configuration does not hold endpoints back for longer than this.
const MIXED_LONGEST: Duration = Duration::from_secs(1);

/// What has come since the last publication.
#[derive(Debug, Default)]
pub(super) struct Debounce {
    /// When the last change came, published or not.
    last: Option<Instant>,
    first_pending: Option<Instant>,
    endpoints: Option<Instant>,
    configuration: bool,
}

impl Debounce {
    /// A change came.
    pub(super) fn note(&mut self, weight: Weight, now: Instant) {
        let quiet_before =
            |window: Window| self.last.is_none_or(|last| now.duration_since(last) >= window.quiet);
        let isolated = self.first_pending.is_none()
            && match weight {
                Weight::Endpoints => quiet_before(ENDPOINTS),
                Weight::Configuration => quiet_before(CONFIGURATION),
            };
        // An isolated change is due now: its silence lies before it.
        let start = if isolated { now.checked_sub(CONFIGURATION.longest).unwrap_or(now) } else { now };
        self.first_pending.get_or_insert(start);
        self.last = Some(now);
        match weight {
            Weight::Endpoints => drop(self.endpoints.get_or_insert(start)),
            Weight::Configuration => self.configuration = true,
        }
    }

    /// When to publish, if there is something to publish. A time in the past means now.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (first, last) = (self.first_pending?, self.last?);
        let window = if self.configuration { CONFIGURATION } else { ENDPOINTS };
        let limit = self.endpoints.filter(|_| self.configuration).map(|start| start + MIXED_LONGEST);
        let longest = first + window.longest;
        Some((last + window.quiet).min(longest).min(limit.unwrap_or(longest)))
    }

    /// Everything was published.
    pub(super) fn published(&mut self) {
        self.first_pending = None;
        self.endpoints = None;
        self.configuration = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Weight::{Configuration, Endpoints};

    /// Feeds changes (milliseconds, weight) and returns when something was published.
    fn run(changes: &[(u64, Weight)]) -> Vec<u64> {
        let start = Instant::now() + Duration::from_mins(1);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let ms = |instant: Instant| instant.saturating_duration_since(start).as_millis() as u64;
        let (mut debounce, mut published, mut changes) =
            (Debounce::default(), Vec::new(), changes.iter().peekable());
        loop {
            let next = changes.peek().map(|(time, _)| at(*time));
            match (debounce.deadline(), next) {
                (None, None) => return published,
                (Some(due), next) if next.is_none_or(|next| due < next) => {
                    let now = debounce.last.map_or(due, |last| due.max(last));
                    published.push(ms(now));
                    debounce.published();
                }
                _ => {
                    if let Some((time, weight)) = changes.next() {
                        debounce.note(*weight, at(*time));
                    }
                }
            }
        }
    }

    #[test]
    fn an_isolated_change_leaves_at_once() {
        assert_eq!(run(&[(0, Configuration)]), [0]);
        assert_eq!(run(&[(0, Endpoints)]), [0]);
        assert_eq!(run(&[(0, Configuration), (200, Configuration), (400, Endpoints)]), [0, 200, 400]);
    }

    #[test]
    fn a_burst_leaves_when_it_pauses() {
        assert_eq!(run(&[(0, Configuration), (20, Configuration), (60, Configuration)]), [0, 160]);
    }

    #[test]
    fn an_endless_burst_is_published_after_ten_seconds() {
        let burst: Vec<_> = (0..600).map(|n| (n * 50, Configuration)).collect();
        let published = run(&burst);
        assert_eq!(published[..3], [0, 10_050, 20_100]);
    }

    #[test]
    fn endpoints_never_wait_long() {
        let churn: Vec<_> = (0..100).map(|n| (n * 5, Endpoints)).collect();
        let published = run(&churn);
        assert!(published.windows(2).all(|pair| pair[1] - pair[0] <= 60), "{published:?}");
        let ten_a_second: Vec<_> = (0..50).map(|n| (n * 100 + n % 7, Endpoints)).collect();
        assert_eq!(run(&ten_a_second).len(), 50, "each leaves alone");
    }

    #[test]
    fn endpoints_in_a_burst_of_configuration_wait_at_most_a_second() {
        let mut burst: Vec<_> = (0..200).map(|n| (n * 50, Configuration)).collect();
        burst[20].1 = Endpoints;
        assert!(run(&burst).iter().any(|time| (1000..=2000).contains(time)), "{:?}", run(&burst));
    }
}
