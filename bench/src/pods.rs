//! Pods of the rows: clients with wrk, servers with nginx, gateways.

use std::path::Path;

use anyhow::Result;

/// A server of HTTP/1.1 on port 8000 that answers everything with 1 KiB; returns the command that starts it.
///
/// # Errors
/// When its configuration cannot be written.
pub(crate) fn nginx(folder: &Path) -> Result<String> {
    let (config, place, body) = (folder.join("nginx.conf"), folder.display(), "x".repeat(1024));
    std::fs::write(
        &config,
        format!(
            "daemon off; worker_processes 1; pid {place}/pid; error_log stderr crit;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {place}; proxy_temp_path {place};\n\
             fastcgi_temp_path {place}; uwsgi_temp_path {place}; scgi_temp_path {place};\n\
             server {{ listen 8000; location / {{ return 200 '{body}'; }} }} }}\n"
        ),
    )?;
    Ok(format!("[nginx, -c, {}]", config.display()))
}

/// The command of a pod that only sends.
pub(crate) const CLIENT: &str = "[sleep, infinity]";

/// A pod, as YAML; `plane` is `trysail`, `baseline` (an earlier build of it), `envoy` or `none`.
pub(crate) fn pod(name: &str, plane: &str, command: &str) -> String {
    let inject = if plane == "none" { "false" } else { "true" };
    let image =
        if plane == "baseline" { ", sidecar.istio.io/proxyImage: trysail/proxyv2-baseline" } else { "" };
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{app: {name}, sidecar.istio.io/inject: \"{inject}\"}}\n  \
         annotations: {{testkit.trysail.dev/data-plane: {plane}, proxy.istio.io/config: 'concurrency: 1'{image}}}\nspec:\n  containers:\n  \
         - {{name: app, image: echo, command: {command}, ports: [{{name: http, containerPort: 8000}}]}}\n"
    )
}

/// The Service of such a pod, on port 8000.
pub(crate) fn service(name: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 8000}}]}}}}\n"
    )
}

/// A gateway pod with its Service on port 80, target port 8080, for Gateways that select `istio: ingressgateway`.
pub(crate) fn gateway(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{app: {name}, istio: ingressgateway, sidecar.istio.io/inject: \"true\"}}\n  \
         annotations: {{testkit.trysail.dev/data-plane: trysail, inject.istio.io/templates: gateway, proxy.istio.io/config: 'concurrency: 1'}}\n\
         spec:\n  containers:\n  - {{name: istio-proxy, image: auto}}\n\
         ---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}}}\n"
    )
}
