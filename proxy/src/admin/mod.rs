//! The admin interface on 127.0.0.1:15000, with Envoy's paths and shapes, so that the tools people know work.
//!
//! Everything is answered from what the control thread holds; nothing here touches the data plane but by its switches.

mod certs;
mod clusters;
mod config_dump;
mod listeners;
mod logging;
mod server_info;
mod stats;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;

pub use logging::{LogLevels, LogLevelsError};

use crate::bootstrap::Bootstrap;
use crate::identity::{Health, Secrets};
use crate::snapshot::Live;
use crate::status::{Lifecycle, Listening, OwnMetrics, Readiness, serve};
use crate::subscribe::{Held, Progress};

/// What the admin interface shows and switches.
#[derive(Debug)]
pub struct Admin {
    /// How the process was started.
    pub boot: Bootstrap,
    /// The configuration in force.
    pub live: Arc<Live>,
    /// The resources it was made of.
    pub held: Arc<Held>,
    /// How the subscription is going.
    pub progress: Arc<Progress>,
    /// Certificates.
    pub secrets: Arc<Secrets>,
    /// How renewal is going.
    pub identity: Arc<Health>,
    /// Whether we are ready.
    pub readiness: Arc<Readiness>,
    /// Metrics.
    pub own: Arc<OwnMetrics>,
    /// Ending and draining.
    pub lifecycle: Arc<Lifecycle>,
    /// Log levels.
    pub levels: LogLevels,
    /// When the process started.
    pub started: Instant,
}

type Shared = State<Arc<Admin>>;
type Params = Query<Vec<(String, String)>>;

const HELP: &str = "\
/certs: certificates and roots
/clusters: clusters and their endpoints (?format=json)
/config_dump: the configuration in force (?include_eds, ?resource=, ?name_regex=)
/drain_listeners: (POST) close connections gracefully
/healthcheck/fail: (POST) fail readiness
/healthcheck/ok: (POST) let readiness speak for itself again
/help: this text
/listeners: listeners and their addresses (?format=json)
/logging: (POST) log levels (?level=debug, ?upstream=debug)
/quitquitquit: (POST) end the process
/ready: LIVE, or why not
/server_info: version, uptime and node
/stats: statistics (?filter=regex, ?usedonly, ?format=json|prometheus)
/stats/prometheus: metrics in Prometheus' text format
";

/// Opens the admin port.
pub fn start(admin: Arc<Admin>) -> std::io::Result<Listening> {
    let port = admin.boot.ports.admin;
    serve(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), router(admin))
}

fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/", get(help))
        .route("/help", get(help))
        .route("/ready", get(ready))
        .route("/server_info", get(server_info::server_info))
        .route("/config_dump", get(config_dump::config_dump))
        .route("/clusters", get(clusters::clusters))
        .route("/listeners", get(listeners::listeners))
        .route("/certs", get(certs::certs))
        .route("/stats", get(stats::stats))
        .route("/stats/prometheus", get(stats::prometheus))
        .route("/logging", post(logging::logging))
        .route("/quitquitquit", post(quit))
        .route("/drain_listeners", post(drain))
        .route("/healthcheck/fail", post(healthcheck_fail))
        .route("/healthcheck/ok", post(healthcheck_ok))
        .with_state(admin)
}

async fn help() -> &'static str {
    HELP
}

async fn ready(State(admin): Shared) -> Response {
    match admin.readiness.check() {
        Ok(()) => "LIVE\n".into_response(),
        Err(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

async fn quit(State(admin): Shared) -> &'static str {
    admin.lifecycle.quit();
    "OK\n"
}

async fn drain(State(admin): Shared) -> &'static str {
    admin.lifecycle.drain();
    "OK\n"
}

async fn healthcheck_fail(State(admin): Shared) -> &'static str {
    admin.readiness.fail(true);
    "OK\n"
}

async fn healthcheck_ok(State(admin): Shared) -> &'static str {
    admin.readiness.fail(false);
    "OK\n"
}

/// A parameter's value; one without a value is there and empty.
fn parameter<'a>(params: &'a [(String, String)], name: &str) -> Option<&'a str> {
    params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn wants_json(params: &[(String, String)]) -> bool {
    parameter(params, "format") == Some("json")
}

/// Indented, as people read it.
fn json(value: &Value) -> Response {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response()
}

/// A moment in RFC 3339 with milliseconds, as Envoy prints it.
fn rfc3339(at: std::time::SystemTime) -> String {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    time::OffsetDateTime::from(at).format(&format).unwrap_or_default()
}

#[cfg(test)]
mod tests;
