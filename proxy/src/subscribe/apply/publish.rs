//! Puts in force what is ready: route tables first, then the listeners that name them.

use std::sync::Arc;

use tokio::time::Instant;
use xds::client::DeltaClient;

use super::Applier;
use super::routes::{TableEntry, clusters_of};
use crate::snapshot::Listeners;

impl Applier {
    pub(super) fn publish(&mut self, client: &mut DeltaClient, now: Instant) {
        self.publish_tables(now);
        let ready: Vec<Arc<str>> = self
            .listeners_due
            .iter()
            .filter(|(name, until)| {
                **until <= now || self.listeners.get(*name).is_none_or(|one| self.listener_is_ready(one))
            })
            .map(|(name, _)| name.clone())
            .collect();
        if ready.is_empty() {
            return;
        }
        for name in ready {
            self.listeners_due.remove(&name);
            if let Some(compiled) = self.listeners.get(&name) {
                self.published.insert(name, compiled.listener.clone());
            }
        }
        self.publish_listeners();
        // What only the replaced versions named isn't wanted any more.
        self.want_routes(client);
    }

    pub(super) fn publish_listeners(&self) {
        let all = self.published.values().cloned().collect();
        self.live.update(|snapshot| snapshot.with_listeners(Listeners::new(all)));
    }

    fn publish_tables(&mut self, now: Instant) {
        let is_ready = |name: &Arc<str>, until: &Instant| {
            *until <= now || self.tables.get(name).is_none_or(|entry| self.table_is_ready(entry))
        };
        let ready: Vec<Arc<str>> = self
            .tables_due
            .iter()
            .filter(|(name, until)| is_ready(name, until))
            .map(|(name, _)| name.clone())
            .collect();
        if ready.is_empty() {
            return;
        }
        for name in &ready {
            self.tables_due.remove(name);
        }
        let tables: Vec<_> =
            ready.iter().filter_map(|name| self.tables.get(name)).map(|e| e.table.clone()).collect();
        self.live.update(|snapshot| snapshot.with_routes(tables, &[]));
    }

    fn table_is_ready(&self, entry: &TableEntry) -> bool {
        entry.filled && !(self.has_awaited() && clusters_of(&entry.table).any(|name| self.is_awaited(name)))
    }

    pub(super) fn has_awaited(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Whether a cluster waits for its first endpoints.
    pub(super) fn is_awaited(&self, cluster: &str) -> bool {
        let assignment = self.clusters.get(cluster).and_then(|entry| entry.assignment.as_ref());
        assignment.is_some_and(|assignment| self.awaited.contains_key(assignment))
    }
}
