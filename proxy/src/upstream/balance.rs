//! Which endpoint takes a request.
//!
//! A worker keeps one [`Balancer`] per cluster. It sees the endpoints through a [`View`], made again when the endpoints or
//! their health change: first a priority is chosen, by how much of each is healthy, then a locality by weight, then an
//! endpoint by the cluster's policy. Arithmetic and order follow Envoy's load balancers.

use std::{collections::BinaryHeap, sync::Arc};

use tokio::time::Instant;

use super::{
    hashing::{Share, Table},
    random::Random,
};
use crate::snapshot::cluster::{
    Balancing, Cluster, Endpoint, Endpoints, Health, LocalityEndpoints, Policy, Priority, SlowStart,
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

#[derive(Debug, Default)]
struct Loads {
    healthy: Vec<u32>,
    degraded: Vec<u32>,
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

impl Loads {
    fn choose(&self, hash: u64) -> Option<(usize, Kind)> {
        let point = (hash % 100) as u32 + 1;
        let mut sum = 0;
        for (loads, kind) in [(&self.healthy, Kind::Healthy), (&self.degraded, Kind::Degraded)] {
            for (index, load) in loads.iter().enumerate() {
                sum += load;
                if point <= sum {
                    return Some((index, kind));
                }
            }
        }
        None
    }
}

fn count(priority: &Priority, kind: Kind) -> usize {
    priority.iter().filter(|endpoint| kind_of(endpoint) == Some(kind)).count()
}

/// How much of its share a priority can take, in percent: with its healthy and with its degraded endpoints.
fn availability(priority: &Priority, overprovisioning: u32) -> (u32, u32) {
    let all = priority.iter().count();
    let percent = |kind| {
        let good = count(priority, kind) as u64 * u64::from(overprovisioning);
        if all == 0 { 0 } else { (good / all as u64).min(100) as u32 }
    };
    (percent(Kind::Healthy), percent(Kind::Degraded))
}

fn total_availability(availability: &[(u32, u32)]) -> u32 {
    availability.iter().map(|(healthy, degraded)| healthy + degraded).sum::<u32>().min(100)
}

fn in_panic(priority: &Priority, threshold: f64) -> bool {
    let all = priority.iter().count();
    let good = count(priority, Kind::Healthy) + count(priority, Kind::Degraded);
    let percent = if all == 0 { 0.0 } else { 100.0 * good as f64 / all as f64 };
    percent < threshold.min(100.0)
}

fn distribute(availability: &[(u32, u32)]) -> Loads {
    let total = total_availability(availability);
    if total == 0 {
        return Loads::default();
    }
    let mut left = 100;
    let mut take = |available: &dyn Fn(&(u32, u32)) -> u32| -> Vec<u32> {
        availability
            .iter()
            .map(|both| {
                let load = left.min(available(both) * 100 / total);
                left -= load;
                load
            })
            .collect()
    };
    let mut loads = Loads { healthy: take(&|both| both.0), degraded: take(&|both| both.1) };
    // What rounding has left goes to the first that takes anything.
    if let Some(first) = availability.iter().position(|(healthy, _)| *healthy > 0) {
        loads.healthy[first] += left;
    } else if let Some(first) = availability.iter().position(|(_, degraded)| *degraded > 0) {
        loads.degraded[first] += left;
    }
    loads
}

fn loads_in_total_panic(all: &Endpoints) -> Loads {
    let total = all.len();
    if total == 0 {
        return Loads::default();
    }
    let mut healthy: Vec<u32> =
        all.priorities.iter().map(|priority| (priority.iter().count() * 100 / total) as u32).collect();
    let left = 100 - healthy.iter().sum::<u32>();
    if let Some(first) = healthy.iter_mut().find(|load| **load > 0) {
        *first += left;
    }
    Loads { healthy, degraded: Vec::new() }
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
            .flat_map(|set| &set.localities)
            .any(|locality| locality.endpoints.iter().any(|held| Arc::ptr_eq(&held.state, &endpoint.state)))
    }
}

/// The eligible endpoints of one kind in one priority: by locality if traffic is weighted by it, else in one heap.
#[derive(Debug)]
struct HostSet {
    localities: Vec<Group>,
    /// Chooses the locality. `None`: there is one.
    turns: Option<Edf>,
    weights: Vec<f64>,
}

impl HostSet {
    fn new(
        priority: &Priority,
        kind: Kind,
        overprovisioning: u32,
        balancing: &Balancing,
        random: &Random,
    ) -> Self {
        let fits = |endpoint: &&Arc<Endpoint>| kind == Kind::All || kind_of(endpoint) == Some(kind);
        let weighted =
            balancing.locality_weighted && priority.localities.iter().any(|locality| locality.weight > 0);
        if !weighted || hashes(balancing) {
            let endpoints = priority.iter().filter(fits).cloned().collect();
            let localities = vec![Group::new(endpoints, balancing, random)];
            return Self { localities, turns: None, weights: Vec::new() };
        }
        let mut weights = Vec::new();
        let mut localities = Vec::new();
        for locality in &priority.localities {
            let endpoints: Vec<_> = locality.endpoints.iter().filter(fits).cloned().collect();
            let whole = locality.endpoints.len();
            if endpoints.is_empty() || locality.weight == 0 {
                continue;
            }
            let good = endpoints.len() as f64 / whole as f64 * f64::from(overprovisioning) / 100.0;
            weights.push(f64::from(locality.weight) * good.min(1.0));
            localities.push(Group::new(endpoints, balancing, random));
        }
        let turns = (localities.len() > 1).then(|| Edf::new(&weights, random));
        Self { localities, turns, weights }
    }

    fn pick(&mut self, balancing: &Balancing, random: &Random) -> Option<Arc<Endpoint>> {
        let index = match &mut self.turns {
            None => 0,
            Some(turns) => turns.next(|index| self.weights[index])?,
        };
        self.localities.get_mut(index)?.pick(balancing, random)
    }
}

/// Endpoints among which the policy chooses.
#[derive(Debug)]
struct Group {
    endpoints: Vec<Arc<Endpoint>>,
    turn: usize,
    /// By weight, where weights differ or endpoints start slowly.
    edf: Option<Edf>,
}

impl Group {
    fn new(endpoints: Vec<Arc<Endpoint>>, balancing: &Balancing, random: &Random) -> Self {
        let in_turn = matches!(balancing.policy, Policy::RoundRobin | Policy::LeastRequest { .. });
        let even = endpoints.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        let edf = (in_turn && endpoints.len() > 1 && (!even || balancing.slow_start.is_some())).then(|| {
            let now = Instant::now();
            let weights: Vec<f64> =
                endpoints.iter().map(|endpoint| weight_now(endpoint, balancing, now)).collect();
            Edf::new(&weights, random)
        });
        let turn = if endpoints.is_empty() { 0 } else { random.below(endpoints.len()) };
        Self { endpoints, turn, edf }
    }

    fn pick(&mut self, balancing: &Balancing, random: &Random) -> Option<Arc<Endpoint>> {
        let endpoints = &self.endpoints;
        if let [only] = &endpoints[..] {
            return Some(only.clone());
        }
        if endpoints.is_empty() {
            return None;
        }
        if let Some(edf) = &mut self.edf {
            let now = Instant::now();
            let index = edf.next(|index| weight_now(&endpoints[index], balancing, now))?;
            return Some(endpoints[index].clone());
        }
        match balancing.policy {
            Policy::LeastRequest { choices } => {
                let mut best = &endpoints[random.below(endpoints.len())];
                for _ in 1..choices.max(2) {
                    let other = &endpoints[random.below(endpoints.len())];
                    if other.state.active() < best.state.active() {
                        best = other;
                    }
                }
                Some(best.clone())
            }
            Policy::RoundRobin => {
                self.turn = (self.turn + 1) % endpoints.len();
                Some(endpoints[self.turn].clone())
            }
            Policy::Random | Policy::RingHash { .. } | Policy::Maglev { .. } => {
                Some(endpoints[random.below(endpoints.len())].clone())
            }
        }
    }
}

/// An endpoint's weight at this moment: less while it starts slowly, and less the busier it is where that counts.
fn weight_now(endpoint: &Endpoint, balancing: &Balancing, now: Instant) -> f64 {
    let mut weight = f64::from(endpoint.weight);
    if let Some(slow) = &balancing.slow_start {
        weight *= slow_start_factor(slow, now.saturating_duration_since(endpoint.state.since));
    }
    if matches!(balancing.policy, Policy::LeastRequest { .. }) {
        weight /= f64::from(endpoint.state.active()) + 1.0;
    }
    weight.max(f64::MIN_POSITIVE)
}

fn slow_start_factor(slow: &SlowStart, age: std::time::Duration) -> f64 {
    if age >= slow.window {
        return 1.0;
    }
    // Envoy counts whole seconds and begins at one.
    let age = age.as_secs_f64().max(1.0);
    let part = (age / slow.window.as_secs_f64()).powf(1.0 / slow.aggression.max(f64::MIN_POSITIVE));
    part.max(slow.min_weight_percent / 100.0).min(1.0)
}

/// Earliest deadline first: turns in proportion to weights, in O(log n).
#[derive(Debug)]
struct Edf {
    queue: BinaryHeap<Turn>,
    now: f64,
    order: u64,
}

#[derive(Debug, PartialEq)]
struct Turn {
    deadline: f64,
    order: u64,
    index: usize,
}

impl Eq for Turn {}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Turn {
    /// The earliest is the greatest, because the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.deadline.total_cmp(&self.deadline).then_with(|| other.order.cmp(&self.order))
    }
}

impl Edf {
    /// Begins somewhere, so that workers (and proxies) don't all send to the same endpoint first.
    fn new(weights: &[f64], random: &Random) -> Self {
        let queue = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| {
                let part = (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
                Turn { deadline: (1.0 - part) / weight, order: index as u64, index }
            })
            .collect();
        Self { queue, now: 0.0, order: weights.len() as u64 }
    }

    fn next(&mut self, weight: impl FnOnce(usize) -> f64) -> Option<usize> {
        let Turn { deadline, index, .. } = self.queue.pop()?;
        self.now = deadline;
        self.order += 1;
        self.queue.push(Turn { deadline: deadline + 1.0 / weight(index), order: self.order, index });
        Some(index)
    }
}

#[cfg(test)]
#[path = "balance_tests.rs"]
mod tests;
