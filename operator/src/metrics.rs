//! The operator's own metrics.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Counters of reconciliations. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciliations: Family<Outcome, Counter>,
    duration: Histogram,
    writes: Family<Write, Counter>,
    ready: Family<Install, Gauge>,
    leader: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    operation: &'static str,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Install {
    mesh_install: String,
}

impl Metrics {
    /// Makes the metrics and adds them to a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            reconciliations: Family::default(),
            duration: Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0]),
            writes: Family::default(),
            ready: Family::default(),
            leader: Gauge::default(),
        };
        let operator = registry.sub_registry_with_prefix("trysail_operator");
        operator.register(
            "reconciliations",
            "Looks at a MeshInstall, by outcome",
            metrics.reconciliations.clone(),
        );
        operator.register(
            "reconciliation_duration_seconds",
            "Time a look at a MeshInstall takes",
            metrics.duration.clone(),
        );
        operator.register("writes", "Objects written or removed", metrics.writes.clone());
        operator.register("mesh_install_ready", "Whether a MeshInstall is ready", metrics.ready.clone());
        operator.register("leader", "Whether this replica is the one that acts", metrics.leader.clone());
        metrics
    }

    pub(crate) fn reconciled(&self, outcome: &'static str, took: Duration) {
        self.reconciliations.get_or_create(&Outcome { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    pub(crate) fn written(&self, operation: &'static str, kind: &'static str) {
        self.writes.get_or_create(&Write { operation, kind }).inc();
    }

    pub(crate) fn ready(&self, mesh_install: &str, ready: bool) {
        self.ready.get_or_create(&Install { mesh_install: mesh_install.to_owned() }).set(i64::from(ready));
    }

    pub(crate) fn gone(&self, mesh_install: &str) {
        self.ready.remove(&Install { mesh_install: mesh_install.to_owned() });
    }

    /// Says whether this replica is the one that acts.
    pub fn leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }
}
