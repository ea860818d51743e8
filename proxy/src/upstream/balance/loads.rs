//! How much of the traffic each priority takes, by how much of it is healthy.

use super::{Kind, kind_of};
use crate::snapshot::cluster::{Endpoints, Priority};

/// Percent of the requests for each priority's healthy and degraded endpoints; together 100.
#[derive(Debug, Default)]
pub(super) struct Loads {
    healthy: Vec<u32>,
    degraded: Vec<u32>,
}

impl Loads {
    /// The priority, and which of its endpoints, that a hash falls into. None if nothing takes any.
    pub(super) fn choose(&self, hash: u64) -> Option<(usize, Kind)> {
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
pub(super) fn availability(priority: &Priority, overprovisioning: u32) -> (u32, u32) {
    let all = priority.iter().count();
    let percent = |kind| {
        let good = count(priority, kind) as u64 * u64::from(overprovisioning);
        if all == 0 { 0 } else { (good / all as u64).min(100) as u32 }
    };
    (percent(Kind::Healthy), percent(Kind::Degraded))
}

/// What all priorities together can take, in percent of everything.
pub(super) fn total_availability(availability: &[(u32, u32)]) -> u32 {
    availability.iter().map(|(healthy, degraded)| healthy + degraded).sum::<u32>().min(100)
}

/// Too few of a priority's endpoints are good to send to those only.
pub(super) fn in_panic(priority: &Priority, threshold: f64) -> bool {
    let all = priority.iter().count();
    let good = count(priority, Kind::Healthy) + count(priority, Kind::Degraded);
    let percent = if all == 0 { 0.0 } else { 100.0 * good as f64 / all as f64 };
    percent < threshold.min(100.0)
}

/// Traffic in proportion to what each priority can take, the first ones first.
pub(super) fn distribute(availability: &[(u32, u32)]) -> Loads {
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

/// Traffic in proportion to all endpoints, healthy or not.
pub(super) fn loads_in_total_panic(all: &Endpoints) -> Loads {
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
