//! `/healthz` and `/metrics` of the operator itself.

use std::sync::Arc;

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};

/// Routes `GET /healthz` and `GET /metrics`.
pub fn router(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(async move || metrics(&registry)))
}

fn metrics(registry: &Registry) -> Response {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = encode(&mut text, registry);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response()
}
