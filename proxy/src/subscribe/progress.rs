//! How the subscription is going: what readiness, metrics and `/server_info` say of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

/// Responses of one resource type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Responses.
    pub responses: u64,
    /// Resources put in force.
    pub applied: u64,
    /// Resources refused.
    pub refused: u64,
}

/// A moment of [`Progress`].
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// A stream is open.
    pub connected: bool,
    /// Streams opened so far.
    pub streams: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Why the last stream ended or could not be opened.
    pub last_error: Option<String>,
    /// When the present stream was opened, or the last one ended.
    pub since: Option<SystemTime>,
    /// By type: `cds`, `lds` and so on.
    pub types: BTreeMap<&'static str, Counters>,
    /// The first full configuration is in force; stays so.
    pub complete: bool,
    /// What is being waited for.
    pub waiting_for: Vec<String>,
    /// The last refusal: resource and reason.
    pub last_refusal: Option<String>,
}

/// Shared between the stream and those who ask.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Report>);

impl Progress {
    /// Nothing yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// As it is now.
    pub fn report(&self) -> Report {
        self.0.lock().clone()
    }

    /// Whether the first full configuration is in force.
    pub fn is_complete(&self) -> bool {
        self.0.lock().complete
    }

    /// Why the first full configuration is not in force, if it isn't.
    pub fn problem(&self) -> Option<String> {
        let report = self.0.lock();
        if report.complete {
            return None;
        }
        if !report.connected {
            let because = report.last_error.as_deref().unwrap_or("not connected yet");
            return Some(format!("no configuration yet: {because}"));
        }
        let mut waiting: Vec<&str> = report.waiting_for.iter().take(5).map(String::as_str).collect();
        if report.waiting_for.len() > waiting.len() {
            waiting.push("and more");
        }
        Some(format!("configuration is not complete yet: waiting for {}", waiting.join(", ")))
    }

    pub(super) fn connected(&self) {
        let mut report = self.0.lock();
        report.connected = true;
        report.streams += 1;
        report.since = Some(SystemTime::now());
    }

    pub(super) fn disconnected(&self, error: String) {
        let mut report = self.0.lock();
        if report.connected || report.since.is_none() {
            report.since = Some(SystemTime::now());
        }
        report.connected = false;
        report.failures += 1;
        report.last_error = Some(error);
    }

    pub(super) fn applied(&self, kind: &'static str, applied: usize, refusals: &[xds::client::Rejected]) {
        let mut report = self.0.lock();
        let counters = report.types.entry(kind).or_default();
        counters.responses += 1;
        counters.applied += applied as u64;
        counters.refused += refusals.len() as u64;
        if let Some(last) = refusals.last() {
            report.last_refusal = Some(format!("{kind} {}: {}", last.name, last.reason));
        }
    }

    pub(super) fn waiting(&self, waiting_for: Vec<String>) {
        let mut report = self.0.lock();
        if !report.complete && waiting_for.is_empty() {
            report.complete = true;
            tracing::info!("the first full configuration is in force");
        }
        report.waiting_for = waiting_for;
    }
}
