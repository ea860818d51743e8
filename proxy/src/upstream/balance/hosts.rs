//! The endpoints that a priority may send to, and whose turn it is among them.

use std::sync::Arc;

use tokio::time::Instant;

use super::edf::Edf;
use super::{Kind, hashes, kind_of};
use crate::snapshot::cluster::{Balancing, Endpoint, Policy, Priority, SlowStart};
use crate::upstream::random::Random;

/// The eligible endpoints of one kind in one priority: by locality if traffic is weighted by it, else in one heap.
#[derive(Debug)]
pub(super) struct HostSet {
    localities: Vec<Group>,
    /// Chooses the locality. `None`: there is one.
    turns: Option<Edf>,
    weights: Vec<f64>,
}

impl HostSet {
    pub(super) fn new(
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

    pub(super) fn pick(&mut self, balancing: &Balancing, random: &Random) -> Option<Arc<Endpoint>> {
        let index = match &mut self.turns {
            None => 0,
            Some(turns) => turns.next(|index| self.weights[index])?,
        };
        self.localities.get_mut(index)?.pick(balancing, random)
    }

    pub(super) fn holds(&self, endpoint: &Endpoint) -> bool {
        let held =
            |group: &Group| group.endpoints.iter().any(|held| Arc::ptr_eq(&held.state, &endpoint.state));
        self.localities.iter().any(held)
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
