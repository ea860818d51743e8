//! The rows: one hop, two hops with mTLS, and an idle sidecar's memory.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use testkit::LocalMesh;

use super::load::{Round, round};
use crate::process::private_dirty;
use crate::results::Measurement;

const ROUNDS: usize = 5;
const SECONDS: u32 = 3;
/// A round whose direct row moved by more than this says nothing.
const STEADY: f64 = 0.15;

/// One way from client to server, by both data planes.
struct Row {
    name: &'static str,
    url: &'static str,
    /// Client pod and the pods whose proxies are on the way, ours and Envoy's.
    ours: (&'static str, &'static [&'static str]),
    envoys: (&'static str, &'static [&'static str]),
    urls: Option<&'static str>,
    budget: f64,
}

const ROWS: [Row; 2] = [
    Row {
        name: "one hop, HTTP/1.1: CPU of a million requests",
        url: "http://plain:8000/1k",
        ours: ("client-trysail", &["client-trysail"]),
        envoys: ("client-envoy", &["client-envoy"]),
        urls: None,
        budget: 0.6,
    },
    Row {
        name: "two hops, mTLS between: CPU of a million requests",
        url: "http://server-trysail:8000/1k",
        ours: ("client-trysail", &["client-trysail", "server-trysail"]),
        envoys: ("client-envoy", &["client-envoy", "server-envoy"]),
        urls: Some("http://server-envoy:8000/1k"),
        budget: 0.6,
    },
];

/// Measures every row.
///
/// # Errors
/// When a pod doesn't start or a request fails.
pub async fn run(mut mesh: LocalMesh) -> Result<Vec<Measurement>> {
    let nginx = tempfile::Builder::new().prefix("trysail-nginx-").tempdir()?;
    mesh.apply(&pods(nginx.path())?).await.context("starting the pods")?;
    let mut results = vec![idle(&mesh)?];
    for row in &ROWS {
        results.extend(measure(&mesh, row)?);
    }
    Ok(results)
}

fn idle(mesh: &LocalMesh) -> Result<Measurement> {
    let memory = |pod: &str| -> Result<f64> {
        let id = mesh.pod("default", pod)?.process("istio-proxy").context("no proxy")?.id();
        Ok(private_dirty(id)? as f64 / 1e6)
    };
    let (ours, envoys) = (memory("client-trysail")?, memory("client-envoy")?);
    let mut row = Measurement::alone("idle sidecar: Private_Dirty", "trysail", "MB", &[ours])?.against(
        "envoy",
        &[ours],
        &[envoys],
    );
    row.ratio = None;
    Ok(row.within(8.0))
}

fn measure(mesh: &LocalMesh, row: &Row) -> Result<Vec<Measurement>> {
    let (mut ours, mut envoys, mut direct) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..=ROUNDS {
        let own = || round(mesh, row.ours.0, row.ours.1, row.url, SECONDS);
        let peer = || round(mesh, row.envoys.0, row.envoys.1, row.urls.unwrap_or(row.url), SECONDS);
        let (own, peer) = if index % 2 == 0 {
            let own = own()?;
            (own, peer()?)
        } else {
            let peer = peer()?;
            (own()?, peer)
        };
        // Without a sidecar nothing answers at a service's address here.
        let straight = format!("http://{}:8000/1k", mesh.pod("default", "plain")?.address());
        let straight = round(mesh, "client-direct", &[], &straight, SECONDS)?;
        // The first round only warms up.
        if index > 0 {
            ours.push(own);
            envoys.push(peer);
            direct.push(straight.rate);
        }
    }
    let cpu = |rounds: &[Round]| rounds.iter().map(|round| round.cpu).collect::<Vec<_>>();
    let rate = |rounds: &[Round]| rounds.iter().map(|round| round.rate).collect::<Vec<_>>();
    let mut own = Measurement::alone(row.name, "trysail", "s", &cpu(&ours))?
        .against("envoy", &cpu(&ours), &cpu(&envoys))
        .within(row.budget);
    let peer = Measurement::alone(row.name, "envoy", "s", &cpu(&envoys))?;
    let baseline = Measurement::alone("direct, no proxy: rate", "wrk and nginx", "requests/s", &direct)?;
    if baseline.max / baseline.min > 1.0 + 2.0 * STEADY {
        own.void = Some(format!(
            "the direct row moved between {:.0} and {:.0} requests/s",
            baseline.min, baseline.max
        ));
    }
    let throughput = Measurement::alone("the same: rate", "trysail", "requests/s", &rate(&ours))?.against(
        "envoy",
        &rate(&ours),
        &rate(&envoys),
    );
    Ok(vec![own, peer, throughput, baseline])
}

/// Clients with wrk, servers with nginx; `plain` and `client-direct` without a sidecar.
fn pods(nginx: &std::path::Path) -> Result<String> {
    let config = nginx.join("nginx.conf");
    let folder = nginx.display();
    std::fs::write(
        &config,
        format!(
            "daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}; proxy_temp_path {folder};\n\
             fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};\n\
             server {{ listen 8000; location / {{ return 200 '{}'; }} }} }}\n",
            "x".repeat(1024)
        ),
    )?;
    let mut yaml = String::from(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: '{accessLogFile: \"\"}'}}\n",
    );
    for (name, plane) in [("plain", "none"), ("server-trysail", "trysail"), ("server-envoy", "envoy")] {
        write!(
            yaml,
            "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 8000}}]}}}}\n"
        )?;
        let command = format!("[nginx, -c, {}]", config.display());
        write!(yaml, "---\n{}", pod(name, plane, &command))?;
    }
    for (name, plane) in [("client-direct", "none"), ("client-trysail", "trysail"), ("client-envoy", "envoy")]
    {
        write!(yaml, "---\n{}", pod(name, plane, "[sleep, infinity]"))?;
    }
    Ok(yaml)
}

fn pod(name: &str, plane: &str, command: &str) -> String {
    let inject = if plane == "none" { "false" } else { "true" };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{app: {name}, sidecar.istio.io/inject: \"{inject}\"}}\n  \
         annotations: {{testkit.trysail.dev/data-plane: {plane}, proxy.istio.io/config: 'concurrency: 1'}}\nspec:\n  containers:\n  \
         - {{name: app, image: echo, command: {command}, ports: [{{name: http, containerPort: 8000}}]}}\n"
    )
}
