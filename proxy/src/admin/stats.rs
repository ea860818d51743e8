//! `/stats`: statistics under Envoy's names, and the metrics.

use std::fmt::Write as _;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{Admin, Params, Shared, parameter, wants_json};
use crate::snapshot::cluster::Cluster;
use crate::upstream::limits::Resource;

pub(super) async fn prometheus(State(admin): Shared) -> Response {
    crate::status::prometheus(admin.own.prometheus())
}

pub(super) async fn stats(State(admin): Shared, Query(params): Params) -> Response {
    if parameter(&params, "format") == Some("prometheus") {
        return crate::status::prometheus(admin.own.prometheus());
    }
    let filter = match parameter(&params, "filter").map(regex::Regex::new).transpose() {
        Ok(filter) => filter,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("filter: {error}\n")).into_response(),
    };
    let used_only = parameter(&params, "usedonly").is_some();
    let mut all = collect(&admin);
    all.retain(|(name, value)| {
        filter.as_ref().is_none_or(|filter| filter.is_match(name)) && (!used_only || *value > 0)
    });
    all.sort();
    if wants_json(&params) {
        let stats: Vec<_> =
            all.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        return super::json(&json!({ "stats": stats }));
    }
    let mut text = String::new();
    for (name, value) in all {
        let _ = writeln!(text, "{name}: {value}");
    }
    text.into_response()
}

fn collect(admin: &Admin) -> Vec<(String, u64)> {
    let snapshot = admin.live.load();
    let report = admin.progress.report();
    let mut all = vec![
        ("server.live".to_owned(), u64::from(admin.readiness.check().is_ok())),
        ("server.uptime".to_owned(), admin.started.elapsed().as_secs()),
        ("server.concurrency".to_owned(), admin.boot.concurrency as u64),
        ("control_plane.connected_state".to_owned(), u64::from(report.connected)),
        ("cluster_manager.active_clusters".to_owned(), snapshot.clusters.len() as u64),
        ("listener_manager.total_listeners_active".to_owned(), snapshot.listeners.iter().count() as u64),
    ];
    for (kind, manager) in [("cds", "cluster_manager.cds"), ("lds", "listener_manager.lds")] {
        let counters = report.types.get(kind).copied().unwrap_or_default();
        all.push((format!("{manager}.update_success"), counters.responses));
        all.push((format!("{manager}.update_rejected"), counters.refused));
    }
    all.extend(admin.own.observe.route_stats());
    for cluster in snapshot.clusters.values() {
        of_cluster(cluster, &mut all);
    }
    all
}

fn of_cluster(cluster: &Cluster, all: &mut Vec<(String, u64)>) {
    let name = cluster.config.stat_name.as_ref().unwrap_or(&cluster.name);
    let usage = &cluster.state.usage;
    let ejected = cluster.endpoints.iter().filter(|endpoint| endpoint.state.ejected()).count() as u64;
    let gauges = [
        ("upstream_cx_active", u64::from(usage.of(Resource::Connections))),
        ("upstream_rq_active", u64::from(usage.of(Resource::Requests))),
        ("upstream_rq_pending_active", u64::from(usage.of(Resource::Pending))),
        ("membership_total", cluster.endpoints.len() as u64),
        ("outlier_detection.ejections_active", ejected),
    ];
    all.extend(cluster.state.stats.each().chain(gauges).map(|(stat, value)| {
        let stat = match stat.strip_prefix("outlier_detection_") {
            Some(rest) => format!("outlier_detection.{rest}"),
            None => stat.to_owned(),
        };
        (format!("cluster.{name}.{stat}"), value)
    }));
}
