//! The row itself: connect the clients, then change one thing at a time and see what it costs.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use testkit::{Binaries, Process, eventually, get};

use super::clients::{Clients, settle};
use super::mesh;
use crate::process::{cpu, private_dirty};
use crate::results::Measurement;

const CLIENTS: usize = 200;
const ROUNDS: usize = 15;
/// Longer than the control plane merges a burst for.
const QUIET: Duration = Duration::from_millis(400);
/// Long enough for the review of all objects that follows an edit.
const AFTER_AN_EDIT: Duration = Duration::from_millis(1600);

/// What one change cost.
struct Change {
    cpu_ms: f64,
    last_ms: f64,
    bytes_each: f64,
}

/// Measures, and returns a row for each figure.
///
/// # Errors
/// When the control plane or a client fails.
pub async fn run(binaries: &Binaries) -> Result<Vec<Measurement>> {
    let folder = tempfile::Builder::new().prefix("trysail-bench-").tempdir()?;
    let config: PathBuf = folder.path().join("config");
    std::fs::create_dir_all(&config)?;
    mesh::write(&config)?;
    let mut command = Command::new(binaries.path("trysail-controlplane"));
    command.arg("discovery").arg("--config-dir").arg(&config);
    command.arg("--ca-dir").arg(folder.path().join("ca")).env("POD_NAMESPACE", "istio-system");
    let server = Process::start("control plane", &mut command, &folder.path().join("log"))?;
    let ready =
        eventually(Duration::from_secs(20), async || match get("http://127.0.0.1:8080/ready").await? {
            reply if reply.status == 200 => Ok(()),
            reply => bail!("/ready: {}", reply.status),
        });
    ready.await.with_context(|| server.output())?;

    let before = (cpu(server.id())?, Instant::now());
    let mut clients = Clients::connect("127.0.0.1:15010", CLIENTS).await?;
    settle(&clients.tally, Duration::from_secs(2), Duration::from_mins(2)).await?;
    let connected_ms = clients.tally.last_after(before.1);
    let connect_cpu = cpu(server.id())?.saturating_sub(before.0).as_secs_f64();
    let connect_bytes = clients.tally.bytes.load(Ordering::Relaxed) as f64 / CLIENTS as f64 / 1024.0;
    println!(
        "{CLIENTS} clients hold {connect_bytes:.0} KB each after {connected_ms:.0} ms and {connect_cpu:.2} s of CPU"
    );

    // One kind after the other: what an edit leaves to be done in quiet moments must not be counted as an endpoint's.
    let mut endpoint = Vec::new();
    for round in 1..=ROUNDS {
        let make = || mesh::change_endpoint(&config, round % mesh::SERVICES, round);
        endpoint.push(change(&server, &mut clients, QUIET, make).await?);
    }
    let mut route = Vec::new();
    for round in 1..=ROUNDS {
        let make = || mesh::change_route(&config, round * 10, round);
        route.push(change(&server, &mut clients, AFTER_AN_EDIT, make).await?);
    }
    let memory = private_dirty(server.id())? as f64 / 1e6;

    let subject = "control plane";
    let mut rows = vec![
        Measurement::alone("200 proxies connect: CPU", subject, "s", &[connect_cpu])?,
        Measurement::alone("200 proxies connected: Private_Dirty", subject, "MB", &[memory])?.within(150.0),
    ];
    for (name, changes, cpu_budget) in
        [("one endpoint changes", endpoint, 5.0), ("one VirtualService edited", route, 50.0)]
    {
        let of = |figure: fn(&Change) -> f64| changes.iter().map(figure).collect::<Vec<_>>();
        rows.push(
            Measurement::alone(&format!("{name}: CPU"), subject, "ms", &of(|change| change.cpu_ms))?
                .within(cpu_budget),
        );
        rows.push(
            Measurement::alone(
                &format!("{name}: last client has it"),
                subject,
                "ms",
                &of(|change| change.last_ms),
            )?
            .within(100.0),
        );
        rows.push(
            Measurement::alone(
                &format!("{name}: sent to each client"),
                subject,
                "bytes",
                &of(|change| change.bytes_each),
            )?
            .within(2048.0),
        );
    }
    Ok(rows)
}

/// Makes one change and waits until every client has it.
async fn change(
    server: &Process,
    clients: &mut Clients,
    quiet: Duration,
    make: impl FnOnce() -> Result<()>,
) -> Result<Change> {
    let tally = clients.tally.clone();
    let (responses, bytes) = (tally.responses.load(Ordering::Relaxed), tally.bytes.load(Ordering::Relaxed));
    let before = cpu(server.id())?;
    let start = Instant::now();
    make()?;
    let arrived = settle(&tally, quiet, Duration::from_secs(30)).await? - responses;
    if let Some(error) = clients.failure() {
        return Err(error.context("a client failed"));
    }
    if arrived < CLIENTS as u64 {
        bail!("only {arrived} of {CLIENTS} clients heard of the change");
    }
    Ok(Change {
        cpu_ms: cpu(server.id())?.saturating_sub(before).as_secs_f64() * 1000.0,
        last_ms: tally.last_after(start),
        bytes_each: (tally.bytes.load(Ordering::Relaxed) - bytes) as f64 / CLIENTS as f64,
    })
}
