//! `/server_info`: version, state, uptime and node.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::Shared;
use crate::subscribe::Report;

pub(super) async fn server_info(State(admin): Shared) -> Response {
    let uptime = format!("{}s", admin.started.elapsed().as_secs());
    let state = match admin.readiness.check() {
        Ok(()) => "LIVE",
        Err(_) if admin.progress.is_complete() => "DRAINING",
        Err(_) => "INITIALIZING",
    };
    let node = &admin.boot.node;
    super::json(&json!({
        "version": format!("trysail/{}/Clean/RELEASE/aws-lc-rs", env!("CARGO_PKG_VERSION")),
        "state": state,
        "hot_restart_version": "disabled",
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": uptime,
        "command_line_options": {
            "concurrency": admin.boot.concurrency,
            "drain_time": format!("{}s", admin.boot.drain.listener.as_secs()),
        },
        "node": {
            "id": node.id,
            "cluster": node.cluster,
            "metadata": Value::Object(node.metadata.clone()),
            "locality": node.locality.as_ref().map(|place| json!({
                "region": place.region, "zone": place.zone, "sub_zone": place.sub_zone,
            })),
            "user_agent_name": "trysail",
        },
        "control_plane": control_plane(&admin.boot.discovery.address, &admin.progress.report()),
    }))
}

/// Not Envoy's: how the configuration stream is doing.
fn control_plane(address: &str, report: &Report) -> Value {
    let types = report.types.iter().map(|(kind, counters)| {
        let counters = json!({
            "responses": counters.responses, "applied": counters.applied, "refused": counters.refused,
        });
        ((*kind).to_owned(), counters)
    });
    let types: Map<String, Value> = types.collect();
    json!({
        "address": address,
        "connected": report.connected,
        "since": report.since.map(super::rfc3339),
        "last_error": report.last_error,
        "last_refusal": report.last_refusal,
        "waiting_for": report.waiting_for,
        "types": types,
    })
}
