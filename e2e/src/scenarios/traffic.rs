//! What a VirtualService does to requests between sidecars: canary by header, mirror, faults, retries, timeouts.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    access_log, apps,
    namespace::{Injection, Namespace},
    test::Test,
};

/// How long a rule may take to reach the client's proxy.
const WITHIN: Duration = Duration::from_secs(10);
const ECHO: &str = "http://echo:8080";
const VERSIONS: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo}
spec:
  host: echo
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
";
const CANARY: &str = "
  - match: [{headers: {x-canary: {exact: 'yes'}}}]
    route: [{destination: {host: echo, subset: v2}}]
  - route: [{destination: {host: echo, subset: v1}}]
";
const MIRROR: &str = "
  - route: [{destination: {host: echo, subset: v1}}]
    mirror: {host: echo, subset: v2}
    mirrorPercentage: {value: 100}
";
const FAULTS: &str = "
  - match: [{uri: {prefix: /late}}]
    fault: {delay: {percentage: {value: 100}, fixedDelay: 1s}}
    route: [{destination: {host: echo, subset: v1}}]
  - match: [{uri: {prefix: /half-late}}]
    fault: {delay: {percentage: {value: 50}, fixedDelay: 1s}}
    route: [{destination: {host: echo, subset: v1}}]
  - match: [{uri: {prefix: /never}}]
    fault: {abort: {percentage: {value: 100}, httpStatus: 418}}
    route: [{destination: {host: echo, subset: v1}}]
  - match: [{uri: {prefix: /half-never}}]
    fault: {abort: {percentage: {value: 50}, httpStatus: 503}}
    route: [{destination: {host: echo, subset: v1}}]
  - route: [{destination: {host: echo, subset: v1}}]
";
const ONE_TRY: &str = "
  - route: [{destination: {host: echo}}]
    retries: {attempts: 0}
";
const TRIES: &str = "
  - route: [{destination: {host: echo}}]
    retries: {attempts: 3, retryOn: '503,connect-failure'}
";
const TIMEOUTS: &str = "
  - match: [{uri: {prefix: /tries}}]
    retries: {attempts: 2, perTryTimeout: 300ms, retryOn: gateway-error}
    route: [{destination: {host: echo, subset: v1}}]
  - timeout: 700ms
    route: [{destination: {host: echo, subset: v1}}]
";

pub(super) async fn run(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-traffic", Injection::Enabled).await?;
    mesh.apply(VERSIONS).await?;
    mesh.apply(&apps::echo_version("v2")?).await?;
    mesh.with_echo().await?;
    mesh.rolled_out(&["deploy/echo-v2"]).await?;
    canary(t, &mesh).await?;
    mirror(t, &mesh).await?;
    faults(t, &mesh).await?;
    retries(t, &mesh).await?;
    timeouts(t, &mesh).await
}

async fn rule(mesh: &Namespace<'_>, http: &str) -> Result<String> {
    mesh.apply(&format!("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: echo}}\nspec:\n  hosts: [echo]\n  http:{http}")).await
}

async fn canary(t: &Test, mesh: &Namespace<'_>) -> Result<()> {
    t.step("canary: who has the header gets v2, nobody else does");
    rule(mesh, CANARY).await?;
    let both = async |count: usize| {
        mesh.fetch_all(&format!("--count {count} -H 'x-canary: yes' {ECHO}/")).await?.all_by("v2")?;
        mesh.fetch_all(&format!("--count {count} {ECHO}/")).await?.all_by("v1")
    };
    t.eventually("the rule is in effect", WITHIN, async || both(5).await).await?;
    both(200).await
}

async fn mirror(t: &Test, mesh: &Namespace<'_>) -> Result<()> {
    t.step("mirror: v2 sees every request, v1 answers it");
    rule(mesh, MIRROR).await?;
    t.eventually("the rule is in effect", WITHIN, async || {
        mesh.fetch(&format!("-H 'x-echo-keep: first' {ECHO}/")).await?;
        ensure!(mesh.kept("echo-v2", "first").await? > 0, "v2 got nothing");
        Ok(())
    })
    .await?;
    mirrored(t, mesh, "fine").await?;

    t.step("mirror: nobody notices when v2 fails");
    mesh.answers_from_now_on("deploy/echo-v2", 503).await?;
    mirrored(t, mesh, "failing").await?;
    mesh.answers_from_now_on("deploy/echo-v2", 200).await
}

/// Sends requests; v1 must answer all of them, and v2 must get a copy of each.
async fn mirrored(t: &Test, mesh: &Namespace<'_>, name: &str) -> Result<()> {
    const COPIES: u64 = 50;
    let line = format!("--count {COPIES} -H 'x-echo-keep: {name}' {ECHO}/copied");
    mesh.fetch_all(&line).await?.all_by("v1")?;
    let mut seen = 0;
    t.eventually("v2 has got the copies", Duration::from_secs(5), async || {
        seen += mesh.kept("echo-v2", name).await?;
        ensure!(seen == COPIES, "v2 got {seen} copies of {COPIES} requests");
        Ok(())
    })
    .await
}

async fn faults(t: &Test, mesh: &Namespace<'_>) -> Result<()> {
    t.step("faults: delays and aborts, for all and for half of the requests");
    rule(mesh, FAULTS).await?;
    t.eventually("the rule is in effect", WITHIN, async || {
        let answer = mesh.fetch(&format!("{ECHO}/never")).await?;
        ensure!(answer["status"] == 418, "{answer}");
        Ok(())
    })
    .await?;
    let late = mesh.fetch_all(&format!("--count 20 --at-once {ECHO}/late")).await?;
    late.all_by("v1")?;
    ensure!(late.slower_than(1000) == 20, "only {} of 20 were delayed", late.slower_than(1000));
    let flags = access_log::lines(t, &mesh.name, "client", "/late ", 20).await?;
    ensure!(flags.iter().all(|line| line.flags == "DI"), "{flags:#?}");

    // Half of 400 is 200, give or take 50 in five million runs of six.
    let late = mesh.fetch_all(&format!("--count 400 --at-once {ECHO}/half-late")).await?;
    late.all_by("v1")?;
    t.step(format!("{} of 400 requests were delayed", late.slower_than(1000)));
    ensure!((150..=250).contains(&late.slower_than(1000)), "that isn't half of them");
    let aborted = mesh.fetch_all(&format!("--count 400 {ECHO}/half-never")).await?.statuses();
    t.step(format!("{aborted:?} where half is aborted"));
    let refused = aborted.get(&503).copied().unwrap_or_default();
    ensure!((150..=250).contains(&refused) && aborted.get(&200) == Some(&(400 - refused)), "{aborted:?}");

    t.step("faults: an aborted request never leaves the client's proxy");
    let aborted =
        mesh.fetch_all(&format!("--count 10 -H 'x-echo-keep: aborted' {ECHO}/never-at-all")).await?;
    ensure!(aborted.statuses() == [(418, 10)].into(), "{:?}", aborted.statuses());
    ensure!(mesh.kept("echo-v1", "aborted").await? == 0, "the server saw aborted requests");
    let flags = access_log::lines(t, &mesh.name, "client", "/never-at-all", 10).await?;
    ensure!(flags.iter().all(|line| line.flags == "FI"), "{flags:#?}");
    Ok(())
}

async fn retries(t: &Test, mesh: &Namespace<'_>) -> Result<()> {
    t.step("retries: with one try each, the failing half of the pods shows");
    mesh.answers_from_now_on("deploy/echo-v2", 503).await?;
    rule(mesh, ONE_TRY).await?;
    t.eventually("the rule is in effect", WITHIN, async || {
        let statuses = mesh.fetch_all(&format!("--count 40 {ECHO}/")).await?.statuses();
        let failed = statuses.get(&503).copied().unwrap_or_default();
        ensure!((5..=35).contains(&failed), "{failed} of 40 requests failed");
        Ok(())
    })
    .await?;

    t.step("retries: with more tries nobody notices");
    rule(mesh, TRIES).await?;
    let hidden = async |count: usize| {
        mesh.fetch_all(&format!("--count {count} -H 'x-echo-keep: tries' {ECHO}/")).await?.all_by("v1")
    };
    t.eventually("the rule is in effect", WITHIN, async || hidden(20).await).await?;
    mesh.kept("echo-v2", "tries").await?;
    hidden(200).await?;
    let tried = mesh.kept("echo-v2", "tries").await?;
    t.step(format!("200 requests answered by v1, {tried} of them after v2 had failed"));
    ensure!((50..=150).contains(&tried), "v2 should have got about half of the first tries, not {tried}");
    mesh.answers_from_now_on("deploy/echo-v2", 200).await
}

async fn timeouts(t: &Test, mesh: &Namespace<'_>) -> Result<()> {
    t.step("timeouts: of a request, and of each of three tries");
    rule(mesh, TIMEOUTS).await?;
    let late = format!("'{ECHO}/request?delay=5s'");
    t.eventually("the rule is in effect", WITHIN, async || {
        let answer = mesh.fetch(&late).await?;
        ensure!(answer["status"] == 504, "{answer}");
        Ok(())
    })
    .await?;
    took(&mesh.fetch(&late).await?, 504, 700..1700)?;
    took(&mesh.fetch(&format!("'{ECHO}/request?delay=200ms'")).await?, 200, 200..700)?;
    let tries = format!("-H 'x-echo-keep: late' '{ECHO}/tries?delay=5s'");
    took(&mesh.fetch(&tries).await?, 504, 900..2000)?;
    let kept = mesh.kept("echo-v1", "late").await?;
    ensure!(kept == 3, "v1 got {kept} tries instead of 3");
    let lines = access_log::lines(t, &mesh.name, "client", "/tries", 1).await?;
    ensure!(lines[0].status == "504" && lines[0].flags.contains("UT"), "{}", lines[0].text);
    Ok(())
}

fn took(answer: &serde_json::Value, status: u16, milliseconds: std::ops::Range<u64>) -> Result<()> {
    let taken = answer["milliseconds"].as_u64().unwrap_or_default();
    ensure!(
        answer["status"] == status && milliseconds.contains(&taken),
        "not {status} within {milliseconds:?} ms: {answer}"
    );
    Ok(())
}
