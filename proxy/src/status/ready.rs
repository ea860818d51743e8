//! Readiness: certificates, the first full configuration, open listeners, and nobody who has said otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::sockets::listening_ports;
use crate::drain::{Drain, Phase};
use crate::identity::Health;
use crate::snapshot::Live;
use crate::subscribe::Progress;

/// Everything that readiness depends on.
#[derive(Debug)]
pub struct Readiness {
    identity: Arc<Health>,
    progress: Arc<Progress>,
    live: Arc<Live>,
    drain: Drain,
    /// The listeners of the first configuration have been seen open.
    opened: AtomicBool,
    /// Somebody asked for failing health checks.
    failing: AtomicBool,
}

impl Readiness {
    /// Of these parts.
    pub fn new(identity: Arc<Health>, progress: Arc<Progress>, live: Arc<Live>, drain: Drain) -> Self {
        Self {
            identity,
            progress,
            live,
            drain,
            opened: AtomicBool::new(false),
            failing: AtomicBool::new(false),
        }
    }

    /// Why traffic should not come, if it shouldn't.
    pub fn check(&self) -> Result<(), String> {
        if self.failing.load(Ordering::Relaxed) {
            return Err("health checks were told to fail; POST /healthcheck/ok ends that".to_owned());
        }
        if self.drain.phase() != Phase::Running {
            return Err("the proxy is draining".to_owned());
        }
        let problem = self.identity.problem(SystemTime::now());
        match problem.or_else(|| self.progress.problem()).or_else(|| self.closed_listeners()) {
            Some(problem) => Err(problem),
            None => Ok(()),
        }
    }

    /// Makes [`Self::check`] fail, or no longer.
    pub fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::Relaxed);
    }

    /// Looked at until all have been open once: a gateway's port that is taken keeps it from becoming ready, and a later
    /// change does not take it out of service.
    fn closed_listeners(&self) -> Option<String> {
        if self.opened.load(Ordering::Relaxed) {
            return None;
        }
        let snapshot = self.live.load();
        let open = listening_ports();
        let closed = snapshot
            .listeners
            .bound()
            .find(|listener| listener.addresses.iter().any(|address| !open.contains(&address.port())));
        match closed {
            Some(listener) => Some(format!("listener {} is not open yet", listener.name)),
            None => {
                self.opened.store(true, Ordering::Relaxed);
                None
            }
        }
    }
}
