//! Scenario 7: certificates that live for a minute, under load.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    namespace::{Injection, Namespace},
    test::Test,
};

const SHORT_LIVED: &str = r#"{"spec":{"template":{"metadata":{"annotations":{"proxy.istio.io/config":"{\"proxyMetadata\":{\"SECRET_TTL\":\"1m\"}}"}}}}}"#;

pub(super) async fn run(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-rotation", Injection::Enabled).await?;
    mesh.apply_files(&["samples/echo/echo.yaml", "samples/echo/client.yaml"]).await?;
    for deployment in ["echo-v1", "client"] {
        mesh.kubectl(format!("patch deploy/{deployment} --type=merge -p '{SHORT_LIVED}'")).await?;
    }
    mesh.rolled_out(&["deploy/echo-v1", "deploy/client"]).await?;
    t.eventually("only short-lived pods are left", Duration::from_mins(1), async || {
        mesh.pod("app=client").await?;
        mesh.pod("app=echo").await
    })
    .await?;

    t.step("certificates of one minute; load for longer than they live");
    let mut seen = vec![certificates(&mesh).await?];
    let load = mesh.load("--rps 100 http://echo:8080/").await?;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let now = certificates(&mesh).await?;
        if seen.last() != Some(&now) {
            t.step("a certificate has changed");
            seen.push(now);
        }
    }
    let report = load.stop_without_failures().await?;
    t.step(format!("{} requests, none failed", report.requests));
    for (index, whose) in ["the client", "the server"].iter().enumerate() {
        let serials: std::collections::BTreeSet<_> = seen.iter().map(|pair| &pair[index]).collect();
        ensure!(serials.len() >= 2, "{whose} kept one certificate for 80 s: {serials:?}");
    }
    Ok(())
}

/// The serial numbers of the certificates that both ends' proxies now use.
async fn certificates(mesh: &Namespace<'_>) -> Result<[String; 2]> {
    let mut serials = Vec::new();
    for deployment in ["client", "echo-v1"] {
        let answer = mesh.echo(deployment, "get http://127.0.0.1:15000/certs").await?;
        serials
            .push(serial(&answer["text"]).with_context(|| format!("no certificate in {}", answer["text"]))?);
    }
    serials.try_into().ok().context("two proxies have two certificates")
}

fn serial(certificates: &Value) -> Option<String> {
    let chains =
        certificates["certificates"].as_array()?.iter().filter_map(|entry| entry["cert_chain"].as_array());
    chains.flatten().find_map(|certificate| certificate["serial_number"].as_str()).map(ToOwned::to_owned)
}
