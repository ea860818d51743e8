//! Whether to take, keep or wait for a Lease. Pure: the record and the time come in, the next step goes out.
//!
//! As in client-go, clocks of different hosts are never compared: a holder counts as gone when its record has not changed
//! for the lease's duration as measured here.

use std::time::{Duration, Instant};

/// How long a leader may be silent.
pub(super) const DURATION: Duration = Duration::from_secs(15);
/// How often a leader renews and others look.
pub(super) const INTERVAL: Duration = Duration::from_secs(3);

/// What a Lease says, in the parts that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Empty: nobody holds it.
    pub(super) holder: String,
    /// As written by the holder; compared, never interpreted.
    pub(super) renewed: String,
    /// For how long the holder may be silent.
    pub(super) duration: Duration,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Write ourselves in as the new holder.
    Take,
    /// We hold it: write a new renewal time.
    Renew,
    /// Somebody else holds it.
    Wait,
}

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Election {
    me: String,
    seen: Option<(Record, Instant)>,
}

impl Election {
    pub(super) fn new(me: String) -> Self {
        Self { me, seen: None }
    }

    /// The next step, given what the Lease says now; none means there is no Lease.
    pub(super) fn evaluate(&mut self, record: Option<Record>, now: Instant) -> Step {
        let Some(record) = record else { return Step::Take };
        if record.holder == self.me {
            return Step::Renew;
        }
        if record.holder.is_empty() {
            return Step::Take;
        }
        let since = match &self.seen {
            Some((seen, since)) if *seen == record => *since,
            _ => now,
        };
        let silent = now.duration_since(since);
        let step = if silent >= record.duration { Step::Take } else { Step::Wait };
        self.seen = Some((record, since));
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str, renewed: &str) -> Record {
        Record { holder: holder.into(), renewed: renewed.into(), duration: DURATION }
    }

    #[test]
    fn a_free_lease_is_taken_and_our_own_is_renewed() {
        let (mut election, now) = (Election::new("a".into()), Instant::now());
        assert_eq!(election.evaluate(None, now), Step::Take);
        assert_eq!(election.evaluate(Some(held_by("", "1")), now), Step::Take);
        assert_eq!(election.evaluate(Some(held_by("a", "1")), now), Step::Renew);
        assert_eq!(election.evaluate(Some(held_by("b", "1")), now), Step::Wait);
    }

    #[test]
    fn a_holder_that_renews_is_left_alone_and_a_silent_one_is_replaced() {
        let (mut election, start) = (Election::new("a".into()), Instant::now());
        let steps: Vec<_> = (0..20u64)
            .map(|n| {
                // Renews three times, then falls silent.
                let renewed = n.min(3).to_string();
                election.evaluate(Some(held_by("b", &renewed)), start + INTERVAL * n as u32)
            })
            .collect();
        let first = steps.iter().position(|step| *step == Step::Take).unwrap();
        assert_eq!(first, 3 + 5, "one duration after the last renewal was seen");
    }

    #[test]
    fn a_new_holder_has_the_full_duration() {
        let (mut election, start) = (Election::new("a".into()), Instant::now());
        election.evaluate(Some(held_by("b", "1")), start);
        let later = start + DURATION.mul_f64(0.99);
        assert_eq!(election.evaluate(Some(held_by("b", "1")), later), Step::Wait);
        assert_eq!(election.evaluate(Some(held_by("c", "1")), later + INTERVAL), Step::Wait);
        assert_eq!(election.evaluate(Some(held_by("c", "1")), later + INTERVAL + DURATION), Step::Take);
    }
}
