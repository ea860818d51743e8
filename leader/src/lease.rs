//! Whether to take, keep or wait for a Lease. Pure: what the Lease says and the time come in, the next step goes out.
//!
//! As in client-go, clocks of different hosts are never compared: a holder counts as gone when its record has not changed for
//! the Lease's duration as measured here.

use tokio::time::{Duration, Instant};

/// How long a holder may be silent.
pub(super) const DURATION: Duration = Duration::from_secs(15);
/// How often the holder renews and others look.
pub(super) const INTERVAL: Duration = Duration::from_secs(3);

/// What a Lease says, in the parts that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Empty when nobody holds it.
    pub(super) holder: String,
    /// Compared, never interpreted.
    pub(super) renewed: String,
    /// For how long the holder may be silent.
    pub(super) duration: Duration,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Write ourselves in.
    Take,
    /// Write a new time.
    Renew,
    /// Somebody else holds it.
    Wait,
}

/// What was seen of other holders.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Option<(Record, Instant)>,
}

impl Watch {
    /// The next step of `me`, given what the Lease says now; none means there is no Lease.
    pub(super) fn evaluate(&mut self, me: &str, record: Option<Record>, now: Instant) -> Step {
        let Some(record) = record.filter(|record| !record.holder.is_empty()) else { return Step::Take };
        if record.holder == me {
            return Step::Renew;
        }
        let since = match &self.seen {
            Some((seen, since)) if *seen == record => *since,
            _ => now,
        };
        let expired = now.duration_since(since) >= record.duration;
        self.seen = Some((record, since));
        if expired { Step::Take } else { Step::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(holder: &str, renewed: u32) -> Record {
        Record { holder: holder.into(), renewed: renewed.to_string(), duration: DURATION }
    }

    #[test]
    fn a_free_lease_is_taken_and_our_own_is_renewed() {
        let mut watch = Watch::default();
        let now = Instant::now();
        for (record, expected) in [
            (None, Step::Take),
            (Some(held("", 1)), Step::Take),
            (Some(held("a", 1)), Step::Renew),
            (Some(held("b", 1)), Step::Wait),
        ] {
            assert_eq!(watch.evaluate("a", record, now), expected);
        }
    }

    #[test]
    fn a_holder_is_replaced_when_it_has_been_silent_as_long_as_it_may() {
        let mut watch = Watch::default();
        let start = Instant::now();
        for (record, seconds, expected) in [
            (held("b", 1), 0, Step::Wait),
            (held("b", 2), 14, Step::Wait),
            (held("b", 2), 28, Step::Wait),
            (held("b", 2), 29, Step::Take),
            // A new holder has the whole duration.
            (held("c", 1), 30, Step::Wait),
            (held("c", 1), 44, Step::Wait),
            (held("c", 1), 45, Step::Take),
        ] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(watch.evaluate("a", Some(record), now), expected, "after {seconds} s");
        }
    }

    #[test]
    fn the_duration_is_what_the_holder_wrote() {
        let mut watch = Watch::default();
        let start = Instant::now();
        let brief = Record { duration: Duration::from_secs(5), ..held("b", 1) };
        assert_eq!(watch.evaluate("a", Some(brief.clone()), start), Step::Wait);
        assert_eq!(watch.evaluate("a", Some(brief), start + Duration::from_secs(5)), Step::Take);
    }
}
