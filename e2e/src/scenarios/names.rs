//! Names that the sidecar answers for: two databases on one port, and what only the cluster's DNS knows.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    apps,
    namespace::{Injection, Namespace},
    test::Test,
};

const CAPTURE: &str = r#"proxy.istio.io/config: "proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}""#;
/// Its addresses are those of its pods, which only the cluster's DNS tells.
const HEADLESS: &str = "apiVersion: v1
kind: Service
metadata: {name: headless}
spec:
  clusterIP: None
  selector: {app: echo}
  ports: [{name: http, port: 8080}]
";

pub(super) async fn run(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-names", Injection::Enabled).await?;
    let servers = t.namespace("e2e-names-servers", Injection::None).await?;
    servers.apply_files(&["samples/echo/echo.yaml"]).await?;
    servers.apply(&apps::echo_version("v2")?).await?;
    servers.apply(HEADLESS).await?;
    mesh.apply(&apps::annotated_client(CAPTURE)?).await?;
    servers.rolled_out(&["deploy/echo-v1", "deploy/echo-v2"]).await?;
    mesh.rolled_out(&["deploy/client"]).await?;

    t.step("two hosts on one TCP port, which no DNS knows: each name leads to its own server");
    for (host, version) in [("orders", "v1"), ("carts", "v2")] {
        let server = servers.pod(&format!("app=echo,version={version}")).await?.ip().to_owned();
        mesh.apply(&database(host, &server)).await?;
    }
    for (host, version) in [("orders", "v1"), ("carts", "v2")] {
        t.eventually(&format!("{version} is behind {host}"), Duration::from_secs(20), async || {
            greeted_by(&mesh, &format!("{host}.example.test"), version).await
        })
        .await?;
    }

    t.step("names of the cluster: those that the mesh knows, and those that only its DNS does");
    for host in ["echo.e2e-names-servers", "headless.e2e-names-servers"] {
        let answer = mesh.fetch(&format!("http://{host}:8080/")).await?;
        ensure!(answer["status"] == 200, "{host}: {answer}");
    }
    let request = "trysail-proxy request GET stats/prometheus";
    let metrics = mesh.kubectl(&format!("exec deploy/client -c istio-proxy -- {request}")).await?;
    let passed_on = metrics.lines().find(|line| line.starts_with("istio_agent_dns_upstream_requests_total "));
    ensure!(
        passed_on.is_some_and(|line| !line.ends_with(" 0")),
        "nothing was passed on to the cluster's DNS: {passed_on:?}"
    );
    Ok(())
}

/// A host without an address of its own.
fn database(name: &str, server: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.example.test]
  ports: [{{number: 9001, name: tcp, protocol: TCP}}]
  resolution: STATIC
  endpoints: [{{address: {server}}}]
"
    )
}

async fn greeted_by(mesh: &Namespace<'_>, host: &str, version: &str) -> Result<()> {
    let talk = mesh.echo("client", &format!("tcp {host}:9001 --greeting --send hello")).await?;
    let greeting = talk["greeting"].as_str().unwrap_or_default();
    ensure!(greeting.starts_with(&format!("220 echo-{version}-")), "{host}: {talk}");
    Ok(())
}
