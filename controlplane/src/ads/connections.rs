//! Streams as the debug pages see them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use xds::ResourceType;

use crate::mesh::Slot;

/// One stream, after its first request.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Unique in this process.
    pub(crate) number: u64,
    /// `pod.namespace`, as istioctl names proxies.
    pub(crate) proxy: String,
    /// The node id.
    pub(crate) node: String,
    /// `sidecar` or `router`.
    pub(crate) role: &'static str,
    pub(crate) namespace: String,
    pub(crate) cluster_id: String,
    pub(crate) version: String,
    pub(crate) address: SocketAddr,
    pub(crate) connected: jiff::Timestamp,
    /// The newest snapshot of its view.
    pub(crate) slot: Arc<Slot>,
    pub(crate) types: [TypeStatus; ResourceType::ALL.len()],
    /// Id of the newest snapshot that the proxy has answered all of; 0 before the first.
    pub(crate) settled: AtomicU64,
    /// What it refused and was not sent anew since, the newest last.
    pub(crate) refusals: Mutex<Vec<Refusal>>,
}

/// A response that a proxy did not accept, at least in part.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ResourceType,
    /// The snapshot that it was made of.
    pub(crate) snapshot: u64,
    /// The resources that the proxy names; none if it names none.
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) message: String,
}

impl Refusal {
    /// Takes out what was accepted now; false if nothing is left. One that named nothing is over with the next response of
    /// its type.
    fn remains(&mut self, accepted: ResourceType, names: &[Arc<str>]) -> bool {
        if self.kind == accepted {
            self.names.retain(|name| !names.contains(name));
        }
        self.kind != accepted || !self.names.is_empty()
    }
}

/// A proxy that refuses everything is not remembered for longer than this.
const MAX_REFUSALS: usize = 16;

/// Where one type stands on a stream.
#[derive(Debug, Default)]
pub(crate) struct TypeStatus {
    /// Nonce of the last response; 0 before the first.
    pub(crate) sent: AtomicU64,
    /// Nonce of the last answer.
    pub(crate) acknowledged: AtomicU64,
    /// What the proxy did not accept, the last time.
    pub(crate) rejected: Mutex<Option<String>>,
}

impl Connection {
    pub(crate) fn of(&self, kind: ResourceType) -> &TypeStatus {
        &self.types[kind as usize]
    }

    /// Everything up to this snapshot was answered.
    pub(super) fn settle(&self, snapshot: u64) {
        self.settled.store(snapshot, Ordering::Release);
    }

    /// More is sent of a snapshot: it was not all yet, if it seemed so.
    pub(super) fn unsettle(&self, snapshot: u64) {
        if self.settled.load(Ordering::Relaxed) == snapshot {
            self.settled.store(0, Ordering::Release);
        }
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        let mut all = self.refusals.lock();
        if all.len() == MAX_REFUSALS {
            all.remove(0);
        }
        all.push(refusal);
    }

    /// Resources of a type were accepted, which may have been refused before. Returns whether refusals are left.
    pub(super) fn accept(&self, kind: ResourceType, names: &[Arc<str>]) -> bool {
        let mut all = self.refusals.lock();
        all.retain_mut(|refusal| refusal.remains(kind, names));
        !all.is_empty()
    }

    /// `pod.namespace-7`, as istiod numbers connections.
    pub(crate) fn id(&self) -> String {
        format!("{}-{}", self.proxy, self.number)
    }
}

/// All streams.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    all: Mutex<BTreeMap<u64, Arc<Connection>>>,
    numbers: AtomicU64,
}

impl Connections {
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Shows a connection until the guard is dropped.
    pub(super) fn show(self: &Arc<Self>, connection: Arc<Connection>) -> Shown {
        self.all.lock().insert(connection.number, connection.clone());
        Shown { connections: self.clone(), connection }
    }

    /// In order of their proxies' names.
    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        let mut all: Vec<_> = self.all.lock().values().cloned().collect();
        all.sort_by(|one, other| (&one.proxy, one.number).cmp(&(&other.proxy, other.number)));
        all
    }

    /// The newest connection of a proxy, named `pod.namespace`, or by its node or connection id.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Connection>> {
        let all = self.all.lock();
        let fits = |one: &&Arc<Connection>| one.proxy == name || one.node == name || one.id() == name;
        all.values().rev().find(fits).cloned()
    }
}

/// Takes its connection out when dropped.
pub(super) struct Shown {
    connections: Arc<Connections>,
    pub(super) connection: Arc<Connection>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.connections.all.lock().remove(&self.connection.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_remains_until_all_that_it_names_is_accepted() {
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<_>>();
        let refusal = |of: &[&str]| Refusal {
            kind: ResourceType::Cluster,
            snapshot: 1,
            names: names(of),
            message: String::new(),
        };
        let mut two = refusal(&["a", "b"]);
        assert!(two.remains(ResourceType::Endpoints, &names(&["a", "b"])), "another type");
        assert!(two.remains(ResourceType::Cluster, &names(&["a", "c"])));
        assert!(two.remains(ResourceType::Cluster, &names(&["c"])));
        assert!(!two.remains(ResourceType::Cluster, &names(&["b"])));
        assert!(!refusal(&[]).remains(ResourceType::Cluster, &names(&["c"])));
    }
}
