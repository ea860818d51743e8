//! Open-loop load: a request leaves at its time whether or not the others were
//! answered, and its latency counts from that time, so that a stall shows.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use super::{Answer, Pool, Route, Template};

/// How much load, and what to count.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Requests per second.
    pub rps: f64,
    /// How long to wait for an answer before it counts as an error.
    pub timeout: Duration,
    /// Count the values of this response header.
    pub tally: Option<String>,
}

/// What happened.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// How many requests were sent.
    pub requests: u64,
    /// For how long.
    pub seconds: f64,
    /// How many were answered with an error, or not at all.
    pub failed: u64,
    /// Answers by status code.
    pub statuses: BTreeMap<String, u64>,
    /// Requests without an answer, by reason.
    pub errors: BTreeMap<String, u64>,
    /// Values of the header to tally.
    pub tally: BTreeMap<String, u64>,
    /// Latency from the time that a request was due.
    pub latency_ms: Percentiles,
    /// The first failures, with their time and what the answer said.
    pub first_failures: Vec<String>,
}

/// Of all answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half are faster.
    pub p50: f64,
    /// 90 % are faster.
    pub p90: f64,
    /// 99 % are faster.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

const SHOWN_FAILURES: usize = 10;
const IN_FLIGHT: usize = 4096;

#[derive(Default)]
struct Counts {
    report: Report,
    latencies: Vec<f64>,
}

/// Sends requests until `stop` completes, then waits for the last answers.
pub async fn run(template: Template, route: Route, plan: Plan, stop: impl Future<Output = ()>) -> Report {
    let (template, plan) = (Arc::new(template), Arc::new(plan));
    let (pool, counts) = (Arc::new(Pool::new(route)), Arc::new(Mutex::new(Counts::default())));
    let started = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / plan.rps.max(0.001)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut stop = std::pin::pin!(stop);
    let mut flying = JoinSet::new();
    loop {
        let due = tokio::select! { due = tick.tick() => due, () = &mut stop => break };
        counts.lock().report.requests += 1;
        while flying.try_join_next().is_some() {}
        if flying.len() >= IN_FLIGHT {
            counts.lock().failed(started, format!("{IN_FLIGHT} requests are unanswered already"), None);
            continue;
        }
        let (template, plan, pool, counts) =
            (Arc::clone(&template), Arc::clone(&plan), Arc::clone(&pool), Arc::clone(&counts));
        flying.spawn(async move {
            let answer = pool.send(&template, plan.timeout).await;
            counts.lock().record(started, due, answer, plan.tally.as_deref());
        });
    }
    let seconds = started.elapsed().as_secs_f64();
    flying.join_all().await;
    let counts = std::mem::take(&mut *counts.lock());
    Report { seconds, latency_ms: percentiles(counts.latencies), ..counts.report }
}

impl Counts {
    fn record(
        &mut self,
        started: Instant,
        due: Instant,
        answer: anyhow::Result<Answer>,
        tally: Option<&str>,
    ) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.failed(started, format!("{error:#}"), None),
        };
        self.latencies.push(due.elapsed().as_secs_f64() * 1000.0);
        *self.report.statuses.entry(answer.status.to_string()).or_default() += 1;
        if let Some(value) = tally.and_then(|name| answer.headers.get(name)) {
            *self.report.tally.entry(value.clone()).or_default() += 1;
        }
        if answer.status >= 400 {
            self.failed(started, answer.status.to_string(), Some(answer.body_text()));
        }
    }

    fn failed(&mut self, started: Instant, reason: String, body: Option<String>) {
        self.report.failed += 1;
        if body.is_none() {
            *self.report.errors.entry(reason.clone()).or_default() += 1;
        }
        if self.report.first_failures.len() < SHOWN_FAILURES {
            let said = body.map(|body| format!(": {}", body.trim())).unwrap_or_default();
            let at = started.elapsed().as_secs_f64();
            self.report.first_failures.push(format!("at {at:.2} s: {reason}{said}"));
        }
    }
}

fn percentiles(mut latencies: Vec<f64>) -> Percentiles {
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share).ceil() as usize;
        latencies.get(index.saturating_sub(1)).copied().map_or(0.0, |value| (value * 100.0).round() / 100.0)
    };
    Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_latencies() {
        let found = percentiles((1..=100).rev().map(f64::from).collect());
        assert_eq!((found.p50, found.p90, found.p99, found.max), (50.0, 90.0, 99.0, 100.0));
        assert!(percentiles(vec![]).max.abs() < f64::EPSILON);
    }
}
