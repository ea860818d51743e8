//! All clusters of a snapshot.

use std::sync::Arc;

use imbl::OrdSet;

use super::{
    Named,
    cluster::{Cluster, Discovery},
};

/// Clusters by name. The next version shares all that has not changed, so one endpoint costs the same among ten clusters
/// and among ten thousand; those that somebody looks at from time to time are listed, so that nobody looks at all.
#[derive(Debug, Clone, Default)]
pub struct Clusters {
    by_name: Named<Cluster>,
    resolved: OrdSet<Arc<str>>,
    ejecting: OrdSet<Arc<str>>,
}

impl Clusters {
    /// The cluster of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.by_name.get(name)
    }

    /// All of them, in no order.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.by_name.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Those whose endpoints we resolve ourselves.
    pub fn resolved(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.resolved.iter().filter_map(|name| self.get(name))
    }

    /// Those whose endpoints may be ejected, or were when the cluster last changed.
    pub fn ejecting(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.ejecting.iter().filter_map(|name| self.get(name))
    }

    pub(super) fn put(&mut self, cluster: Arc<Cluster>) {
        let listed = |list: &mut OrdSet<Arc<str>>, belongs: bool| {
            if !belongs {
                list.remove(&*cluster.name);
            } else if !list.contains(&*cluster.name) {
                list.insert(cluster.name.clone());
            }
        };
        listed(&mut self.resolved, matches!(cluster.config.discovery, Discovery::Dns(_)));
        let ejects = cluster.config.outlier.is_some() || cluster.state.health.ejected() > 0;
        listed(&mut self.ejecting, ejects);
        self.by_name.insert(cluster.name.clone(), cluster);
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.resolved.remove(name);
        self.ejecting.remove(name);
        self.by_name.remove(name);
    }
}
