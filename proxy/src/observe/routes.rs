//! Answers of routes that are counted for themselves (`statPrefix`), under Envoy's names.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::request::outcome::{Flags, Outcome};

/// The first status that is counted, and the one after the last.
const FIRST: u16 = 100;
const LAST: u16 = 600;

/// The counters of all routes that have some, by name. They outlive the routes, as Envoy's do.
#[derive(Debug, Default)]
pub(super) struct RouteStats(Mutex<BTreeMap<Arc<str>, Arc<Counts>>>);

/// What became of one route's requests.
#[derive(Debug)]
struct Counts {
    /// By status, from 100 to 599.
    answers: Vec<AtomicU64>,
    total: AtomicU64,
    retries: AtomicU64,
    retries_exhausted: AtomicU64,
    retries_refused: AtomicU64,
    retries_successful: AtomicU64,
    timeouts: AtomicU64,
}

/// A worker's way to them.
#[derive(Debug, Default)]
pub(super) struct RouteCounters(RefCell<HashMap<Arc<str>, Arc<Counts>>>);

impl RouteCounters {
    /// Counts a request that is over, if its route wants that.
    pub(super) fn count(&self, all: &RouteStats, outcome: &Outcome) {
        let Some(name) = outcome.route.as_ref().and_then(|route| route.stat_name.as_ref()) else { return };
        let mut known = self.0.borrow_mut();
        let counts = match known.get(name) {
            Some(counts) => counts,
            None => known
                .entry(name.clone())
                .or_insert_with(|| all.0.lock().entry(name.clone()).or_default().clone()),
        };
        counts.count(outcome);
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            answers: (FIRST..LAST).map(|_| AtomicU64::new(0)).collect(),
            total: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            retries_exhausted: AtomicU64::new(0),
            retries_refused: AtomicU64::new(0),
            retries_successful: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
        }
    }
}

impl Counts {
    fn count(&self, outcome: &Outcome) {
        let add = |counter: &AtomicU64, count: u64| {
            counter.fetch_add(count, Ordering::Relaxed);
        };
        let status = outcome.status.and_then(|status| status.as_u16().checked_sub(FIRST));
        if let Some(counter) = status.and_then(|at| self.answers.get(usize::from(at))) {
            add(counter, 1);
        }
        add(&self.total, outcome.attempts.into());
        add(&self.retries, outcome.attempts.saturating_sub(1).into());
        let exhausted = outcome.flags.has(Flags::RETRY_LIMIT);
        let refused = !exhausted && outcome.attempts > 0 && outcome.flags.has(Flags::UPSTREAM_OVERFLOW);
        add(&self.retries_exhausted, exhausted.into());
        add(&self.retries_refused, refused.into());
        add(&self.retries_successful, (outcome.attempts > 1 && !exhausted && !refused).into());
        add(&self.timeouts, outcome.flags.has(Flags::UPSTREAM_TIMEOUT).into());
    }
}

impl RouteStats {
    /// Envoy's names with the present values.
    pub(super) fn each(&self) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        for (name, counts) in self.0.lock().iter() {
            let mut add = |stat: &str, value: u64| all.push((format!("{name}.upstream_rq_{stat}"), value));
            let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let mut classes: BTreeMap<u16, u64> = BTreeMap::new();
            for (status, counter) in (FIRST..).zip(&counts.answers) {
                let count = of(counter);
                if count > 0 {
                    add(&status.to_string(), count);
                    *classes.entry(status / 100).or_default() += count;
                }
            }
            for (class, count) in &classes {
                add(&format!("{class}xx"), *count);
            }
            add("completed", classes.values().sum());
            add("total", of(&counts.total));
            add("retry", of(&counts.retries));
            add("retry_limit_exceeded", of(&counts.retries_exhausted));
            add("retry_overflow", of(&counts.retries_refused));
            add("retry_success", of(&counts.retries_successful));
            add("timeout", of(&counts.timeouts));
        }
        all
    }
}
