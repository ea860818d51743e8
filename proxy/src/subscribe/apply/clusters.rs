//! Clusters and their endpoints.

use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3 as pb;
use envoy_types::pb::envoy::config::endpoint::v3 as endpoint_pb;
use tokio::time::Instant;
use xds::client::{Changed, DeltaClient, Rejected, Update};
use xds::names::type_url;

use super::{Applier, LINGERING, WARMING, check_name, decode, reject};
use crate::config;
use crate::snapshot::Clusters;
use crate::snapshot::cluster::{Cluster, Discovery};

/// So many endpoints must have gone before it is worth looking for forgotten ones.
const MANY_ENDPOINTS: usize = 64;

/// What else is known of a cluster in force.
#[derive(Debug)]
pub(super) struct ClusterEntry {
    /// The assignment that its endpoints come from.
    pub(super) assignment: Option<Arc<str>>,
    /// Secrets that it needs.
    pub(super) secrets: Vec<Arc<str>>,
}

impl Applier {
    pub(super) fn clusters(
        &mut self,
        update: Update,
        client: &mut DeltaClient,
        now: Instant,
    ) -> Vec<Rejected> {
        let mut rejected = Vec::new();
        let mut changed = Vec::with_capacity(update.changed.len());
        for one in &update.changed {
            match self.cluster(one, client, now) {
                Ok(cluster) => changed.push(Arc::new(cluster)),
                Err(problem) => rejected.push(problem),
            }
        }
        for name in &update.removed {
            if let Some((name, _)) = self.clusters.get_key_value(name.as_str()) {
                self.leaving.insert(name.clone(), now + LINGERING);
            }
        }
        if !changed.is_empty() {
            self.live.update(|snapshot| snapshot.with_clusters(changed, &[]));
        }
        self.want_secrets(client, now);
        rejected
    }

    fn cluster(
        &mut self,
        changed: &Changed,
        client: &mut DeltaClient,
        now: Instant,
    ) -> Result<Cluster, Rejected> {
        let message: pb::Cluster = decode(changed)?;
        check_name(changed, &message.name)?;
        let compiled =
            config::cluster(&message, &self.registry).map_err(|error| reject(&changed.name, error))?;
        let name = compiled.cluster.name.clone();
        self.leaving.remove(&name);
        let mut cluster = compiled.cluster;
        match self.live.load().cluster(&name) {
            Some(old) if keeps_endpoints(&old.config.discovery, &cluster.config.discovery) => {
                cluster = cluster.with_endpoints(old.endpoints.clone());
            }
            _ => {
                if let Some(assignment) = &compiled.assignment {
                    self.awaited.insert(assignment.clone(), now + WARMING);
                }
            }
        }
        let previous = self.clusters.insert(
            name,
            ClusterEntry {
                assignment: compiled.assignment.clone(),
                secrets: compiled.secrets.into_iter().collect(),
            },
        );
        let previous = previous.and_then(|entry| entry.assignment);
        if previous != compiled.assignment {
            if let Some(assignment) = &compiled.assignment {
                client.subscribe(type_url::ENDPOINTS, assignment.to_string());
            }
            self.drop_assignment(previous.as_ref(), client);
        }
        Ok(cluster)
    }

    /// Takes clusters out of force whose time has come.
    pub(super) fn expire(&mut self, client: &mut DeltaClient, now: Instant) {
        self.awaited.retain(|_, until| *until > now);
        let gone: Vec<Arc<str>> =
            self.leaving.iter().filter(|(_, until)| **until <= now).map(|(name, _)| name.clone()).collect();
        if gone.is_empty() {
            return;
        }
        self.live.update(|snapshot| snapshot.with_clusters([], &gone));
        for name in gone {
            self.leaving.remove(&name);
            self.held.remove(type_url::CLUSTER, &name);
            let entry = self.clusters.remove(&name);
            self.drop_assignment(entry.and_then(|entry| entry.assignment).as_ref(), client);
        }
        self.want_secrets(client, now);
    }

    fn drop_assignment(&mut self, assignment: Option<&Arc<str>>, client: &mut DeltaClient) {
        let Some(assignment) = assignment else { return };
        if !self.clusters.values().any(|entry| entry.assignment.as_ref() == Some(assignment)) {
            client.unsubscribe(type_url::ENDPOINTS, assignment);
            self.awaited.remove(assignment);
        }
    }

    pub(super) fn endpoints(&mut self, update: Update) -> Vec<Rejected> {
        let mut rejected = Vec::new();
        let snapshot = self.live.load();
        let mut changed = Vec::new();
        for one in &update.changed {
            self.awaited.remove(one.name.as_str());
            match assignment(one, &snapshot.clusters) {
                Ok(clusters) => changed.extend(clusters),
                Err(problem) => rejected.push(problem),
            }
        }
        // A removed assignment leaves the endpoints as they are, as in Envoy: it is the cluster that goes.
        for name in &update.removed {
            self.awaited.remove(name.as_str());
        }
        if changed.is_empty() {
            return rejected;
        }
        let shrunk: Vec<_> = changed
            .iter()
            .filter(|new: &&Arc<Cluster>| {
                let before = snapshot.cluster(&new.name).map_or(0, |old| old.endpoints.len());
                before > new.endpoints.len() + MANY_ENDPOINTS
            })
            .map(|cluster| cluster.state.clone())
            .collect();
        self.live.update(|snapshot| snapshot.with_clusters(changed, &[]));
        drop(snapshot);
        for state in shrunk {
            state.forget_unused_endpoints();
        }
        rejected
    }
}

/// The clusters that an assignment is for, with its endpoints.
fn assignment(changed: &Changed, clusters: &Clusters) -> Result<Vec<Arc<Cluster>>, Rejected> {
    let message: endpoint_pb::ClusterLoadAssignment = decode(changed)?;
    check_name(changed, &message.cluster_name)?;
    let is_for = |cluster: &&Arc<Cluster>| matches!(&cluster.config.discovery, Discovery::Eds(name) if **name == *changed.name);
    // Nearly always the cluster has the assignment's name.
    let named = clusters.get(&changed.name).filter(is_for);
    let all: Vec<_> = match named {
        Some(cluster) => vec![cluster],
        None => clusters.values().filter(is_for).collect(),
    };
    let with_endpoints = |cluster: &Arc<Cluster>| {
        let endpoints = config::endpoints(&message, &cluster.state).map_err(|e| reject(&changed.name, e))?;
        Ok(Arc::new(cluster.with_endpoints(Arc::new(endpoints))))
    };
    all.into_iter().map(with_endpoints).collect()
}

/// Whether a cluster's endpoints still fit after its configuration has changed.
fn keeps_endpoints(old: &Discovery, new: &Discovery) -> bool {
    match (old, new) {
        (Discovery::Eds(old), Discovery::Eds(new)) => old == new,
        (Discovery::Dns(old), Discovery::Dns(new)) => old.targets == new.targets && old.family == new.family,
        _ => false,
    }
}
