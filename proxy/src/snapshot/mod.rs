//! The configuration in force: immutable tables shared by `Arc`.
//!
//! In: compiled resources from `config/`, one at a time. Out: a [`Snapshot`] that the listeners and the request
//! path read without a lock. Replacing one resource makes a new snapshot that shares all the others, so a request
//! keeps the tables it began with and nothing that outlives them (health, limits, pools) is lost.
//!
//! ```text
//! Snapshot ─┬─ Listeners ── Listener ── FilterChain ─┬─ HttpConnectionManager ── RouteTable (by name or inline)
//!           │                                        └─ TcpProxy ── cluster names
//!           ├─ routes:   name -> RouteTable ── VirtualHost ── Route ── cluster names
//!           └─ clusters: name -> Cluster
//! ```

pub mod claim;
pub mod cluster;
mod clusters;
pub mod headers;
pub mod http;
pub mod listener;
pub mod matcher;
pub mod path;
pub mod route;
pub mod tcp;

use std::sync::Arc;

use arc_swap::{ArcSwap, cache::Cache};
use imbl::shared_ptr::DefaultSharedPtr;
use parking_lot::Mutex;
use tokio::sync::watch;

pub use self::{
    cluster::Cluster,
    clusters::Clusters,
    listener::{Listener, Listeners},
    route::RouteTable,
};

/// Resources of one kind, by name: the next version shares all that has not changed.
pub type Named<T> = imbl::GenericHashMap<Arc<str>, Arc<T>, foldhash::fast::RandomState, DefaultSharedPtr>;

/// Everything that the data plane needs to decide what to do with a connection or a request.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The listeners and how to find one by destination.
    pub listeners: Arc<Listeners>,
    /// Route tables by the name under which listeners refer to them.
    pub routes: Named<RouteTable>,
    /// The clusters.
    pub clusters: Clusters,
}

impl Snapshot {
    /// The cluster of this name.
    pub fn cluster(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.clusters.get(name)
    }

    /// The route table of this name.
    pub fn route_table(&self, name: &str) -> Option<&Arc<RouteTable>> {
        self.routes.get(name)
    }

    /// The same snapshot with other listeners. `listeners` is the whole set.
    pub fn with_listeners(&self, listeners: Listeners) -> Self {
        Self { listeners: Arc::new(listeners), ..self.clone() }
    }

    /// The same snapshot with some route tables replaced or added and some removed.
    pub fn with_routes(
        &self,
        changed: impl IntoIterator<Item = Arc<RouteTable>>,
        removed: &[Arc<str>],
    ) -> Self {
        let mut next = self.clone();
        for name in removed {
            next.routes.remove(name);
        }
        next.routes.extend(changed.into_iter().map(|table| (table.name.clone(), table)));
        next
    }

    /// The same snapshot with some clusters replaced or added and some removed.
    pub fn with_clusters(
        &self,
        changed: impl IntoIterator<Item = Arc<Cluster>>,
        removed: &[Arc<str>],
    ) -> Self {
        let mut next = self.clone();
        for name in removed {
            next.clusters.remove(name);
        }
        for cluster in changed {
            next.clusters.put(cluster);
        }
        next
    }
}

/// The snapshot that is in force now. The control thread publishes, the workers read.
#[derive(Debug, Default)]
pub struct Live {
    current: ArcSwap<Snapshot>,
    // Serialises publishers, so that an update is never lost between a read and a write.
    publishing: Mutex<()>,
    version: watch::Sender<u64>,
}

impl Live {
    /// Starts from `snapshot`.
    pub fn new(snapshot: Snapshot) -> Arc<Self> {
        Arc::new(Self { current: ArcSwap::from_pointee(snapshot), ..Self::default() })
    }

    /// The snapshot in force.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts the snapshot that `change` makes of the present one in force.
    pub fn update(&self, change: impl FnOnce(&Snapshot) -> Snapshot) {
        let _turn = self.publishing.lock();
        let next = change(&self.current.load());
        self.current.store(Arc::new(next));
        self.version.send_modify(|version| *version += 1);
    }

    /// Tells of every change from now on.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// A reader for one thread: it costs one atomic load as long as nothing has changed.
    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader { cache: Cache::new(LiveRef(self.clone())) }
    }
}

#[derive(Debug, Clone)]
struct LiveRef(Arc<Live>);

impl std::ops::Deref for LiveRef {
    type Target = ArcSwap<Snapshot>;

    fn deref(&self) -> &Self::Target {
        &self.0.current
    }
}

/// One thread's view of [`Live`].
#[derive(Debug, Clone)]
pub struct Reader {
    cache: Cache<LiveRef, Arc<Snapshot>>,
}

impl Reader {
    /// The snapshot in force.
    pub fn current(&mut self) -> &Arc<Snapshot> {
        self.cache.load()
    }
}
