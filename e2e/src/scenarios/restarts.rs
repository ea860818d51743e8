//! Scenario 6: restarts under load.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{mesh::CONTROL_NAMESPACE, namespace::Injection, test::Test};

pub(super) async fn run(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-restarts", Injection::Enabled).await?;
    mesh.with_echo().await?;
    mesh.kubectl("scale deploy/echo-v1 --replicas=2").await?;
    mesh.rolled_out(&["deploy/echo-v1"]).await?;

    t.step("rolling restart of the app under 200 requests per second");
    let load = mesh.load("--rps 200 --tally x-echo-pod http://echo:8080/").await?;
    mesh.kubectl("rollout restart deploy/echo-v1").await?;
    mesh.rolled_out(&["deploy/echo-v1"]).await?;
    gone(t, &mesh.name).await?;
    let report = load.stop_without_failures().await?;
    t.step(format!("{} requests, none failed, p99 {} ms", report.requests, report.latency_ms.p99));
    ensure!(report.tally.len() >= 4, "old and new pods should have answered: {:?}", report.tally);

    t.step("control plane killed under the same load");
    let load = mesh.load("--rps 200 --tally x-echo-pod http://echo:8080/").await?;
    t.sh(format!("kubectl -n {CONTROL_NAMESPACE} delete pod -l app=istiod --force --grace-period=0")).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;

    t.step("it returns, and a new endpoint is picked up");
    t.rolled_out(CONTROL_NAMESPACE, &["deploy/istiod"]).await?;
    let known: Vec<_> = mesh.pods("app=echo").await?.iter().map(|pod| pod.name().to_owned()).collect();
    mesh.kubectl("scale deploy/echo-v1 --replicas=3").await?;
    mesh.rolled_out(&["deploy/echo-v1"]).await?;
    let pods = mesh.pods("app=echo").await?;
    let new: Vec<_> =
        pods.iter().map(|pod| pod.name()).filter(|name| !known.iter().any(|old| old == name)).collect();
    ensure!(new.len() == 1, "expected one new pod: {new:?}");
    t.eventually("the new pod answers", Duration::from_secs(30), async || {
        let answer = mesh.fetch("http://echo:8080/").await?;
        ensure!(
            answer["headers"]["x-echo-pod"] == new[0],
            "not the new pod: {}",
            answer["headers"]["x-echo-pod"]
        );
        Ok(())
    })
    .await?;
    let report = load.stop_without_failures().await?;
    t.step(format!("{} requests, none failed, p99 {} ms", report.requests, report.latency_ms.p99));
    ensure!(report.tally.contains_key(new[0]), "the load never reached {}: {:?}", new[0], report.tally);
    Ok(())
}

/// Waits for the old pods to be gone: their last seconds are what this is about.
async fn gone(t: &Test, namespace: &str) -> Result<()> {
    t.eventually("the old pods are gone", Duration::from_mins(1), async || {
        let names = t.sh(format!("kubectl -n {namespace} get pods -l app=echo -o name")).await?;
        ensure!(names.lines().count() == 2, "{names}");
        Ok(())
    })
    .await
}
