//! What traffic makes of clusters and endpoints, apart from the configuration.
//!
//! `config/` asks the [`Registry`] for the state under a cluster's name when it builds a `Cluster`, and for the state
//! under an endpoint's address when it builds an `Endpoint`. As long as any snapshot, connection or request holds a
//! state, the next configuration gets the same one, so no count, ejection or limit is lost by an update.

use std::{
    borrow::Borrow,
    collections::{HashMap, HashSet},
    fmt,
    hash::{Hash, Hasher},
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    hashing::TableSlot,
    limits::Usage,
    outlier::{ClusterHealth, EndpointHealth},
    stats::ClusterStats,
};

/// The states of all clusters, by name.
#[derive(Debug, Default)]
pub struct Registry {
    clusters: Mutex<HashMap<Arc<str>, Weak<ClusterState>>>,
    next_id: AtomicU64,
}

impl Registry {
    /// No clusters.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The state of the cluster of this name; a new one if nothing holds it any more.
    pub fn cluster(&self, name: &Arc<str>) -> Arc<ClusterState> {
        let mut clusters = self.clusters.lock();
        if let Some(state) = clusters.get(name).and_then(Weak::upgrade) {
            return state;
        }
        if clusters.len() == clusters.capacity() {
            clusters.retain(|_, state| state.strong_count() > 0);
        }
        let state = Arc::new(ClusterState::new(self.next_id.fetch_add(1, Ordering::Relaxed)));
        clusters.insert(name.clone(), Arc::downgrade(&state));
        state
    }
}

/// What traffic has made of a cluster.
#[derive(Debug)]
pub struct ClusterState {
    /// A number that no other state of this process has; workers find their pools by it.
    pub id: u64,
    /// How much of its limits is used.
    pub usage: Usage,
    /// Ejections.
    pub health: ClusterHealth,
    /// Counters under Envoy's names.
    pub stats: ClusterStats,
    /// The ring or table of consistent hashing, which all workers share.
    pub(super) table: TableSlot,
    endpoints: Mutex<HashSet<ByPlace>>,
}

impl ClusterState {
    fn new(id: u64) -> Self {
        Self {
            id,
            usage: Usage::default(),
            health: ClusterHealth::default(),
            stats: ClusterStats::default(),
            table: TableSlot::default(),
            endpoints: Mutex::default(),
        }
    }

    /// The state of the endpoint at this address.
    pub fn endpoint(&self, address: SocketAddr) -> Arc<EndpointState> {
        self.endpoint_at(Place::Port(address))
    }

    /// The state of the endpoint at this place.
    pub fn endpoint_at(&self, place: Place) -> Arc<EndpointState> {
        let mut endpoints = self.endpoints.lock();
        if let Some(ByPlace(state)) = endpoints.get(&place) {
            return state.clone();
        }
        if endpoints.len() == endpoints.capacity() {
            endpoints.retain(|ByPlace(state)| Arc::strong_count(state) > 1);
        }
        let state = Arc::new(EndpointState::at(place));
        endpoints.insert(ByPlace(state.clone()));
        state
    }

    /// Lets go of endpoints that nothing uses any more. Worth calling after a large set has been replaced.
    pub fn forget_unused_endpoints(&self) {
        let mut endpoints = self.endpoints.lock();
        endpoints.retain(|ByPlace(state)| Arc::strong_count(state) > 1);
        endpoints.shrink_to_fit();
    }
}

/// Where an endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A port.
    Port(SocketAddr),
    /// A Unix socket.
    Socket(Arc<str>),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(address) => address.fmt(out),
            Self::Socket(path) => out.write_str(path),
        }
    }
}

/// What traffic has made of an endpoint.
#[derive(Debug)]
pub struct EndpointState {
    place: Place,
    /// Since when we know of it.
    pub(super) since: Instant,
    /// Requests (or TCP connections) under way.
    pub(super) active: AtomicU32,
    /// Its errors in a row and its ejection.
    pub(super) health: EndpointHealth,
}

impl EndpointState {
    /// The state of an endpoint that nobody shares.
    pub fn new(address: SocketAddr) -> Self {
        Self::at(Place::Port(address))
    }

    fn at(place: Place) -> Self {
        Self { place, since: Instant::now(), active: AtomicU32::new(0), health: EndpointHealth::default() }
    }

    /// Where the endpoint listens.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The endpoint's address; 0.0.0.0:0 for a Unix socket, which has none.
    pub fn address(&self) -> SocketAddr {
        match self.place {
            Place::Port(address) => address,
            Place::Socket(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
        }
    }

    /// Requests under way.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Whether it is ejected at present.
    pub fn ejected(&self) -> bool {
        self.health.ejected()
    }
}

/// An endpoint's state in a set by place, so that the place isn't stored twice.
#[derive(Debug)]
struct ByPlace(Arc<EndpointState>);

impl Borrow<Place> for ByPlace {
    fn borrow(&self) -> &Place {
        &self.0.place
    }
}

impl Hash for ByPlace {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.place.hash(hasher);
    }
}

impl PartialEq for ByPlace {
    fn eq(&self, other: &Self) -> bool {
        self.0.place == other.0.place
    }
}

impl Eq for ByPlace {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_keeps_its_state_while_anything_holds_it() {
        let registry = Registry::new();
        let name: Arc<str> = "outbound|80||a".into();
        let first = registry.cluster(&name);
        assert!(Arc::ptr_eq(&first, &registry.cluster(&name)));
        let id = first.id;
        drop(first);
        assert_ne!(registry.cluster(&name).id, id);
    }

    #[test]
    fn an_endpoint_keeps_its_state_until_it_is_forgotten() {
        let registry = Registry::new();
        let cluster = registry.cluster(&"c".into());
        let address = "10.0.0.1:80".parse().unwrap();
        cluster.endpoint(address).active.store(3, Ordering::Relaxed);
        assert_eq!(cluster.endpoint(address).active(), 3);
        cluster.forget_unused_endpoints();
        assert_eq!(cluster.endpoint(address).active(), 0);
    }
}
