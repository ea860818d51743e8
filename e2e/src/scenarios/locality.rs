//! Locality: pods nearby are preferred, and those of another zone take over when they fail.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};

use crate::{
    apps,
    namespace::{Injection, Namespace},
    test::Test,
};

const ECHO: &str = "http://echo:8080";
/// v1 runs beside the client, v2 in the other zone. There is one node, so that pods say themselves where they are.
const NEAR: &str = "istio-locality: region.one";
const FAR: &str = "istio-locality: region.two";
const POLICY: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo}
spec:
  host: echo
  trafficPolicy:
    loadBalancer: {localityLbSetting: {enabled: true}}
    outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 15s, maxEjectionPercent: 100}
";

pub(super) async fn run(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-locality", Injection::Enabled).await?;
    mesh.apply(&apps::labelled(&apps::echo()?, NEAR)).await?;
    mesh.apply(&apps::labelled(&apps::echo_version("v2")?, FAR)).await?;
    mesh.kubectl("scale deploy/echo-v1 --replicas=2").await?;
    mesh.apply(&apps::labelled(&apps::client()?, NEAR)).await?;
    mesh.rolled_out(&["deploy/echo-v1", "deploy/echo-v2", "deploy/client"]).await?;

    t.step("without outlier detection, all zones answer");
    let seen = versions(&mesh, 60).await?;
    ensure!(seen.len() == 2, "only these answered: {seen:?}");

    t.step("with it, the client's own zone does");
    mesh.apply(POLICY).await?;
    t.eventually("the policy is in effect", Duration::from_secs(10), async || {
        mesh.fetch_all(&format!("--count 20 {ECHO}/")).await?.all_by("v1")
    })
    .await?;
    let load = mesh.load(&format!("--rps 100 --tally x-echo-version {ECHO}/")).await?;
    let report = load.stop_without_failures().await?;
    ensure!(report.tally.len() == 1, "not only v1: {:?}", report.tally);

    t.step("one of the zone's two pods fails: the other zone gets what is too much for the one left");
    let pods = mesh.pods("app=echo,version=v1").await?;
    ensure!(pods.len() == 2, "{} pods of v1", pods.len());
    mesh.answers_from_now_on(pods[0].name(), 503).await?;
    ejected(t, &mesh).await?;
    // Half of the pods, with Envoy's headroom of 1.4, take 70 % of the requests.
    let seen = versions(&mesh, 400).await?;
    let away = seen.get("v2").copied().unwrap_or_default();
    t.step(format!("{seen:?}"));
    ensure!((80..=160).contains(&away), "about 120 of 400 should have gone to the other zone: {seen:?}");

    t.step("both fail: the other zone takes over, without a failed request once they are out");
    mesh.answers_from_now_on(pods[1].name(), 503).await?;
    ejected(t, &mesh).await?;
    let load = mesh.load(&format!("--rps 100 --tally x-echo-version {ECHO}/")).await?;
    for pod in &pods {
        mesh.answers_from_now_on(pod.name(), 200).await?;
    }
    let report = load.stop_without_failures().await?;
    ensure!(report.tally.keys().eq(["v2"]), "not only v2: {:?}", report.tally);

    t.step("healed, the own zone takes it back, without a failed request");
    let load = mesh.load(&format!("--rps 100 --tally x-echo-version {ECHO}/")).await?;
    t.eventually("the own zone answers alone", Duration::from_secs(40), async || {
        mesh.fetch_all(&format!("--count 40 {ECHO}/")).await?.all_by("v1")
    })
    .await?;
    let report = load.stop_without_failures().await?;
    t.step(format!("{:?} meanwhile", report.tally));
    ensure!(report.tally.len() == 2, "both zones should have answered in turn: {:?}", report.tally);
    Ok(())
}

/// Sends requests until none fails any more.
async fn ejected(t: &Test, mesh: &Namespace<'_>) -> Result<()> {
    t.eventually("what fails is ejected", Duration::from_secs(10), async || {
        let statuses = mesh.fetch_all(&format!("--count 30 {ECHO}/")).await?.statuses();
        ensure!(statuses.keys().eq(&[200]), "{statuses:?}");
        Ok(())
    })
    .await
}

async fn versions(mesh: &Namespace<'_>, count: usize) -> Result<BTreeMap<String, usize>> {
    let answers = mesh.fetch_all(&format!("--count {count} {ECHO}/")).await?;
    ensure!(answers.statuses().keys().eq(&[200]), "{:?}", answers.statuses());
    Ok(answers.by("x-echo-version"))
}
