//! How long rules are held for what they lead to (see `model::Missing`). Pure: what waits and times in, what is due out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::NamespacedName;

/// Remembers since when each rule waits.
#[derive(Debug)]
pub(super) struct Patience {
    longest: Duration,
    since: BTreeMap<NamespacedName, Instant>,
}

impl Patience {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, since: BTreeMap::new() }
    }

    /// Whether rules are held at all.
    pub(super) fn holds(&self) -> bool {
        !self.longest.is_zero()
    }

    /// Takes in which rules wait now. An edit of a rule that waits does not buy it more time.
    pub(super) fn note<'a>(&mut self, waiting: impl Iterator<Item = &'a NamespacedName>, now: Instant) {
        let before = std::mem::take(&mut self.since);
        let since = |name: &NamespacedName| before.get(name).copied().unwrap_or(now);
        self.since = waiting.map(|name| (name.clone(), since(name))).collect();
    }

    /// When the first of them has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.values().min().map(|since| *since + self.longest)
    }

    /// Those that have waited long enough, to be put into effect.
    pub(super) fn due(&mut self, now: Instant) -> Vec<NamespacedName> {
        let longest = self.longest;
        self.since.extract_if(.., |_, since| *since + longest <= now).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_waits_so_long_and_no_longer_however_often_it_is_edited() {
        let mut patience = Patience::new(Duration::from_secs(30));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (a, b) = (NamespacedName::new("shop", "a"), NamespacedName::new("shop", "b"));
        patience.note([&a].into_iter(), start);
        patience.note([&a, &b].into_iter(), at(10));
        assert_eq!(patience.deadline(), Some(at(30)));
        assert!(patience.due(at(29)).is_empty());
        assert_eq!(patience.due(at(30)), [a]);
        assert_eq!(patience.deadline(), Some(at(40)));
        // It got what it waited for.
        patience.note(std::iter::empty(), at(35));
        assert_eq!(patience.deadline(), None);
    }
}
