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
}

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
