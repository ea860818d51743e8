//! One resource type on one stream: what is subscribed, what was sent, what is owed.

use std::collections::BTreeSet;
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;

use super::plan::{Part, Plan, nonce_text};
use super::subscription::Subscription;
use super::{Limits, Received, Snapshot, Violation};
use crate::{ResourceType, wire};

#[derive(Debug)]
pub(super) struct TypeState {
    kind: ResourceType,
    heard: bool,
    subscription: Subscription,
    /// Names to send as they are in the newest snapshot; those that are not in it are to be removed.
    owed: BTreeSet<Arc<str>>,
    sent: u64,
    acknowledged: u64,
    in_flight: bool,
    /// The client waits to hear that there is nothing: it can't tell that from a server that hasn't come to it yet.
    unanswered: bool,
}

impl TypeState {
    pub(super) fn new(kind: ResourceType) -> Self {
        Self {
            kind,
            heard: false,
            subscription: Subscription::default(),
            owed: BTreeSet::new(),
            sent: 0,
            acknowledged: 0,
            in_flight: false,
            unanswered: false,
        }
    }

    /// Reads the answer that a request may carry.
    pub(super) fn acknowledge(&mut self, request: &DeltaDiscoveryRequest) -> Received {
        if request.response_nonce.is_empty() {
            return Received::Subscription(self.kind);
        }
        if request.response_nonce != nonce_text(self.sent) || !self.in_flight {
            return Received::StaleNonce(self.kind);
        }
        self.in_flight = false;
        self.acknowledged = self.sent;
        match &request.error_detail {
            // It would be rejected again: what was sent counts as sent until it changes.
            Some(error) => Received::Nack { kind: self.kind, message: error.message.clone() },
            None => Received::Ack(self.kind),
        }
    }

    /// Changes the subscription, and owes what was newly asked for.
    pub(super) fn subscribe<S: Snapshot>(
        &mut self,
        request: DeltaDiscoveryRequest,
        target: &S,
        limits: &Limits,
    ) -> Result<(), Violation> {
        let first = !std::mem::replace(&mut self.heard, true);
        let asked = &request.resource_names_subscribe;
        self.check(asked, limits)?;
        self.subscription.remove(request.resource_names_unsubscribe.iter().map(String::as_str));
        let was_all = self.subscription.is_all();
        self.subscription.add(asked.iter().map(String::as_str));
        if first && asked.is_empty() && self.kind.empty_means_all() {
            self.subscription.subscribe_all();
        }
        if self.subscription.len() > limits.names_per_type {
            return Err(Violation::TooManyNames { kind: self.kind, limit: limits.names_per_type });
        }
        if self.subscription.is_all() && !was_all {
            self.owed.extend(target.names(self.kind, ""));
        }
        for name in asked.iter().filter(|name| *name != "*") {
            match name.strip_suffix('*').filter(|prefix| prefix.ends_with('/')) {
                Some(prefix) => self.owed.extend(target.names(self.kind, prefix)),
                None => drop(self.owed.insert(name.as_str().into())),
            }
        }
        if !request.resource_names_unsubscribe.is_empty() {
            let subscription = &self.subscription;
            self.owed.retain(|name| subscription.contains(name));
        }
        if first {
            self.unanswered = self.subscription.is_all() && request.initial_resource_versions.is_empty();
            self.resume(&request, target);
        }
        Ok(())
    }

    fn check(&self, asked: &[String], limits: &Limits) -> Result<(), Violation> {
        let kind = self.kind;
        if asked.len() > limits.names_per_type {
            return Err(Violation::TooManyNames { kind, limit: limits.names_per_type });
        }
        match asked.iter().find(|name| name.len() > limits.name_bytes) {
            Some(name) => Err(Violation::NameTooLong { kind, len: name.len(), limit: limits.name_bytes }),
            None => Ok(()),
        }
    }

    /// What the client brings from an earlier stream, possibly from another replica, need not be sent; what of it is gone
    /// must be removed.
    fn resume<S: Snapshot>(&mut self, request: &DeltaDiscoveryRequest, target: &S) {
        for (name, version) in &request.initial_resource_versions {
            let current = target.version(self.kind, name);
            if current.is_some() && current == wire::parse_version(version) {
                self.owed.remove(name.as_str());
            } else if self.subscription.contains(name) {
                self.owed.insert(name.as_str().into());
            }
        }
    }

    /// Owes what changed between the snapshot that was last looked at and the newest.
    pub(super) fn catch_up<S: Snapshot>(&mut self, base: &S, target: &S) {
        if !self.subscription.is_empty() {
            let changed = target.changed_since(base, self.kind);
            self.owed.extend(changed.into_iter().filter(|name| self.subscription.contains(name)));
        }
    }

    /// Owes resources again that the client is known to need once more.
    pub(super) fn owe_again(&mut self, names: &[Arc<str>]) {
        self.owed.extend(names.iter().filter(|name| self.subscription.contains(name)).cloned());
    }

    /// The next response of this type, if one may and need be sent.
    pub(super) fn plan<S: Snapshot>(
        &mut self,
        target: &S,
        part: Part,
        nonce: u64,
        budget: usize,
    ) -> Option<Plan> {
        if self.in_flight || !self.owes() {
            return None;
        }
        let mut plan = Plan { kind: self.kind, nonce, send: Vec::new(), remove: Vec::new() };
        let (mut size, mut left) = (0, BTreeSet::new());
        for name in std::mem::take(&mut self.owed) {
            let exists = target.version(self.kind, &name).is_some();
            let fits = size < budget;
            if exists && fits {
                size += target.size(self.kind, &name);
                plan.send.push(name);
            } else if !exists && part == Part::Everything {
                plan.remove.push(name);
            } else {
                left.insert(name);
            }
        }
        self.owed = left;
        if plan.send.is_empty() && plan.remove.is_empty() && !(self.unanswered && self.owed.is_empty()) {
            return None;
        }
        self.unanswered = false;
        self.sent = nonce;
        self.in_flight = true;
        Some(plan)
    }

    pub(super) fn settled<S: Snapshot>(&self, part: Part, target: &S) -> bool {
        let due = |name: &Arc<str>| part == Part::Everything || target.version(self.kind, name).is_some();
        !self.in_flight && !self.owed.iter().any(due)
    }

    pub(super) fn owes(&self) -> bool {
        self.unanswered || !self.owed.is_empty()
    }

    /// Nothing was sent that is not acknowledged, and nothing is left to send.
    pub(super) fn is_at_rest(&self) -> bool {
        self.heard && !self.in_flight && self.owed.is_empty()
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.heard && !self.subscription.is_empty()
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        self.subscription.contains(name)
    }

    pub(super) fn nonces(&self) -> (u64, u64) {
        (self.sent, self.acknowledged)
    }
}
