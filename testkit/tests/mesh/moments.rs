//! What takes time or a change on the way, on our proxy and on a stock Envoy; rows of the table have neither.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use testkit::{LocalMesh, eventually};

/// The data planes, by the name that pods carry.
const PLANES: [&str; 2] = ["trysail", "envoy"];
/// How soon configuration must be there.
const SETTLED: Duration = Duration::from_secs(5);

/// A Service `echo` over servers without sidecars, a rule for it, then a client of each data plane, which meet nothing
/// older than the rule.
async fn prepare(mesh: &mut LocalMesh, versions: &[&str], policy: &str) -> Result<()> {
    mesh.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: echo}, \
         spec: {selector: {app: echo}, ports: [{name: http, port: 80, targetPort: 8080}]}}",
    )
    .await?;
    for version in versions {
        mesh.apply(&server(version)).await?;
    }
    mesh.apply(&format!(
        "{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: echo}}, \
         spec: {{host: echo, trafficPolicy: {policy}}}}}"
    ))
    .await?;
    for plane in PLANES {
        mesh.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {plane}, labels: {{sidecar.istio.io/inject: 'true'}}, \
             annotations: {{testkit.trysail.dev/data-plane: {plane}}}}}, \
             spec: {{containers: [{{name: app, image: echo, command: [sleep, infinity]}}]}}}}"
        ))
        .await?;
    }
    Ok(())
}

fn server(version: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {version}, labels: {{app: echo, sidecar.istio.io/inject: 'false'}}}}, \
         spec: {{containers: [{{name: echo, image: echo, env: [{{name: SERVICE_VERSION, value: {version}}}]}}]}}}}"
    )
}

/// The answers to `echo get` with these arguments, from the client of a data plane.
fn ask(mesh: &LocalMesh, plane: &str, arguments: &[&str]) -> Result<Vec<Value>> {
    let echo = mesh.program("echo");
    let echo = echo.to_string_lossy();
    let command: Vec<&str> = [&*echo, "get"].into_iter().chain(arguments.iter().copied()).collect();
    let out = mesh.pod("default", plane)?.exec(&command).with_context(|| plane.to_owned())?;
    serde_json::Deserializer::from_str(&out).into_iter().map(|answer| Ok(answer?)).collect()
}

fn status(mesh: &LocalMesh, plane: &str, url: &str) -> Result<u64> {
    let answers = ask(mesh, plane, &[url])?;
    answers[0]["status"].as_u64().context("an answer without status")
}

/// A connection whose server has gone without a word is found out by probes, and the request on it ends.
pub(crate) async fn keepalive(mut mesh: LocalMesh) -> Result<()> {
    let policy = "{connectionPool: {tcp: {tcpKeepalive: {time: 2s, interval: 1s, probes: 2}}}}";
    prepare(&mut mesh, &["v1"], policy).await?;
    let mesh = Arc::new(mesh);
    let server = format!("{}:8080", mesh.pod("default", "v1")?.address());
    for plane in PLANES {
        eventually(SETTLED, async || {
            ensure!(status(&mesh, plane, "http://echo/")? == 200, "{plane} does not answer");
            Ok(())
        })
        .await?;
        // The kernel's own time is two hours.
        let sockets = mesh.pod("default", plane)?.exec(&["ss", "-tno", "state", "established"])?;
        let timer = sockets.lines().find(|line| line.contains(&server)).and_then(|line| {
            let (time, _) = line.split_once("timer:(keepalive,")?.1.split_once(',')?;
            time.trim_end_matches("ms").trim_end_matches("sec").parse::<f64>().ok()
        });
        ensure!(timer.is_some(), "{plane} set no timer of seconds on its connection to {server}: {sockets}");
    }
    // One that must not be sent twice: our proxy tries others again when a kept connection ends without an answer.
    let wait = |plane| {
        let mesh = mesh.clone();
        tokio::task::spawn_blocking(move || {
            ask(&mesh, plane, &["-X", "POST", "--timeout", "25s", "http://echo/?delay=60s"])
        })
    };
    let waiting = PLANES.map(wait);
    // The requests have arrived, and were acknowledged.
    tokio::time::sleep(Duration::from_secs(1)).await;
    mesh.pod("default", "v1")?.exec(&["ip", "link", "set", "eth0", "down"])?;
    for (plane, answer) in PLANES.iter().zip(waiting) {
        let answers = answer.await?.with_context(|| format!("{plane} waited on"))?;
        ensure!(answers[0]["status"] == 503, "{plane}: {}", answers[0]);
    }
    Ok(())
}

/// An endpoint that comes later begins with a small share, and ends with an even one.
pub(crate) async fn warm_up(mut mesh: LocalMesh) -> Result<()> {
    let window = Duration::from_secs(6);
    prepare(&mut mesh, &["v1", "v2"], "{loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 6s}}}")
        .await?;
    // Those that were there first have warmed up.
    tokio::time::sleep(window + Duration::from_secs(1)).await;
    mesh.apply(&server("v3")).await?;
    let share = |plane: &str| -> Result<f64> {
        let answers = ask(&mesh, plane, &["--count", "60", "http://echo/"])?;
        let third = answers.iter().filter(|answer| answer["headers"]["x-echo-version"] == "v3").count();
        Ok(third as f64 / answers.len() as f64)
    };
    let mut began = Vec::new();
    for plane in PLANES {
        eventually(SETTLED, async || {
            ensure!(share(plane)? > 0.0, "{plane} does not know the new endpoint");
            Ok(())
        })
        .await?;
        began.push((plane, share(plane)?));
    }
    println!("        the third endpoint's share at first: {began:?}");
    ensure!(began.iter().all(|(_, share)| (0.01..0.26).contains(share)), "{began:?}");
    tokio::time::sleep(window).await;
    for plane in PLANES {
        // The turns that were handed out before are taken first.
        eventually(SETTLED, async || {
            let share = share(plane)?;
            ensure!((0.31..0.36).contains(&share), "{plane}: once warm, {share}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// An endpoint that fails again as soon as it is back stays away for twice as long.
pub(crate) async fn ejections(mut mesh: LocalMesh) -> Result<()> {
    let policy = "{outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 2s, maxEjectionPercent: 100}}";
    prepare(&mut mesh, &["v1"], policy).await?;
    let away = async |plane: &str| -> Result<f64> {
        ensure!(status(&mesh, plane, "http://echo/?status=500")? == 500, "{plane} has ejected it already");
        let start = Instant::now();
        // Envoy makes changes that follow each other known at most once in a second.
        for wanted in [503, 200] {
            eventually(Duration::from_secs(15), async || {
                let found = status(&mesh, plane, "http://echo/")?;
                ensure!(found == wanted, "{plane} answers {found}, not {wanted}");
                Ok(())
            })
            .await?;
        }
        Ok(start.elapsed().as_secs_f64())
    };
    let twice = async |plane: &'static str| -> Result<()> {
        let mut said = Vec::new();
        // The second failure must come before the next turn of the interval, which a busy machine may miss.
        for _ in 0..3 {
            let (first, second) = (away(plane).await?, away(plane).await?);
            println!("        {plane}: away for {first:.1} s, then for {second:.1} s");
            // Endpoints come back at the turn of an interval.
            if (1.9..3.7).contains(&first) && (3.9..5.9).contains(&second) {
                return Ok(());
            }
            said.push((first, second));
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        bail!("{plane}: away for {said:?} s")
    };
    eventually(SETTLED, async || {
        for plane in PLANES {
            ensure!(status(&mesh, plane, "http://echo/")? == 200, "{plane} does not answer");
        }
        Ok(())
    })
    .await?;
    futures::future::try_join_all(PLANES.map(twice)).await?;
    Ok(())
}
