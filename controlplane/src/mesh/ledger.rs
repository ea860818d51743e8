//! What is in force: which generation of which of Istio's objects the published mesh has, and since which snapshot. Written
//! by the publisher, read by whoever writes status. Without Kubernetes nobody tells generations, and it stays empty.

use std::collections::{BTreeMap, BTreeSet};

use model::{Key, Missing, NamespacedName};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A generation that is in the published mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InForce {
    pub(crate) generation: i64,
    /// Snapshots with a larger id were made with it.
    pub(crate) after: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    state: Mutex<Book>,
    /// Something beyond endpoints was published.
    pub(crate) news: Notify,
}

/// What the ledger says at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub(crate) in_force: BTreeMap<Key, InForce>,
    /// VirtualServices whose newest generation waits, and for what.
    pub(crate) held: BTreeMap<NamespacedName, BTreeSet<Missing>>,
}

impl Ledger {
    pub(crate) fn book(&self) -> Book {
        self.state.lock().clone()
    }

    /// What is known of one object.
    pub(crate) fn get(&self, key: &Key) -> Option<InForce> {
        self.state.lock().in_force.get(key).copied()
    }

    /// These generations are in the mesh that was just published; `after` is the last snapshot that was made before.
    pub(super) fn enter(&self, generations: impl Iterator<Item = (Key, i64)>, after: u64) {
        let mut state = self.state.lock();
        for (key, generation) in generations {
            let known = state.in_force.get(&key).is_some_and(|known| known.generation == generation);
            if !known {
                state.in_force.insert(key, InForce { generation, after });
            }
        }
    }

    pub(super) fn strike(&self, key: &Key) {
        self.state.lock().in_force.remove(key);
    }

    pub(super) fn hold<'m>(&self, held: impl Iterator<Item = (&'m NamespacedName, &'m BTreeSet<Missing>)>) {
        let held = held.map(|(name, missing)| (name.clone(), missing.clone())).collect();
        let mut state = self.state.lock();
        if state.held != held {
            state.held = held;
            drop(state);
            self.news.notify_one();
        }
    }

    /// Something was published.
    pub(super) fn turn(&self, only_endpoints: bool) {
        if !only_endpoints {
            self.news.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Kind;

    #[test]
    fn a_generation_keeps_the_snapshot_it_came_with() {
        let ledger = Ledger::default();
        let key = Key::new(Kind::Sidecar, "shop", "a");
        ledger.enter([(key.clone(), 1)].into_iter(), 7);
        ledger.enter([(key.clone(), 1)].into_iter(), 9);
        assert_eq!(ledger.get(&key), Some(InForce { generation: 1, after: 7 }), "a list told it again");
        ledger.enter([(key.clone(), 2)].into_iter(), 9);
        assert_eq!(ledger.get(&key), Some(InForce { generation: 2, after: 9 }));
        ledger.strike(&key);
        assert_eq!(ledger.get(&key), None);
    }
}
