//! Writes statuses: by server-side apply to the subresource, under a field manager of its own, at a bounded pace.

use std::collections::HashMap;
use std::time::Duration;

use crds::meta::IstioStatus;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use model::Key;
use serde::Deserialize as _;
use serde_json::json;
use tokio::time::Instant;

use super::desk::Wish;
use super::objects::Objects;
use super::pace::Pace;
use crate::source::kubernetes::istio_resource;

/// Who owns these fields.
const MANAGER: &str = "trysail-status";
/// An object whose status could not be written rests so long.
const REST: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes, and remembers when.
pub(super) struct Writer {
    client: Client,
    pace: Pace,
    /// Since when it writes at all: what was written before counts as written then.
    since: Instant,
    written: HashMap<Key, Instant>,
    resting: HashMap<Key, Instant>,
    problem: String,
}

impl Writer {
    pub(super) fn new(client: Client, now: Instant) -> Self {
        Self {
            client,
            pace: Pace::new(now),
            since: now,
            written: HashMap::new(),
            resting: HashMap::new(),
            problem: String::new(),
        }
    }

    /// Writes what is due and within the pace; the rest is worked out anew next time. Returns how long until there is more
    /// to write, if something was left.
    pub(super) async fn write(&mut self, mut wishes: Vec<Wish>, objects: &Objects) -> Option<Duration> {
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        wishes.retain(|wish| !self.resting.contains_key(&wish.key) && self.is_due(wish, now));
        // What has waited longest goes first, and facts before wording.
        wishes.sort_by_key(|wish| (wish.urgency, self.last(&wish.key)));
        for wish in wishes {
            if !self.pace.take(Instant::now()) {
                return Some(self.pace.wait());
            }
            self.one(wish, objects).await;
        }
        None
    }

    fn last(&self, key: &Key) -> Instant {
        self.written.get(key).copied().unwrap_or(self.since)
    }

    fn is_due(&self, wish: &Wish, now: Instant) -> bool {
        now.saturating_duration_since(self.last(&wish.key)) >= wish.urgency
    }

    async fn one(&mut self, wish: Wish, objects: &Objects) {
        let Wish { key, seen, status, .. } = wish;
        self.written.insert(key.clone(), Instant::now());
        let written = tokio::time::timeout(TIMEOUT, self.apply(&key, &seen.uid, &status)).await;
        let problem = match written {
            Ok(Ok(stored)) => {
                tracing::debug!(object = %key, "status written");
                self.problem.clear();
                return objects.wrote(&key, &seen, stored.unwrap_or(status));
            }
            // It is gone, or another one has its name now.
            Ok(Err(kube::Error::Api(answer))) if matches!(answer.code, 404 | 409) => {
                self.resting.insert(key, Instant::now() + REST);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the API server does not answer".to_owned(),
        };
        if problem != self.problem {
            tracing::warn!(object = %key, problem, "cannot write a status; trying again");
            self.problem = problem;
        }
        self.resting.insert(key, Instant::now() + REST);
    }

    /// The status as it was stored.
    async fn apply(&self, key: &Key, uid: &str, status: &IstioStatus) -> kube::Result<Option<IstioStatus>> {
        let Some(resource) = istio_resource(key.kind) else { return Ok(None) };
        let (namespace, name) = (&key.name.namespace, &key.name.name);
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, &resource);
        let body = json!({
            "apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": { "name": &**name, "namespace": &**namespace, "uid": uid },
            "status": status,
        });
        let parameters = PatchParams::apply(MANAGER).force();
        let stored = api.patch_status(name, &parameters, &Patch::Apply(&body)).await?;
        Ok(stored.data.get("status").and_then(|status| IstioStatus::deserialize(status).ok()))
    }
}
