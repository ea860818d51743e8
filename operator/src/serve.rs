//! `/healthz`, `/readyz` and `/metrics` of the operator itself.

use std::sync::Arc;

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};

use crate::admission::Endpoint;

/// Routes `GET /healthz`, `GET /readyz` and `GET /metrics`. Ready is who is asked about MeshInstalls: whoever waits for the
/// operator can rely on its judgement of the first one.
pub fn router(registry: Arc<Registry>, endpoint: Endpoint) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || ready(&endpoint)))
        .route("/metrics", get(async move || metrics(&registry)))
}

fn ready(endpoint: &Endpoint) -> Response {
    match endpoint.problem() {
        None => "ok\n".into_response(),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

fn metrics(registry: &Registry) -> Response {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = encode(&mut text, registry);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response()
}
