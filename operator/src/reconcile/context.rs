//! What all reconciliations share.

use std::{collections::HashMap, time::Duration};

use kube::{
    Client,
    runtime::events::{Recorder, Reporter},
};

use crate::{Metrics, Release};

/// What all reconciliations share.
pub struct Context {
    pub(super) client: Client,
    pub(super) release: Release,
    pub(super) metrics: Metrics,
    pub(super) recorder: Recorder,
    failures: parking_lot::Mutex<HashMap<String, u32>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("release", &self.release).finish()
    }
}

const LONGEST: Duration = Duration::from_mins(1);

impl Context {
    /// A context for one cluster.
    pub fn new(client: Client, release: Release, metrics: Metrics) -> Self {
        let recorder = Recorder::new(client.clone(), Reporter::from(crate::FIELD_MANAGER));
        Self { client, release, metrics, recorder, failures: parking_lot::Mutex::default() }
    }

    /// How long to wait after another failure: one second, then twice as long each time.
    pub(super) fn back_off(&self, name: &str) -> Duration {
        let mut failures = self.failures.lock();
        let count = failures.entry(name.to_owned()).or_default();
        *count = count.saturating_add(1);
        Duration::from_secs(1 << (*count - 1).min(6)).min(LONGEST)
    }

    pub(super) fn forget_failures(&self, name: &str) {
        self.failures.lock().remove(name);
    }
}
