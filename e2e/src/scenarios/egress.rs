//! Traffic that leaves the mesh: through the egress gateway, and nowhere that nobody declared.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    access_log,
    mesh::CONTROL_NAMESPACE,
    namespace::{Injection, Namespace},
    test::Test,
};

const GATEWAY: &str = "istio-egressgateway";
const ON: &str = r#"{"spec": {
    "meshConfig": {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}},
    "components": {"egressGateways": [{"name": "istio-egressgateway", "k8s": {"resources": {"requests": {"cpu": "20m", "memory": "32Mi"}}}}]}
}}"#;
const OFF: &str =
    r#"{"spec": {"meshConfig": {"outboundTrafficPolicy": null}, "components": {"egressGateways": null}}}"#;
/// A host of which only the mesh knows where it is.
const DECLARED: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: partner}
spec:
  hosts: [partner.test]
  location: MESH_EXTERNAL
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: https, protocol: HTTPS}
  resolution: DNS
  endpoints: [{address: echo.e2e-partner.svc.cluster.local, ports: {http: 8080, https: 8443}}]
";
/// Sidecars send it to the gateway, the gateway makes TLS of it.
const THROUGH_THE_GATEWAY: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress}
spec:
  selector: {istio: egressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [partner.test]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: partner}
spec:
  hosts: [partner.test]
  gateways: [mesh, egress]
  http:
  - match: [{gateways: [mesh], port: 80}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 80}}}]
  - match: [{gateways: [egress], port: 80}]
    route: [{destination: {host: partner.test, port: {number: 443}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: partner}
spec:
  host: partner.test
  trafficPolicy:
    portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE, insecureSkipVerify: true}}]
";

pub(super) async fn run(t: &Test) -> Result<()> {
    let outcome = scenario(t).await;
    t.step("kubectl patch mi: without the gateway again; it goes");
    t.sh(format!("kubectl patch mi default --type=merge -p '{OFF}'")).await?;
    t.sh(format!("kubectl -n {CONTROL_NAMESPACE} wait --for=delete deploy/{GATEWAY} --timeout=60s")).await?;
    outcome
}

async fn scenario(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-egress", Injection::Enabled).await?;
    let partner = t.namespace("e2e-partner", Injection::None).await?;
    partner.apply_files(&["samples/echo/echo.yaml"]).await?;
    mesh.apply_files(&["samples/echo/client.yaml"]).await?;
    mesh.rolled_out(&["deploy/client"]).await?;
    partner.rolled_out(&["deploy/echo-v1"]).await?;
    let server = partner.pod("app=echo").await?.ip().to_owned();
    let client = mesh.pod("app=client").await?.ip().to_owned();
    let unknown = format!("--connect-to {server}:8080 http://unknown.test:8080/");

    t.step("without further ado, a pod reaches what nobody declared");
    from(&mesh.fetch(&unknown).await?, &client)?;

    t.step("kubectl patch mi: an egress gateway, and REGISTRY_ONLY");
    t.sh(format!("kubectl patch mi default --type=merge -p '{ON}'")).await?;
    t.sh(format!("kubectl -n {CONTROL_NAMESPACE} wait --for=create deploy/{GATEWAY} --timeout=60s")).await?;
    t.rolled_out(CONTROL_NAMESPACE, &[&format!("deploy/{GATEWAY}")]).await?;
    t.eventually("an unknown host is refused", Duration::from_secs(30), async || {
        let answer = mesh.fetch(&unknown).await?;
        ensure!(answer["status"] == 502, "{answer}");
        Ok(())
    })
    .await?;

    t.step("a ServiceEntry makes a host known: it is reached from the pod itself");
    // No DNS knows the name; an address of a network for documentation shows that only the name counts.
    let ask = "--connect-to 192.0.2.1:80 http://partner.test";
    mesh.apply(DECLARED).await?;
    t.eventually("it answers", Duration::from_secs(15), async || {
        from(&mesh.fetch(&format!("{ask}/")).await?, &client)
    })
    .await?;
    ensure!(mesh.fetch(&unknown).await?["status"] == 502, "an unknown host is no longer refused");

    t.step("a Gateway and a VirtualService lead through the gateway, which speaks TLS to the host");
    let gateway = t.get(&format!("pods -n {CONTROL_NAMESPACE} -l app={GATEWAY}")).await?;
    let gateway = gateway["items"][0]["status"]["podIP"].as_str().context("the gateway has no address")?;
    mesh.apply(THROUGH_THE_GATEWAY).await?;
    t.eventually("it answers by the gateway", Duration::from_secs(15), async || {
        from(&mesh.fetch(&format!("{ask}/")).await?, gateway)
    })
    .await?;
    through(t, &mesh, &partner, ask, gateway).await
}

/// Sends requests, and looks for them where they must have passed.
async fn through(
    t: &Test,
    mesh: &Namespace<'_>,
    partner: &Namespace<'_>,
    ask: &str,
    gateway: &str,
) -> Result<()> {
    const COUNT: usize = 20;
    let before = counted(partner, gateway).await?;
    let answers = mesh.fetch_all(&format!("--count {COUNT} {ask}/by-the-gateway")).await?;
    answers.all_by("v1")?;
    for answer in &answers.0 {
        from(answer, gateway)?;
        let report = &answer["text"];
        ensure!(report["tls"]["sni"] == "partner.test" && report["host"] == "partner.test", "{report}");
    }

    t.step("both access logs and the gateway's metrics tell the way");
    for (namespace, deployment, cluster) in [
        (mesh.name.as_str(), "client", "outbound|80||istio-egressgateway.istio-system.svc.cluster.local"),
        (CONTROL_NAMESPACE, GATEWAY, "outbound|443||partner.test"),
    ] {
        let lines = access_log::lines(t, namespace, deployment, "/by-the-gateway", COUNT).await?;
        for line in lines {
            ensure!(line.status == "200" && line.text.contains(cluster), "not by {cluster}: {}", line.text);
        }
    }
    t.eventually("the gateway has counted them", Duration::from_secs(10), async || {
        let after = counted(partner, gateway).await?;
        ensure!(after == before + COUNT as u64, "the gateway counted {before} requests, then {after}");
        Ok(())
    })
    .await
}

/// What the gateway says that it has sent to the host. Asked from outside the mesh, which would refuse this port.
async fn counted(partner: &Namespace<'_>, gateway: &str) -> Result<u64> {
    let line = format!("get http://{gateway}:15090/stats/prometheus");
    let metrics = partner.echo("echo-v1", &line).await?;
    let metrics = metrics["text"].as_str().unwrap_or_default();
    let lines = metrics.lines().filter(|line| {
        line.starts_with("istio_requests_total{")
            && line.contains("destination_service=\"partner.test\"")
            && line.contains("response_code=\"200\"")
    });
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// Fails unless it is a 200 of a server that saw this address as its peer.
fn from(answer: &Value, address: &str) -> Result<()> {
    let source = answer["text"]["source"].as_str().unwrap_or_default();
    ensure!(
        answer["status"] == 200 && source.starts_with(&format!("{address}:")),
        "not 200 for {address}: {answer}"
    );
    Ok(())
}
