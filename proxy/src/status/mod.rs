//! What the kubelet and Prometheus ask: readiness, the application's probes, metrics.
//!
//! Three servers on the control thread: 15021 (`/healthz/ready`), 15020 (that, the application's probes, merged metrics,
//! `/quitquitquit`) and 15090 (our own metrics). `main` starts them with [`start`].

mod application;
mod client;
mod lifecycle;
mod metrics;
mod probe;
mod ready;
mod serve;
mod sockets;

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};

pub use application::{Scrape, ScrapeError};
pub use lifecycle::Lifecycle;
pub use metrics::OwnMetrics;
pub use probe::{ProbeError, Probes};
pub use ready::Readiness;
pub use serve::{Listening, serve};
pub use sockets::listening_ports;

/// What the servers answer from.
#[derive(Debug)]
pub struct Status {
    /// Whether we are ready.
    pub readiness: Arc<Readiness>,
    /// The application's probes.
    pub probes: Probes,
    /// Our own metrics.
    pub own: Arc<OwnMetrics>,
    /// The application's metrics, if they are to be merged.
    pub scrape: Option<Scrape>,
    /// Ending and draining.
    pub lifecycle: Arc<Lifecycle>,
}

/// Opens the three ports; an error names the one that is taken.
pub fn start(status: Arc<Status>, ports: crate::bootstrap::Ports) -> std::io::Result<Vec<Listening>> {
    let all = Router::new()
        .route("/healthz/ready", get(ready))
        .route("/app-health/{container}/{kind}", any(application_probe))
        .route("/app-lifecycle/{container}/{kind}", any(application_probe))
        .route("/stats/prometheus", get(merged_metrics))
        .route("/metrics", get(merged_metrics))
        .route("/quitquitquit", post(quit))
        .route("/drain", post(drain))
        .with_state(status.clone());
    let health = Router::new().route("/healthz/ready", get(ready)).with_state(status.clone());
    let own = Router::new().route("/stats/prometheus", get(own_metrics)).with_state(status);
    [(ports.status, all), (ports.health, health), (ports.metrics, own)]
        .into_iter()
        .map(|(port, router)| serve(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), router))
        .collect()
}

async fn ready(State(status): State<Arc<Status>>) -> Response {
    match status.readiness.check() {
        Ok(()) => StatusCode::OK.into_response(),
        Err(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

async fn application_probe(State(status): State<Arc<Status>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    match status.probes.run(&path, request.headers()).await {
        Some(Ok(response)) => response,
        Some(Err(problem)) => {
            tracing::debug!(%path, "{problem}");
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{problem}\n")).into_response()
        }
        None => (StatusCode::NOT_FOUND, format!("no probe is known for {path}\n")).into_response(),
    }
}

async fn merged_metrics(State(status): State<Arc<Status>>, request: Request) -> Response {
    let mut text = status.own.prometheus();
    if let Some(scrape) = &status.scrape {
        scrape.append(&mut text, request.headers()).await;
    }
    prometheus(text)
}

async fn own_metrics(State(status): State<Arc<Status>>) -> Response {
    prometheus(status.own.prometheus())
}

/// Metrics in Prometheus' text format.
pub(crate) fn prometheus(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn quit(State(status): State<Arc<Status>>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    only_from_here(peer).unwrap_or_else(|| {
        tracing::info!("asked to quit");
        status.lifecycle.quit();
        "OK\n".into_response()
    })
}

async fn drain(State(status): State<Arc<Status>>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    only_from_here(peer).unwrap_or_else(|| {
        tracing::info!("asked to drain");
        status.lifecycle.drain();
        "OK\n".into_response()
    })
}

/// A refusal for clients outside of this pod.
fn only_from_here(peer: SocketAddr) -> Option<Response> {
    (!peer.ip().to_canonical().is_loopback())
        .then(|| (StatusCode::FORBIDDEN, "Only requests from localhost are allowed\n").into_response())
}

#[cfg(test)]
mod tests;
