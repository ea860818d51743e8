//! Which endpoint takes a request.
//!
//! A worker keeps one [`Balancer`] per cluster. It sees the endpoints through a [`View`], made again when the endpoints or
//! their health change: first a priority is chosen, by how much of each is healthy, then a locality by weight, then an
//! endpoint by the cluster's policy. Arithmetic and order follow Envoy's load balancers.

mod edf;
mod hosts;
mod loads;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hosts::HostSet;
use loads::{Loads, availability, distribute, in_panic, loads_in_total_panic, total_availability};

use super::hashing::{Share, Table};
use super::random::Random;
use crate::snapshot::cluster::{
    Balancing, Cluster, Endpoint, Endpoints, Health, LocalityEndpoints, Policy, Priority,
};

/// What a request asks of the choice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pick<'a> {
    /// The hash for consistent hashing. Without one it is by lot.
    pub hash: Option<u64>,
    /// Endpoints that have been tried already.
    pub tried: &'a [Arc<Endpoint>],
    /// How often to choose again because an endpoint was tried already.
    pub again: u32,
    /// Prefer priorities in which nothing was tried (`previous_priorities`).
    pub other_priorities: bool,
    /// Where the client wanted to go, for [`crate::snapshot::cluster::Discovery::OriginalDst`].
    pub destination: Option<std::net::SocketAddr>,
}

/// One worker's balancer for one cluster.
#[derive(Debug)]
pub(super) struct Balancer {
    endpoints: Arc<Endpoints>,
    balancing: Balancing,
    epoch: u64,
    view: View,
}

impl Balancer {
    pub(super) fn new(cluster: &Cluster, random: &Random) -> Self {
        let epoch = cluster.state.health.epoch();
        let balancing = cluster.config.balancing.clone();
        let view = View::new(cluster, &balancing, epoch, random);
        Self { endpoints: cluster.endpoints.clone(), balancing, epoch, view }
    }

    /// The endpoint for a request. `None` if there is no healthy one.
    pub(super) fn pick(
        &mut self,
        cluster: &Cluster,
        want: &Pick<'_>,
        random: &Random,
    ) -> Option<Arc<Endpoint>> {
        if !Arc::ptr_eq(&self.endpoints, &cluster.endpoints)
            || self.epoch != cluster.state.health.epoch()
            || self.balancing != cluster.config.balancing
        {
            *self = Self::new(cluster, random);
        }
        let hash = want.hash.unwrap_or_else(|| random.next());
        let (priority, kind) = self.view.priority(hash, want)?;
        let mut chosen = None;
        for attempt in 0..=want.again {
            let endpoint = self.view.priorities[priority].pick(kind, hash, attempt, &self.balancing, random);
            let tried = endpoint.as_ref().is_some_and(|endpoint| was_tried(endpoint, want));
            chosen = endpoint;
            if !tried {
                break;
            }
        }
        chosen
    }
}

fn was_tried(endpoint: &Endpoint, want: &Pick<'_>) -> bool {
    want.tried.iter().any(|tried| Arc::ptr_eq(&tried.state, &endpoint.state))
}

/// Which of a priority's endpoints are eligible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Healthy,
    Degraded,
    /// All, healthy or not: the panic mode.
    All,
}

fn kind_of(endpoint: &Endpoint) -> Option<Kind> {
    match endpoint.health {
        _ if endpoint.state.ejected() => None,
        Health::Healthy => Some(Kind::Healthy),
        Health::Degraded => Some(Kind::Degraded),
        Health::Unhealthy | Health::Draining => None,
    }
}

/// A cluster's endpoints as the policy sees them.
#[derive(Debug)]
struct View {
    priorities: Vec<PriorityView>,
    /// Percent of the requests for each priority's healthy and degraded endpoints; together 100.
    loads: Loads,
    availability: Vec<(u32, u32)>,
}

impl View {
    fn new(cluster: &Cluster, balancing: &Balancing, epoch: u64, random: &Random) -> Self {
        let all = &cluster.endpoints;
        let availability: Vec<_> =
            all.priorities.iter().map(|priority| availability(priority, all.overprovisioning)).collect();
        let total = total_availability(&availability);
        let panics: Vec<bool> = all
            .priorities
            .iter()
            .map(|priority| total < 100 && in_panic(priority, balancing.panic_threshold))
            .collect();
        let loads = if !panics.is_empty() && panics.iter().all(|panic| *panic) {
            loads_in_total_panic(all)
        } else {
            distribute(&availability)
        };
        let tables = hashes(balancing).then(|| {
            cluster.state.table.get(all, balancing, epoch, || {
                let build = |(priority, panic): (&Priority, &bool)| {
                    Table::build(balancing, &shares(priority, *panic, balancing.locality_weighted))
                };
                all.priorities.iter().zip(&panics).map(build).collect()
            })
        });
        let priorities = all
            .priorities
            .iter()
            .enumerate()
            .map(|(index, priority)| PriorityView {
                panic: panics[index],
                healthy: HostSet::new(priority, Kind::Healthy, all.overprovisioning, balancing, random),
                degraded: HostSet::new(priority, Kind::Degraded, all.overprovisioning, balancing, random),
                all: panics[index]
                    .then(|| HostSet::new(priority, Kind::All, all.overprovisioning, balancing, random)),
                tables: tables.clone().map(|tables| (tables, index)),
            })
            .collect();
        Self { priorities, loads, availability }
    }

    fn priority(&self, hash: u64, want: &Pick<'_>) -> Option<(usize, Kind)> {
        let others;
        let mut loads = &self.loads;
        if want.other_priorities && !want.tried.is_empty() {
            let untried = |(priority, available): (&PriorityView, &(u32, u32))| {
                if want.tried.iter().any(|tried| priority.holds(tried)) { (0, 0) } else { *available }
            };
            let left: Vec<_> = self.priorities.iter().zip(&self.availability).map(untried).collect();
            // Once all have been tried, all are as good as at the beginning.
            if total_availability(&left) > 0 {
                others = distribute(&left);
                loads = &others;
            }
        }
        let (index, kind) = loads.choose(hash)?;
        Some((index, if self.priorities[index].panic { Kind::All } else { kind }))
    }
}

fn hashes(balancing: &Balancing) -> bool {
    matches!(balancing.policy, Policy::RingHash { .. } | Policy::Maglev { .. })
}

/// Each eligible endpoint's share of a priority, for consistent hashing.
fn shares(priority: &Priority, panic: bool, locality_weighted: bool) -> Vec<Share> {
    let eligible = |locality: &LocalityEndpoints| -> Vec<Arc<Endpoint>> {
        let fits = |endpoint: &&Arc<Endpoint>| panic || kind_of(endpoint) == Some(Kind::Healthy);
        locality.endpoints.iter().filter(fits).cloned().collect()
    };
    let normalised = |endpoints: Vec<Arc<Endpoint>>, whole: f64| {
        let sum: u64 = endpoints.iter().map(|endpoint| u64::from(endpoint.weight)).sum();
        endpoints
            .into_iter()
            .map(move |endpoint| Share { weight: f64::from(endpoint.weight) * whole / sum as f64, endpoint })
    };
    let weights: u64 = priority.localities.iter().map(|locality| u64::from(locality.weight)).sum();
    if !locality_weighted || weights == 0 {
        return normalised(priority.localities.iter().flat_map(eligible).collect(), 1.0).collect();
    }
    priority
        .localities
        .iter()
        .filter(|locality| locality.weight > 0)
        .flat_map(|locality| normalised(eligible(locality), f64::from(locality.weight) / weights as f64))
        .collect()
}

#[derive(Debug)]
struct PriorityView {
    panic: bool,
    healthy: HostSet,
    degraded: HostSet,
    all: Option<HostSet>,
    /// The tables of all priorities, and the position of this one's.
    tables: Option<(Arc<[Option<Table>]>, usize)>,
}

impl PriorityView {
    fn pick(
        &mut self,
        kind: Kind,
        hash: u64,
        attempt: u32,
        balancing: &Balancing,
        random: &Random,
    ) -> Option<Arc<Endpoint>> {
        if let Some((tables, index)) = &self.tables {
            return tables[*index].as_ref()?.find(hash, attempt).cloned();
        }
        let set = match kind {
            Kind::Healthy => &mut self.healthy,
            Kind::Degraded => &mut self.degraded,
            Kind::All => self.all.as_mut()?,
        };
        set.pick(balancing, random)
    }

    fn holds(&self, endpoint: &Arc<Endpoint>) -> bool {
        [Some(&self.healthy), Some(&self.degraded), self.all.as_ref()]
            .into_iter()
            .flatten()
            .any(|set| set.holds(endpoint))
    }
}
