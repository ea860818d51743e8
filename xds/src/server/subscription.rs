//! The names that a stream is subscribed to, in eight bytes each.
//!
//! A thousand streams with a thousand names each would otherwise hold a million strings. Names are hashed with a key that no
//! client knows, so nobody can make two of them meet.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A set of names, prefixes (`a/*`) and possibly everything (`*`).
#[derive(Debug, Default)]
pub(super) struct Subscription {
    all: bool,
    /// Sorted.
    names: Vec<u64>,
    prefixes: bool,
}

fn hash(name: &str) -> u64 {
    KEY.hash_one(name)
}

impl Subscription {
    pub(super) fn subscribe_all(&mut self) {
        self.all = true;
    }

    pub(super) fn is_all(&self) -> bool {
        self.all
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.all && self.names.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn add<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        let before = self.names.len();
        for name in names {
            if name == "*" {
                self.all = true;
            } else {
                self.prefixes |= name.ends_with("/*");
                self.names.push(hash(name));
            }
        }
        // Most requests acknowledge and subscribe to nothing.
        if self.names.len() > before {
            self.names.sort_unstable();
            self.names.dedup();
            self.names.shrink_to_fit();
        }
    }

    pub(super) fn remove<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        let mut gone: Vec<u64> = Vec::new();
        for name in names {
            if name == "*" {
                self.all = false;
            } else {
                gone.push(hash(name));
            }
        }
        if !gone.is_empty() {
            gone.sort_unstable();
            self.names.retain(|name| gone.binary_search(name).is_err());
        }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.all || self.has(name) || (self.prefixes && self.covered_by_prefix(name))
    }

    fn covered_by_prefix(&self, name: &str) -> bool {
        name.split_once('/').is_some_and(|(prefix, _)| self.has(&format!("{prefix}/*")))
    }

    /// Hashes are spread evenly, so a name lies near where its hash says: one or two cache lines are read, not one for
    /// each halving of the list.
    fn has(&self, name: &str) -> bool {
        let hash = hash(name);
        let guess = (u128::from(hash) * self.names.len() as u128) >> 64;
        let (before, after) = self.names.split_at(guess as usize);
        before.iter().rev().take_while(|&&name| name >= hash).any(|&name| name == hash)
            || after.iter().take_while(|&&name| name <= hash).any(|&name| name == hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        let name = |number: usize| format!("outbound|80||svc-{number}.shop.svc.cluster.local");
        for count in [0, 1, 2, 3, 10, 1000] {
            let names: Vec<_> = (0..count).map(name).collect();
            let mut subscription = Subscription::default();
            subscription.add(names.iter().map(String::as_str));
            assert!(names.iter().all(|name| subscription.contains(name)), "{count} names");
            assert!(
                (count..count + 1000).all(|number| !subscription.contains(&name(number))),
                "{count} names"
            );
            subscription.remove(names.iter().step_by(2).map(String::as_str));
            for (index, name) in names.iter().enumerate() {
                assert_eq!(subscription.contains(name), index % 2 == 1, "{name} of {count}");
            }
        }
    }
}
