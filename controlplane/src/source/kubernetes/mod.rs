//! A Kubernetes cluster as a source: one watch per kind, nothing kept but names.
//!
//! What the API server says about its own kinds is taken as typed; Istio's kinds are read one by one, because one broken
//! object must not hide the others.

mod access;
mod kinds;
mod secrets;
mod settings;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Events, Problems};
use crate::status::Objects;
pub(crate) use access::SecretAccess;
pub(crate) use kinds::istio_resource;
pub(crate) use secrets::SecretWatches;
pub(crate) use settings::{InjectionSettings, follow_injection, of_revision};

/// Where the sources' tasks run, and for how long.
#[derive(Clone)]
pub(crate) struct Tasks {
    pub(crate) tracker: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Tasks {
    /// Runs a task that ends with the process.
    pub(crate) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }
}

/// A cluster to watch.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    /// Namespace of the control plane.
    pub(crate) namespace: String,
    /// Name of the ConfigMap with the mesh-wide settings.
    pub(crate) settings: String,
    pub(crate) problems: Arc<Problems>,
    /// What is known of Istio's objects besides their specs.
    pub(crate) objects: Arc<Objects>,
}

impl Cluster {
    /// Starts the watches, and returns the names under which each will say that it is synced.
    pub(crate) fn watch(&self, events: &Events, tasks: &Tasks) -> BTreeSet<&'static str> {
        let mut names = BTreeSet::new();
        for watch in kinds::all(self) {
            names.insert(watch.name);
            tasks.run(watch.run(events.clone(), self.problems.clone()));
        }
        names
    }
}
