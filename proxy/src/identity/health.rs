//! What readiness, metrics and `/certs` say about our identity.

use std::time::SystemTime;

use parking_lot::Mutex;

/// How renewal has been going.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<Report>,
}

/// A moment of [`Health`].
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Certificates obtained so far.
    pub obtained: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Why the last attempt failed; nothing once one has succeeded.
    pub last_error: Option<String>,
    /// When the present certificate ends.
    pub not_after: Option<SystemTime>,
    /// When the next one is asked for.
    pub renewal_at: Option<SystemTime>,
}

impl Health {
    /// As it is now.
    pub fn report(&self) -> Report {
        self.state.lock().clone()
    }

    /// Why there is no usable certificate, if there is none.
    pub fn problem(&self, now: SystemTime) -> Option<String> {
        let state = self.state.lock();
        let because = state.last_error.as_deref().unwrap_or("waiting for the CA");
        match state.not_after {
            None => Some(format!("no workload certificate yet: {because}")),
            Some(end) if end <= now => Some(format!("the workload certificate has expired: {because}")),
            Some(_) => None,
        }
    }

    pub(super) fn succeeded(&self, not_after: SystemTime, renewal_at: Option<SystemTime>) {
        let mut state = self.state.lock();
        state.obtained += 1;
        state.last_error = None;
        state.not_after = Some(not_after);
        state.renewal_at = renewal_at;
    }

    pub(super) fn failed(&self, error: String) {
        let mut state = self.state.lock();
        state.failures += 1;
        state.last_error = Some(error);
    }
}
