//! Envoy's statistics of clusters, in Prometheus' form.

use std::{collections::BTreeMap, fmt::Write as _};

use super::filter::StatsFilter;
use crate::{
    snapshot::{
        Cluster, Snapshot,
        cluster::{Health, Limits},
    },
    upstream::limits::Resource,
};

/// One line's labels and value, under its metric's name and type.
type Families = BTreeMap<(String, &'static str), Vec<(String, u64)>>;

/// Writes the statistics that `filter` takes.
pub(super) fn render(snapshot: &Snapshot, filter: &StatsFilter, out: &mut String) {
    if filter.is_empty() {
        return;
    }
    let mut families = Families::new();
    let mut names: Vec<_> = snapshot.clusters.values().collect();
    names.sort_by(|a, b| a.name.cmp(&b.name));
    for cluster in names {
        collect(cluster, filter, &mut families);
    }
    for ((name, kind), lines) in families {
        let _ = writeln!(out, "# TYPE envoy_cluster_{name} {kind}");
        for (labels, value) in lines {
            let _ = writeln!(out, "envoy_cluster_{name}{{{labels}}} {value}");
        }
    }
}

fn collect(cluster: &Cluster, filter: &StatsFilter, families: &mut Families) {
    let name = cluster.observed_name();
    let label = format!("cluster_name=\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    let mut put = |stat: &str, kind: &'static str, value: u64| {
        // Envoy's own name has dots where Prometheus' has underscores.
        let full = format!("cluster.{name}.{}", dotted(stat));
        if filter.takes(&full) {
            let (stat, labels) = match class_of(stat) {
                Some(class) => ("upstream_rq", format!("response_code_class=\"{class}\",{label}")),
                None => (stat, label.clone()),
            };
            families.entry((stat.to_owned(), kind)).or_default().push((labels, value));
        }
    };
    for (stat, value) in cluster.state.stats.each() {
        put(stat, "counter", value);
    }
    for (stat, value) in gauges(cluster) {
        put(stat, "gauge", value);
    }
}

fn dotted(stat: &str) -> String {
    if let Some(rest) = stat.strip_prefix("circuit_breakers_default_") {
        return format!("circuit_breakers.default.{rest}");
    }
    match stat.strip_prefix("outlier_detection_") {
        Some(rest) => format!("outlier_detection.{rest}"),
        None => stat.to_owned(),
    }
}

/// `upstream_rq_2xx` is told as `upstream_rq` of a class.
fn class_of(stat: &str) -> Option<&str> {
    stat.strip_prefix("upstream_rq_").filter(|class| class.len() == 3 && class.ends_with("xx"))
}

fn gauges(cluster: &Cluster) -> Vec<(&'static str, u64)> {
    let usage = &cluster.state.usage;
    let limits = &cluster.config.limits;
    let open = |resource| u64::from(usage.of(resource) >= limits.of(resource, usage));
    let left = |resource| u64::from(remaining(limits, cluster, resource));
    let healthy =
        cluster.endpoints.iter().filter(|e| e.health == Health::Healthy && !e.state.ejected()).count();
    let degraded = cluster.endpoints.iter().filter(|e| e.health == Health::Degraded).count();
    vec![
        ("upstream_cx_active", u64::from(usage.of(Resource::Connections))),
        ("upstream_rq_active", u64::from(usage.of(Resource::Requests))),
        ("upstream_rq_pending_active", u64::from(usage.of(Resource::Pending))),
        ("membership_total", cluster.endpoints.len() as u64),
        ("membership_healthy", healthy as u64),
        ("membership_degraded", degraded as u64),
        ("outlier_detection_ejections_active", cluster.state.health.ejected() as u64),
        ("circuit_breakers_default_cx_open", open(Resource::Connections)),
        ("circuit_breakers_default_rq_open", open(Resource::Requests)),
        ("circuit_breakers_default_rq_pending_open", open(Resource::Pending)),
        ("circuit_breakers_default_rq_retry_open", open(Resource::Retries)),
        ("circuit_breakers_default_remaining_cx", left(Resource::Connections)),
        ("circuit_breakers_default_remaining_rq", left(Resource::Requests)),
        ("circuit_breakers_default_remaining_pending", left(Resource::Pending)),
        ("circuit_breakers_default_remaining_retries", left(Resource::Retries)),
    ]
}

fn remaining(limits: &Limits, cluster: &Cluster, resource: Resource) -> u32 {
    let usage = &cluster.state.usage;
    limits.of(resource, usage).saturating_sub(usage.of(resource))
}
