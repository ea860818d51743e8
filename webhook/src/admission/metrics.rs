//! `sidecar_injection_*` and `galley_validation_*`, named as istiod names them.

use std::time::Instant;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use serde_json::Value;

/// Counters of injections and validations. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Counter,
    successes: Counter,
    failures: Counter,
    skips: Counter,
    duration: Histogram,
    pub(super) validation: ValidationMetrics,
}

/// Counters of validations alone. Clones count together.
#[derive(Clone, Debug)]
pub struct ValidationMetrics {
    passed: Family<Kind, Gauge>,
    failed: Family<Failure, Gauge>,
}

/// What was validated. Only kinds we know get labels of their own: others are anybody's to invent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    group: &'static str,
    version: &'static str,
    resource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    reason: &'static str,
}

/// Observes how long an injection took.
#[derive(Debug)]
pub(super) struct InjectionTimer {
    duration: Histogram,
    start: Instant,
}

impl InjectionTimer {
    pub(super) fn observe(self) {
        self.duration.observe(self.start.elapsed().as_secs_f64());
    }
}

impl Metrics {
    /// Makes the counters and adds them to a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Counter::default(),
            successes: Counter::default(),
            failures: Counter::default(),
            skips: Counter::default(),
            duration: Histogram::new([0.001, 0.01, 0.1, 1.0, 3.0, 5.0, 10.0]),
            validation: ValidationMetrics::register(registry),
        };
        registry.register("sidecar_injection_requests", "Injection requests", metrics.requests.clone());
        registry.register(
            "sidecar_injection_success",
            "Pods injected or rightly left alone",
            metrics.successes.clone(),
        );
        registry.register(
            "sidecar_injection_failure",
            "Injection requests refused",
            metrics.failures.clone(),
        );
        registry.register("sidecar_injection_skip", "Pods left alone", metrics.skips.clone());
        registry.register(
            "sidecar_injection_time_seconds",
            "Time an injection takes, in seconds",
            metrics.duration.clone(),
        );
        metrics
    }

    pub(super) fn injection_started(&self) -> InjectionTimer {
        self.requests.inc();
        InjectionTimer { duration: self.duration.clone(), start: Instant::now() }
    }

    pub(super) fn injection_succeeded(&self) {
        self.successes.inc();
    }

    pub(super) fn injection_skipped(&self) {
        self.successes.inc();
        self.skips.inc();
    }

    pub(super) fn injection_failed(&self) {
        self.failures.inc();
    }
}

impl ValidationMetrics {
    /// Makes the counters and adds them to a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self { passed: Family::default(), failed: Family::default() };
        // `_total` is added to the names of counters. istiod's galley_* have none, so here they are gauges that only grow.
        registry.register("galley_validation_passed", "Objects accepted", metrics.passed.clone());
        registry.register("galley_validation_failed", "Objects refused", metrics.failed.clone());
        metrics
    }

    pub(super) fn validated(&self, object: &Value, accepted: bool) {
        let kind = Kind::of(object);
        if accepted {
            self.passed.get_or_create(&kind).inc();
        } else {
            self.failed.get_or_create(&kind.because("invalid_resource")).inc();
        }
    }

    pub(super) fn unreadable_review(&self) {
        self.failed.get_or_create(&Kind::UNKNOWN.because("yaml_decode_error")).inc();
    }
}

impl Kind {
    const UNKNOWN: Self = Self { group: "unknown", version: "unknown", resource: "unknown" };

    fn of(object: &Value) -> Self {
        let Some(definition) = crds::definition_of(object) else { return Self::UNKNOWN };
        let version = object.get("apiVersion").and_then(Value::as_str).and_then(|text| text.split_once('/'));
        let version =
            version.and_then(|(_, version)| definition.versions.iter().find(|known| **known == version));
        Self {
            group: definition.group,
            version: version.copied().unwrap_or("unknown"),
            resource: definition.plural,
        }
    }

    fn because(self, reason: &'static str) -> Failure {
        let Self { group, version, resource } = self;
        Failure { group, version, resource, reason }
    }
}
