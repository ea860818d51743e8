//! Connected proxies and how far each has come: read from the streams' own counters, never asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use translate::ProxyView;

use crate::ads::{Connections, Refusal};

/// A proxy that has acknowledged nothing for so long although something is due lags; until then it is being sent a push.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// One proxy.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    /// `pod.namespace`.
    pub(super) name: String,
    /// Its newest snapshot.
    pub(super) newest: u64,
    /// The newest snapshot that it has acknowledged all of; 0 before the first.
    pub(super) settled: u64,
    /// Whether it has not moved for longer than is usual.
    pub(super) stuck: bool,
    /// What it refused and was not sent anew since.
    pub(super) refusals: Vec<Refusal>,
}

/// All proxies, by view: what holds for one proxy of a view holds for all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies(pub(super) Vec<(Arc<ProxyView>, Vec<Proxy>)>);

impl Proxies {
    pub(super) fn all(&self) -> impl Iterator<Item = &Proxy> {
        self.0.iter().flat_map(|(_, proxies)| proxies)
    }

    /// Whether somebody lags or refuses, so that objects which had arrived need another look.
    pub(super) fn are_troubled(&self) -> bool {
        self.all().any(|proxy| proxy.stuck || !proxy.refusals.is_empty())
    }
}

/// Remembers since when a proxy has not moved.
#[derive(Debug, Default)]
pub(super) struct Watcher(HashMap<u64, (u64, Instant)>);

impl Watcher {
    /// The proxies as they are now.
    pub(super) fn look(&mut self, connections: &Connections, now: Instant) -> Proxies {
        let mut groups: HashMap<*const ProxyView, (Arc<ProxyView>, Vec<Proxy>)> = HashMap::new();
        let before = std::mem::take(&mut self.0);
        for connection in connections.all() {
            let snapshot = connection.slot.get();
            let (newest, settled) = (snapshot.id(), connection.settled.load(Ordering::Acquire));
            let mut stuck = false;
            if settled != newest {
                let since = before.get(&connection.number).filter(|(at, _)| *at == settled);
                let since = since.map_or(now, |(_, since)| *since);
                stuck = now.duration_since(since) >= PATIENCE;
                self.0.insert(connection.number, (settled, since));
            }
            let name = connection.proxy.clone();
            let refusals = connection.refusals.lock().clone();
            let view = snapshot.view();
            let group = groups.entry(Arc::as_ptr(view)).or_insert_with(|| (view.clone(), Vec::new()));
            group.1.push(Proxy { name, newest, settled, stuck, refusals });
        }
        Proxies(groups.into_values().collect())
    }
}
