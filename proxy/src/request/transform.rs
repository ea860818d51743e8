//! Makes a request what its upstream is to see.

use http::{HeaderName, HeaderValue};

use super::{Exchange, attempt::Plan, respond};
use crate::{
    snapshot::{listener::Direction, route::Forward},
    stage::{self, retry::Retries, route::Routed},
};

const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");

impl Exchange {
    /// Makes the head what the upstream is to see, and settles what attempts may be made.
    pub(super) fn transform(&mut self, routed: &Routed, forward: &Forward) -> Plan {
        let connection = self.connection.clone();
        let policy = forward.retry.as_deref();
        let limits = stage::timeout::limits(forward, policy, &mut self.head.headers, self.grpc);
        let retries = Retries::new(policy);
        let hashed = stage::hash::of(&forward.hash, &self.head, self.record.client, connection.facts.local);
        self.cookies = hashed.cookies;
        if routed.host.attempt_count_in_request {
            self.head.headers.insert(ATTEMPT_COUNT, HeaderValue::from_static("1"));
        }
        let target = self.target.take();
        let hostname = &connection.worker.shared.settings.hostname;
        for edits in respond::levels(routed, target.as_ref(), |level| level.request) {
            stage::headers::edit_request(edits, &mut self.head, &self.record, hostname);
        }
        stage::rewrite::apply(&routed.route, forward, target.as_ref(), &mut self.head);
        if connection.manager.filters.metadata_exchange
            && connection.facts.direction != Direction::Inbound
            && let Some(cluster) = &self.record.cluster
        {
            connection.worker.recorder.introduce_to_endpoint(cluster, &mut self.head.headers);
        }
        self.keep_headers();
        self.target = target;
        let again = policy.map_or(0, |policy| policy.host_selection_attempts);
        let other_priorities = policy.is_some_and(|policy| policy.other_priorities);
        Plan { limits, retries, hash: hashed.hash, again, other_priorities }
    }

    /// Keeps the request's headers as they are now for the access log, if there is one.
    pub(super) fn keep_headers(&mut self) {
        if !self.connection.manager.access_logs.is_empty()
            && let Some(facts) = &mut self.record.request
        {
            facts.headers = Some(Box::new(self.head.headers.clone()));
        }
    }
}
