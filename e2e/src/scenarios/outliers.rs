//! Outlier detection and circuit breakers: a pod that fails is left alone for a while, and limits are exact.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    access_log::{self, by_flags},
    apps,
    namespace::{Injection, Namespace},
    test::Test,
};

const ECHO: &str = "http://echo:8080";
/// `baseEjectionTime`: enough for a few commands while the pod is out.
const EJECTION: Duration = Duration::from_secs(12);
const DETECTION: &str = "
    loadBalancer: {simple: ROUND_ROBIN}
    outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 12s, maxEjectionPercent: 50}
";
const REQUESTS: &str = "
    connectionPool: {http: {http2MaxRequests: 5}}
";
const CONNECTIONS: &str = "
    connectionPool: {tcp: {maxConnections: 2}, http: {http1MaxPendingRequests: 3}}
";
/// Requests sent at the same time.
const BURST: usize = 20;
/// How many of them the limits let through: five at once, or two at once and three that wait.
const PASS: usize = 5;

pub(super) async fn run(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-outliers", Injection::Enabled).await?;
    mesh.apply(&policy(DETECTION)).await?;
    mesh.apply(&apps::echo()?).await?;
    mesh.kubectl("scale deploy/echo-v1 --replicas=3").await?;
    // As in Envoy, each worker may have one connection whatever the limit: with one worker, limits are exact.
    mesh.apply(&apps::annotated_client("proxy.istio.io/config: 'concurrency: 1'")?).await?;
    mesh.rolled_out(&["deploy/echo-v1", "deploy/client"]).await?;
    ejection(t, &mesh).await?;

    t.step(format!("circuit breaker: of {BURST} requests at once, http2MaxRequests lets {PASS} pass"));
    mesh.kubectl("scale deploy/echo-v1 --replicas=1").await?;
    mesh.apply(&policy(REQUESTS)).await?;
    exact(t, &mesh, "requests").await?;

    t.step("circuit breaker: maxConnections are busy, http1MaxPendingRequests wait, the rest is refused");
    mesh.apply(&policy(CONNECTIONS)).await?;
    exact(t, &mesh, "connections").await?;
    mesh.fetch_all(&format!("--count 50 {ECHO}/")).await?.all_by("v1")
}

fn policy(settings: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: echo}}\nspec:\n  host: echo\n  trafficPolicy:{settings}"
    )
}

async fn ejection(t: &Test, mesh: &Namespace<'_>) -> Result<()> {
    t.step("outlier detection: one of three pods begins to fail under load, and is ejected");
    let pods = mesh.pods("app=echo").await?;
    ensure!(pods.len() == 3, "{} pods instead of 3", pods.len());
    let failing = pods[0].name();
    t.eventually("all three answer", Duration::from_secs(10), async || {
        let seen = mesh.fetch_all(&format!("--count 12 {ECHO}/")).await?.by("x-echo-pod");
        ensure!(seen.len() == 3, "{seen:?}");
        Ok(())
    })
    .await?;
    mesh.answers_from_now_on(failing, 503).await?;
    let began = Instant::now();
    let load = format!("--rps 100 --tally x-echo-pod {ECHO}/");
    let report = mesh.load(&load).await?.stop().await?;
    let failed = report.statuses.get("503").copied().unwrap_or_default();
    t.step(format!("ejected after {failed} of {} requests had failed", report.requests));
    ensure!(
        failed == report.failed && (3..=8).contains(&failed),
        "three errors in a row should have been enough: {report:?}"
    );

    t.step("outlier detection: while it is out, nobody notices");
    let report = mesh.load(&load).await?.stop_without_failures().await?;
    ensure!(report.tally.len() == 2 && !report.tally.contains_key(failing), "{:?}", report.tally);
    let clusters = mesh.kubectl("exec deploy/client -c client -- echo get http://127.0.0.1:15000/clusters");
    ensure!(clusters.await?.contains("/failed_outlier_check"), "/clusters doesn't tell");

    t.step("outlier detection: healed, it returns when its time is over");
    mesh.answers_from_now_on(failing, 200).await?;
    ensure!(began.elapsed() < EJECTION, "this machine is too slow for this scenario");
    let load = mesh.load(&load).await?;
    t.eventually("it answers again", Duration::from_secs(30), async || {
        let seen = mesh.fetch_all(&format!("--count 6 {ECHO}/")).await?.by("x-echo-pod");
        ensure!(seen.contains_key(failing), "{seen:?}");
        Ok(())
    })
    .await?;
    let away = began.elapsed();
    let report = load.stop_without_failures().await?;
    t.step(format!(
        "back after {:.1} s; {} requests meanwhile, none failed",
        away.as_secs_f64(),
        report.requests
    ));
    ensure!((EJECTION..EJECTION + Duration::from_secs(6)).contains(&away), "that isn't {EJECTION:?}");
    Ok(())
}

/// Sends bursts until the limit is in effect, and then three that it must meet exactly, also in the log.
async fn exact(t: &Test, mesh: &Namespace<'_>, limit: &str) -> Result<()> {
    let expected: BTreeMap<_, _> = [(200, PASS), (503, BURST - PASS)].into();
    let burst = async |name: &str| {
        let url = format!("'{ECHO}/{limit}-{name}?delay=500ms'");
        let answers = mesh.fetch_all(&format!("--count {BURST} --at-once {url}")).await?.statuses();
        ensure!(answers == expected, "{answers:?} instead of {expected:?}");
        Ok(())
    };
    t.eventually("the limit is in effect", Duration::from_secs(15), async || burst("first").await).await?;
    for number in 1..=3 {
        burst(&number.to_string()).await?;
        let path = format!("/{limit}-{number}");
        let lines = access_log::lines(t, &mesh.name, "client", &path, BURST).await?;
        let flags = by_flags(&lines);
        ensure!(flags == [("-", PASS), ("UO", BURST - PASS)].into(), "{path}: {flags:?}");
        ensure!(lines.iter().all(|line| (line.status == "503") == (line.flags == "UO")), "{lines:#?}");
    }
    Ok(())
}
