//! Decides what of the received configuration is put in force when: make before break.
//!
//! In: updates of one resource type at a time, in whatever order the control plane sends them. Out: snapshots without gaps.
//! What names something waits for what it names: a route for the endpoints of a new cluster, a listener for its routes and
//! certificates, a few seconds at most. What is removed stays as long as something in force may name it.
//! No I/O but for secrets that are files; the clock is passed in.

mod clusters;
mod listeners;
mod names;
mod publish;
mod routes;
mod secrets;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xds::ResourceType;
use xds::client::{Changed, DeltaClient, Rejected, Update};

use self::clusters::ClusterEntry;
use self::routes::TableEntry;
use super::{Held, Progress};
use crate::config::CompiledListener;
use crate::dns::Names;
use crate::identity::{FileSecrets, Secrets};
use crate::snapshot::Live;
use crate::snapshot::cluster::Registry;
use crate::snapshot::listener::Listener;

/// The longest that something waits for what it names (Envoy: 15 s). After that it is put in force as it is.
const WARMING: Duration = Duration::from_secs(5);
/// How long a cluster outlives its removal: a control plane may remove it before the routes that name it change.
const LINGERING: Duration = Duration::from_secs(2);

/// All received configuration, and what of it is in force.
#[derive(Debug)]
pub struct Applier {
    live: Arc<Live>,
    registry: Arc<Registry>,
    secrets: Arc<Secrets>,
    held: Arc<Held>,
    progress: Arc<Progress>,
    /// The names that apps are answered, where we answer them.
    names: Option<Arc<Names>>,
    /// Clusters in force.
    clusters: HashMap<Arc<str>, ClusterEntry>,
    /// Assignments that new clusters wait for, and until when.
    awaited: HashMap<Arc<str>, Instant>,
    /// Removed clusters that are still in force, and until when.
    leaving: HashMap<Arc<str>, Instant>,
    /// Listeners as received.
    listeners: BTreeMap<Arc<str>, CompiledListener>,
    /// Listeners in force.
    published: BTreeMap<Arc<str>, Arc<Listener>>,
    /// Listeners whose newest version is not in force, and until when it may wait.
    listeners_due: HashMap<Arc<str>, Instant>,
    /// Route tables as received.
    tables: HashMap<Arc<str>, TableEntry>,
    /// Route tables whose newest version is not in force, and until when it may wait.
    tables_due: HashMap<Arc<str>, Instant>,
    wanted_routes: BTreeSet<Arc<str>>,
    wanted_secrets: BTreeSet<Arc<str>>,
    files: FileSecrets,
    heard: BTreeSet<ResourceType>,
}

impl Applier {
    /// Puts configuration in force in `live` and `secrets`.
    pub fn new(
        live: Arc<Live>,
        registry: Arc<Registry>,
        secrets: Arc<Secrets>,
        held: Arc<Held>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            live,
            registry,
            secrets,
            held,
            progress,
            names: None,
            clusters: HashMap::new(),
            awaited: HashMap::new(),
            leaving: HashMap::new(),
            listeners: BTreeMap::new(),
            published: BTreeMap::new(),
            listeners_due: HashMap::new(),
            tables: HashMap::new(),
            tables_due: HashMap::new(),
            wanted_routes: BTreeSet::new(),
            wanted_secrets: BTreeSet::new(),
            files: FileSecrets::default(),
            heard: BTreeSet::new(),
        }
    }

    /// Wants names too, and puts them in force in `names`.
    pub fn with_names(self, names: Option<Arc<Names>>) -> Self {
        Self { names, ..self }
    }

    /// Types of which everything is wanted.
    pub fn wants_all_of(&self) -> impl Iterator<Item = ResourceType> {
        let names = self.names.is_some().then_some(ResourceType::NameTable);
        [ResourceType::Cluster, ResourceType::Listener].into_iter().chain(names)
    }

    /// How it is going.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Takes an update. What can't be used is returned for the NACK; everything else counts.
    pub fn apply(&mut self, update: Update, client: &mut DeltaClient, now: Instant) -> Vec<Rejected> {
        let Some(kind) = ResourceType::from_url(update.type_url) else { return Vec::new() };
        self.heard.insert(kind);
        let received = update.changed.len();
        tracing::debug!(kind = kind.short(), changed = received, removed = update.removed.len(), "update");
        let bodies = bodies(kind, &update.changed);
        let rejected = match kind {
            ResourceType::Cluster => self.clusters(update, client, now),
            ResourceType::Endpoints => self.endpoints(update),
            ResourceType::Listener => self.listeners(update, client, now),
            ResourceType::Route => self.routes(update, client, now),
            ResourceType::VirtualHost => self.virtual_hosts(update, now),
            ResourceType::Secret => self.secrets(update),
            ResourceType::NameTable => self.names(update),
        };
        for (name, version, body) in bodies {
            if !rejected.iter().any(|one| *one.name == *name) {
                self.held.put(kind.url(), &name, &version, body);
            }
        }
        for one in &rejected {
            tracing::warn!(kind = kind.short(), name = %one.name, "refused: {}", one.reason);
            self.held.refuse(kind.url(), &one.name, &one.reason);
        }
        self.progress.applied(kind.short(), received.saturating_sub(rejected.len()), &rejected);
        self.tick(client, now);
        rejected
    }

    /// Puts in force what has become possible or has waited long enough.
    pub fn tick(&mut self, client: &mut DeltaClient, now: Instant) {
        self.expire(client, now);
        self.files.refresh(&self.secrets, now);
        self.publish(client, now);
        self.progress.waiting(self.waiting_for());
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let due = self.awaited.values().chain(self.leaving.values());
        let due = due.chain(self.listeners_due.values()).chain(self.tables_due.values()).copied();
        due.chain(self.files.next_refresh()).min()
    }

    /// What keeps the first configuration from being complete.
    fn waiting_for(&self) -> Vec<String> {
        let unheard =
            self.wants_all_of().filter(|kind| !self.heard.contains(kind)).map(|kind| kind.short().to_owned());
        let endpoints = self.awaited.keys().map(|name| format!("endpoints of {name}"));
        let routes = self.tables_due.keys().map(|name| format!("route {name}"));
        let listeners = self.listeners_due.keys().map(|name| format!("listener {name}"));
        unheard.chain(endpoints).chain(routes).chain(listeners).collect()
    }
}

/// Name, version and content of what the admin interface may show later.
fn bodies(kind: ResourceType, changed: &[Changed]) -> Vec<(Arc<str>, String, Vec<u8>)> {
    if matches!(kind, ResourceType::Endpoints | ResourceType::Secret | ResourceType::NameTable) {
        return Vec::new();
    }
    let body = |one: &Changed| (one.name.as_str().into(), one.version.clone(), one.resource.value.clone());
    changed.iter().map(body).collect()
}

/// A message out of a resource.
fn decode<M: prost::Message + Default>(changed: &Changed) -> Result<M, Rejected> {
    M::decode(&*changed.resource.value).map_err(|error| reject(&changed.name, error))
}

fn reject(name: &str, reason: impl std::fmt::Display) -> Rejected {
    Rejected { name: name.to_owned(), reason: reason.to_string() }
}

/// The name under which a resource travels must be its own: everything else refers to it by that.
fn check_name(changed: &Changed, name: &str) -> Result<(), Rejected> {
    if changed.name == name {
        return Ok(());
    }
    Err(reject(&changed.name, format!("the resource calls itself {name:?}")))
}

#[cfg(test)]
mod tests;
