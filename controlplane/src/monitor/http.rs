//! Routes of the monitoring port (15014) and of the plain one (8080).

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::watch;

use super::debug::{self, Debug};
use super::metrics::Metrics;
use crate::auth::Authenticator;
use crate::serve::Peer;

/// What the pages show.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) debug: Arc<Debug>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) synced: watch::Receiver<bool>,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// 15014: metrics, version, debug.
pub(crate) fn monitoring_router(pages: Pages) -> Router {
    let open = Router::new()
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .with_state(pages.clone());
    open.merge(debug_router(pages))
}

/// 8080: readiness and debug.
pub(crate) fn http_router(pages: Pages) -> Router {
    let open =
        Router::new().route("/ready", get(ready)).route("/version", get(version)).with_state(pages.clone());
    open.merge(debug_router(pages))
}

fn debug_router(pages: Pages) -> Router {
    debug::router(pages.debug.clone()).layer(from_fn_with_state(pages.authenticator, guard))
}

/// Debug pages show the whole mesh: they are for this host (`kubectl port-forward` ends here), and for callers with a
/// service account's token.
async fn guard(
    State(authenticator): State<Arc<Authenticator>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    if !peer.address.ip().to_canonical().is_loopback() {
        let metadata = tonic::metadata::MetadataMap::from_headers(headers);
        let token = crate::auth::bearer(&metadata).ok().flatten();
        let known = match token {
            Some(token) => authenticator.of_token(token).await.is_ok(),
            None => false,
        };
        if !known {
            let help = "debug pages need a service account token, or come through kubectl port-forward\n";
            return (StatusCode::UNAUTHORIZED, help).into_response();
        }
    }
    next.run(request).await
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let mut text = pages.metrics.encode();
    text.push_str("# EOF\n");
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response()
}

/// As istiod: plain text with x.y.z in it, which Kiali looks for.
async fn version() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), "-trysail")
}

async fn ready(State(pages): State<Pages>) -> Response {
    if *pages.stopping.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    if !*pages.synced.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "waiting for the sources to sync\n").into_response();
    }
    Json(serde_json::json!({ "ready": true })).into_response()
}
