//! Waiting for the endpoints of new clusters before anything may refer to them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::plan::Plan;
use super::type_state::TypeState;
use super::{Received, Snapshot};
use crate::ResourceType;

/// Clusters that were sent, whose endpoints the client has not asked for yet.
#[derive(Debug, Default)]
pub(super) struct Hold {
    expected: HashSet<Arc<str>>,
    until: Option<Instant>,
}

impl Hold {
    /// Endpoints carry the name of their cluster.
    pub(super) fn sent_clusters<S: Snapshot>(
        &mut self,
        plan: &Plan,
        target: &S,
        endpoints: &TypeState,
        until: Instant,
    ) {
        let kind = ResourceType::Endpoints;
        let unasked = |name: &&Arc<str>| target.version(kind, name).is_some() && !endpoints.wants(name);
        let before = self.expected.len();
        self.expected.extend(plan.send.iter().filter(unasked).cloned());
        if self.expected.len() > before {
            self.until = Some(until);
        }
        for gone in &plan.remove {
            self.expected.remove(gone);
        }
    }

    /// Whoever rejects clusters will not ask for their endpoints.
    pub(super) fn learn(&mut self, kind: ResourceType, received: &Received, endpoints: &TypeState) {
        match (kind, received) {
            (ResourceType::Cluster, Received::Nack { .. }) => self.expected.clear(),
            (ResourceType::Endpoints, _) => self.expected.retain(|name| !endpoints.wants(name)),
            _ => {}
        }
    }

    /// Until when to wait, if there is still something to wait for.
    pub(super) fn waiting(&mut self, now: Instant) -> Option<Instant> {
        let until = self.until?;
        if self.expected.is_empty() || now >= until {
            self.expected = HashSet::new();
            self.until = None;
            return None;
        }
        Some(until)
    }
}
