//! `/clusters`: clusters, their limits and their endpoints.

use std::fmt::Write as _;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use xds::names::type_url;

use super::{Params, Shared, wants_json};
use crate::snapshot::cluster::{Cluster, Endpoint, Health, Locality, Place};

pub(super) async fn clusters(State(admin): Shared, Query(params): Params) -> Response {
    let snapshot = admin.live.load();
    let mut all: Vec<_> = snapshot.clusters.values().collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if wants_json(&params) {
        let statuses: Vec<_> = all.into_iter().map(|cluster| status(cluster)).collect();
        return super::json(&json!({ "cluster_statuses": statuses }));
    }
    let mut text = String::new();
    for cluster in all {
        lines(cluster, &mut text);
    }
    text.into_response()
}

fn lines(cluster: &Cluster, out: &mut String) {
    let name = &cluster.name;
    let limits = &cluster.config.limits;
    let _ =
        writeln!(out, "{name}::observability_name::{}", cluster.config.stat_name.as_ref().unwrap_or(name));
    for (limit, value) in [
        ("max_connections", limits.max_connections),
        ("max_pending_requests", limits.max_pending_requests),
        ("max_requests", limits.max_requests),
        ("max_retries", limits.max_retries),
    ] {
        let _ = writeln!(out, "{name}::default_priority::{limit}::{value}");
    }
    let _ = writeln!(out, "{name}::added_via_api::true");
    for (place, priority, endpoint) in placed(cluster) {
        let at = format!("{name}::{}", endpoint.place());
        let flags = match (health(endpoint), endpoint.state.ejected()) {
            (_, true) => "/failed_outlier_check",
            ("HEALTHY", false) => "healthy",
            ("DEGRADED", false) => "/degraded",
            _ => "/failed_eds_health",
        };
        let _ = writeln!(out, "{at}::rq_active::{}", endpoint.state.active());
        let _ = writeln!(out, "{at}::hostname::{}", endpoint.hostname.as_deref().unwrap_or_default());
        let _ = writeln!(out, "{at}::health_flags::{flags}");
        let _ = writeln!(out, "{at}::weight::{}", endpoint.weight);
        let _ = writeln!(out, "{at}::region::{}", place.region);
        let _ = writeln!(out, "{at}::zone::{}", place.zone);
        let _ = writeln!(out, "{at}::sub_zone::{}", place.sub_zone);
        let _ = writeln!(out, "{at}::priority::{priority}");
    }
}

fn status(cluster: &Cluster) -> Value {
    let hosts: Vec<_> = placed(cluster)
        .map(|(place, priority, endpoint)| {
            let mut status = json!({ "eds_health_status": health(endpoint) });
            if endpoint.state.ejected() {
                status["failed_outlier_check"] = Value::Bool(true);
            }
            json!({
                "address": address(endpoint),
                "stats": [{ "type": "GAUGE", "name": "rq_active", "value": endpoint.state.active().to_string() }],
                "health_status": status,
                "weight": endpoint.weight,
                "hostname": endpoint.hostname,
                "locality": locality(place),
                "priority": priority,
            })
        })
        .collect();
    json!({
        "name": cluster.name,
        "observability_name": cluster.config.stat_name.as_ref().unwrap_or(&cluster.name),
        "added_via_api": true,
        "host_statuses": hosts,
    })
}

/// A cluster's endpoints as a ClusterLoadAssignment.
pub(super) fn assignment(cluster: &Cluster) -> Value {
    let mut groups = Vec::new();
    for (priority, one) in cluster.endpoints.priorities.iter().enumerate() {
        for group in &one.localities {
            let endpoints: Vec<_> = group
                .endpoints
                .iter()
                .map(|endpoint| {
                    json!({
                        "endpoint": { "address": address(endpoint), "hostname": endpoint.hostname },
                        "health_status": health(endpoint),
                        "load_balancing_weight": endpoint.weight,
                    })
                })
                .collect();
            groups.push(json!({
                "locality": locality(&group.locality),
                "lb_endpoints": endpoints,
                "load_balancing_weight": group.weight,
                "priority": priority,
            }));
        }
    }
    json!({ "@type": type_url::ENDPOINTS, "cluster_name": cluster.name, "endpoints": groups })
}

fn placed(cluster: &Cluster) -> impl Iterator<Item = (&Locality, usize, &Endpoint)> {
    cluster.endpoints.priorities.iter().enumerate().flat_map(|(priority, one)| {
        one.localities.iter().flat_map(move |group| {
            group.endpoints.iter().map(move |endpoint| (&*group.locality, priority, &**endpoint))
        })
    })
}

fn health(endpoint: &Endpoint) -> &'static str {
    match endpoint.health {
        Health::Healthy => "HEALTHY",
        Health::Degraded => "DEGRADED",
        Health::Unhealthy => "UNHEALTHY",
        Health::Draining => "DRAINING",
    }
}

fn address(endpoint: &Endpoint) -> Value {
    match endpoint.place() {
        Place::Port(address) => {
            json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } })
        }
        Place::Socket(path) => json!({ "pipe": { "path": path } }),
    }
}

fn locality(place: &Locality) -> Value {
    json!({ "region": place.region, "zone": place.zone, "sub_zone": place.sub_zone })
}
