//! Answers the app's questions for names: hosts of the mesh by itself, all others by the pod's nameservers.
//!
//! The redirect rules send the app's questions here (`ISTIO_META_DNS_CAPTURE`). In: the names that the control plane streams
//! ([`Names`]) and the pod's `resolv.conf` ([`ResolvConf`]). Out: answers on UDP and TCP at [`PORT`] of the loopback
//! addresses ([`start`]). Which names are answered, and how, follows Istio's agent.

mod answer;
mod names;
mod resolv_conf;
mod server;
mod upstream;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use names::Names;
pub use resolv_conf::{ResolvConf, ResolvConfError};
pub use server::{Serving, Settings, start};

/// Where questions are answered, on the loopback addresses.
pub const PORT: u16 = 15053;

/// Bounds of the buckets of [`Counters::durations`], in seconds: those of Istio's agent.
const BOUNDS: [f64; 6] = [0.001, 0.005, 0.01, 0.1, 1.0, 5.0];

/// What was asked and what came of it, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    requests: AtomicU64,
    forwarded: AtomicU64,
    failures: AtomicU64,
    durations: [AtomicU64; BOUNDS.len()],
    microseconds: AtomicU64,
}

/// How long forwarded questions took, as Prometheus counts it.
#[derive(Debug, Clone, PartialEq)]
pub struct Durations {
    /// Upper bounds in seconds, and how many took at most so long.
    pub buckets: Vec<(f64, u64)>,
    /// All seconds together.
    pub sum: f64,
}

impl Counters {
    /// Questions.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Questions that were passed on to the pod's nameservers.
    pub fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    /// Of those, questions that none of them answered.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How long those that were passed on took.
    pub fn durations(&self) -> Durations {
        let counts = self.durations.iter().map(|count| count.load(Ordering::Relaxed));
        Durations {
            buckets: BOUNDS.into_iter().zip(counts).collect(),
            sum: Duration::from_micros(self.microseconds.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }

    fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn passed_on(&self, took: Duration, answered: bool) {
        self.forwarded.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(u64::from(!answered), Ordering::Relaxed);
        self.microseconds.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        for (bound, count) in BOUNDS.iter().zip(&self.durations) {
            count.fetch_add(u64::from(took.as_secs_f64() <= *bound), Ordering::Relaxed);
        }
    }
}
