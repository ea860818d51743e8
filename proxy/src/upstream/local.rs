//! What one worker keeps for one cluster: its balancer and its pools.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
};

use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    balance::{Balancer, Pick},
    connect::{Connector, Target},
    pool::Pool,
    random::Random,
    tls::Wire,
};
use crate::snapshot::cluster::{Cluster, Discovery, Endpoint, Endpoints, OriginalDst};

/// Original destinations that a worker remembers for a cluster.
const REMEMBERED: usize = 16;

/// A map by numbers that are spread well enough once they are multiplied: ids and addresses in memory.
pub(super) type ById<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Multiplies.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

/// One cluster on one worker.
#[derive(Debug)]
pub(super) struct LocalCluster {
    name: Arc<str>,
    id: u64,
    balancer: RefCell<Balancer>,
    /// By the endpoint's state, which its pools keep alive.
    pools: RefCell<ById<usize, SmallVec<[Rc<Pool>; 1]>>>,
    /// The endpoints when unused pools were last looked for.
    swept: RefCell<Arc<Endpoints>>,
    /// Endpoints made for original destinations, used last first.
    originals: RefCell<Vec<Arc<Endpoint>>>,
    used: Cell<bool>,
}

impl LocalCluster {
    pub(super) fn new(cluster: &Cluster, random: &Random) -> Rc<Self> {
        Rc::new(Self {
            name: cluster.name.clone(),
            id: cluster.state.id,
            balancer: RefCell::new(Balancer::new(cluster, random)),
            pools: RefCell::default(),
            swept: RefCell::new(cluster.endpoints.clone()),
            originals: RefCell::default(),
            used: Cell::new(true),
        })
    }

    pub(super) fn pick(&self, cluster: &Cluster, want: &Pick<'_>, random: &Random) -> Option<Arc<Endpoint>> {
        self.used.set(true);
        if let Discovery::OriginalDst(original) = &cluster.config.discovery {
            return self.original(cluster, original, want.destination?);
        }
        self.balancer.borrow_mut().pick(cluster, want, random)
    }

    fn original(
        &self,
        cluster: &Cluster,
        config: &OriginalDst,
        mut address: SocketAddr,
    ) -> Option<Arc<Endpoint>> {
        if let Some(port) = config.port {
            address.set_port(port);
        }
        let mut originals = self.originals.borrow_mut();
        if let Some(at) = originals.iter().position(|endpoint| endpoint.address() == address) {
            originals[..=at].rotate_right(1);
        } else {
            originals.truncate(REMEMBERED - 1);
            originals.insert(0, Arc::new(Endpoint::new(cluster.state.endpoint(address))));
        }
        originals.first().cloned()
    }

    /// The pool for requests of this kind to this endpoint.
    pub(super) fn pool(
        &self,
        cluster: &Cluster,
        endpoint: &Endpoint,
        wire: Wire,
        authority: Option<&str>,
        connector: &Rc<Connector>,
    ) -> Rc<Pool> {
        let config = &cluster.config;
        let key = Arc::as_ptr(&endpoint.state) as usize;
        let mut pools = self.pools.borrow_mut();
        let pools = pools.entry(key).or_default();
        let at = pools.iter().position(|pool| pool.target.serves(wire, authority, config));
        if let Some(at) = at {
            if pools[at].adopt(config, || Target::new(config, endpoint, wire, authority)) {
                return pools[at].clone();
            }
            pools.remove(at).drain();
        }
        let target = Target::new(config, endpoint, wire, authority);
        let pool = Pool::new(
            target,
            endpoint.state.clone(),
            cluster.state.clone(),
            config.clone(),
            connector.clone(),
        );
        pools.push(pool.clone());
        pool
    }

    /// Closes what isn't used any more. `cluster`: as it is configured now, if it is. True if nothing is left.
    pub(super) fn sweep(&self, cluster: Option<&Arc<Cluster>>, now: Instant) -> bool {
        let Some(cluster) = cluster.filter(|cluster| cluster.state.id == self.id) else {
            self.drain(|_| true);
            return true;
        };
        if !Arc::ptr_eq(&self.swept.borrow(), &cluster.endpoints) {
            *self.swept.borrow_mut() = cluster.endpoints.clone();
            if !matches!(cluster.config.discovery, Discovery::OriginalDst(_)) {
                let present: HashSet<usize> =
                    cluster.endpoints.iter().map(|endpoint| Arc::as_ptr(&endpoint.state) as usize).collect();
                self.drain(|pool| !present.contains(&(Arc::as_ptr(&pool.endpoint) as usize)));
            }
        }
        let mut pools = self.pools.borrow_mut();
        pools.retain(|_, pools| {
            pools.retain(|pool| !pool.sweep(now));
            !pools.is_empty()
        });
        if pools.is_empty() {
            pools.shrink_to_fit();
        }
        let unused = !self.used.replace(false);
        unused && pools.is_empty()
    }

    /// Lets go of the connections of some pools.
    pub(super) fn drain(&self, which: impl Fn(&Pool) -> bool) {
        self.pools.borrow_mut().retain(|_, pools| {
            pools.retain(|pool| {
                let go = which(pool);
                if go {
                    pool.drain();
                }
                !go
            });
            !pools.is_empty()
        });
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }
}
