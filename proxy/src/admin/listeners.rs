//! `/listeners`: listeners and their addresses.

use std::fmt::Write as _;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{Params, Shared, wants_json};

pub(super) async fn listeners(State(admin): Shared, Query(params): Params) -> Response {
    let snapshot = admin.live.load();
    let all = snapshot
        .listeners
        .iter()
        .flat_map(|listener| listener.addresses.iter().map(move |address| (listener.name.clone(), *address)));
    if wants_json(&params) {
        let statuses: Vec<_> = all
            .map(|(name, address)| {
                let socket = json!({ "address": address.ip(), "port_value": address.port() });
                json!({ "name": name, "local_address": { "socket_address": socket } })
            })
            .collect();
        return super::json(&json!({ "listener_statuses": statuses }));
    }
    let mut text = String::new();
    for (name, address) in all {
        let _ = writeln!(text, "{name}::{address}");
    }
    text.into_response()
}
