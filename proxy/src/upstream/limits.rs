//! The circuit breaker's limits, exact over all workers.
//!
//! A [`Permit`] stands for one use; dropping it gives the use back. Where a limit is reached there is no permit, and
//! the request or connection fails with `UO`.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::state::ClusterState;
use crate::snapshot::cluster::Limits;

/// How much of a cluster's limits is used.
#[derive(Debug, Default)]
pub struct Usage {
    connections: AtomicU32,
    pending: AtomicU32,
    requests: AtomicU32,
    retries: AtomicU32,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Connections.
    Connections,
    /// Requests that wait for a connection.
    Pending,
    /// Requests under way.
    Requests,
    /// Retries under way.
    Retries,
}

impl Usage {
    fn cell(&self, resource: Resource) -> &AtomicU32 {
        match resource {
            Resource::Connections => &self.connections,
            Resource::Pending => &self.pending,
            Resource::Requests => &self.requests,
            Resource::Retries => &self.retries,
        }
    }

    /// How much is used now.
    pub fn of(&self, resource: Resource) -> u32 {
        self.cell(resource).load(Ordering::Relaxed)
    }
}

impl Limits {
    /// How much of `resource` may be used, given what is used of the others.
    pub fn of(&self, resource: Resource, usage: &Usage) -> u32 {
        match resource {
            Resource::Connections => self.max_connections,
            Resource::Pending => self.max_pending_requests,
            Resource::Requests => self.max_requests,
            Resource::Retries => match self.retry_budget {
                None => self.max_retries,
                Some(budget) => {
                    let active = usage.of(Resource::Requests) + usage.of(Resource::Pending);
                    let share = budget.percent / 100.0 * f64::from(active);
                    budget.min_concurrency.max(share as u32)
                }
            },
        }
    }
}

/// One use of a limited resource, given back on drop.
#[derive(Debug)]
#[must_use = "dropping a permit gives it back"]
pub struct Permit {
    state: Arc<ClusterState>,
    resource: Resource,
}

impl Permit {
    /// One use, if the limit allows.
    pub fn take(state: &Arc<ClusterState>, limits: &Limits, resource: Resource) -> Option<Self> {
        let limit = limits.of(resource, &state.usage);
        let cell = state.usage.cell(resource);
        if limit == u32::MAX {
            cell.fetch_add(1, Ordering::Relaxed);
        } else {
            cell.try_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < limit).then_some(used + 1))
                .ok()?;
        }
        Some(Self { state: state.clone(), resource })
    }

    /// One use whatever the limit says.
    pub fn force(state: &Arc<ClusterState>, resource: Resource) -> Self {
        state.usage.cell(resource).fetch_add(1, Ordering::Relaxed);
        Self { state: state.clone(), resource }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.state.usage.cell(self.resource).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::cluster::{Registry, RetryBudget};

    #[test]
    fn a_limit_is_exact_over_threads() {
        let state = Registry::new().cluster(&"c".into());
        let limits = Limits { max_requests: 100, ..Limits::default() };
        let taken: Vec<Permit> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (0..1000)
                            .filter_map(|_| Permit::take(&state, &limits, Resource::Requests))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(taken.len(), 100);
        drop(taken);
        assert_eq!(state.usage.of(Resource::Requests), 0);
        assert!(Permit::take(&state, &limits, Resource::Requests).is_some());
    }

    #[test]
    fn a_retry_budget_follows_the_requests_under_way() {
        let state = Registry::new().cluster(&"c".into());
        let budget = RetryBudget { percent: 20.0, min_concurrency: 3 };
        let limits = Limits { retry_budget: Some(budget), ..Limits::default() };
        assert_eq!(limits.of(Resource::Retries, &state.usage), 3);
        let _requests: Vec<Permit> = (0..50).map(|_| Permit::force(&state, Resource::Requests)).collect();
        assert_eq!(limits.of(Resource::Retries, &state.usage), 10);
    }
}
