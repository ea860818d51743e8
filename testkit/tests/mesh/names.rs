//! What apps get whose questions for names come to their sidecar.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::{LocalMesh, eventually};

/// A host on one TCP port with an address that the mesh gives it, and the server behind it.
fn database(name: &str, server: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: {name}}}, \
         spec: {{hosts: [{name}.example.test], ports: [{{number: 9001, name: tcp, protocol: TCP}}], \
         resolution: STATIC, endpoints: [{{address: {server}}}]}}}}"
    )
}

fn server(version: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {version}, labels: {{sidecar.istio.io/inject: 'false'}}}}, \
         spec: {{containers: [{{name: echo, image: echo, env: [{{name: POD_NAME, value: {version}}}]}}]}}}}"
    )
}

/// Two hosts on one TCP port, told apart by their names alone; a name that comes later, and one that goes.
pub(crate) async fn told_apart(mut mesh: LocalMesh) -> Result<()> {
    for version in ["v1", "v2"] {
        mesh.apply(&server(version)).await?;
    }
    let address = |mesh: &LocalMesh, version: &str| {
        Ok::<_, anyhow::Error>(mesh.pod("default", version)?.address().to_owned())
    };
    let (first, second) = (address(&mesh, "v1")?, address(&mesh, "v2")?);
    mesh.apply(&database("orders", &first)).await?;
    mesh.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: app, labels: {sidecar.istio.io/inject: 'true'}, annotations: \
         {proxy.istio.io/config: \"proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}\"}}, \
         spec: {containers: [{name: app, image: echo, command: [sleep, infinity]}]}}",
    )
    .await?;
    let said = greeting(&mesh, "orders.example.test")?;
    ensure!(said.contains("220 v1"), "known as soon as the app starts: {said}");
    mesh.apply(&database("carts", &second)).await?;
    eventually(Duration::from_secs(5), async || {
        let said = greeting(&mesh, "CARTS.example.test")?;
        ensure!(said.contains("220 v2"), "{said}");
        Ok(())
    })
    .await?;
    ensure!(greeting(&mesh, "orders.example.test")?.contains("220 v1"), "each host has its own server");
    mesh.delete("ServiceEntry", "default", "carts")?;
    eventually(Duration::from_secs(5), async || {
        ensure!(greeting(&mesh, "carts.example.test").is_err(), "the name is still known");
        Ok(())
    })
    .await?;
    let metrics = mesh.pod("default", "app")?.exec(&[
        &mesh.program("trysail-proxy").to_string_lossy(),
        "request",
        "GET",
        "stats/prometheus",
    ])?;
    let counted = |name: &str| metrics.lines().any(|line| line.starts_with(name) && !line.ends_with(" 0"));
    ensure!(
        counted("istio_agent_dns_requests_total ") && counted("istio_agent_dns_upstream_failures_total "),
        "{metrics}"
    );
    Ok(())
}

/// What the server of a host says first.
fn greeting(mesh: &LocalMesh, host: &str) -> Result<String> {
    let echo = mesh.program("echo");
    mesh.pod("default", "app")?.exec(&[&echo.to_string_lossy(), "tcp", "--greeting", &format!("{host}:9001")])
}
