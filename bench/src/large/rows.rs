//! The rows, with the configuration put in one after the other.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use testkit::{LocalMesh, eventually};
use tokio::time::sleep;

use super::objects;
use crate::load::{process, round};
use crate::pods;
use crate::process::{cpu, private_dirty};
use crate::results::Measurement;

const ROUTES: usize = 1000;
const HOSTS: usize = 10_000;
const CLUSTERS: usize = 1000;
const ROUNDS: usize = 9;
const SECONDS: u32 = 2;
/// An allocator gives memory back after ten seconds.
const DECAY: Duration = Duration::from_secs(12);

const CLIENT: &str = "client-large";
const SERVER: &str = "server-large";
const GATEWAY: &str = "gateway-large";
const PROXY: &str = "istio-proxy";

/// Measures every row.
///
/// # Errors
/// When a pod doesn't start, a request fails, or configuration doesn't arrive.
pub async fn run(mesh: &mut LocalMesh) -> Result<Vec<Measurement>> {
    let nginx = tempfile::Builder::new().prefix("trysail-nginx-").tempdir()?;
    let yaml = [
        pods::service(SERVER),
        pods::pod(SERVER, "none", &pods::nginx(nginx.path())?),
        pods::pod(CLIENT, "trysail", pods::CLIENT),
        pods::gateway(GATEWAY),
    ];
    mesh.apply(&yaml.concat()).await.context("starting the pods")?;
    let mut rows = vec![many_routes(mesh).await?];
    rows.extend(many_hosts(mesh).await?);
    rows.push(many_clusters(mesh).await?);
    Ok(rows)
}

/// The last of many routes beside the first, request by request.
async fn many_routes(mesh: &mut LocalMesh) -> Result<Measurement> {
    mesh.put_all([objects::many_routes(SERVER, ROUTES)])?;
    let client = process(mesh, CLIENT, PROXY)?;
    settled(client).await?;
    let url = |index: usize| format!("http://{SERVER}:8000/r{index}/item");
    let (first, last) = (url(0), url(ROUTES - 1));
    let cost = |url: &str| Ok::<_, anyhow::Error>(round(mesh, CLIENT, &[client], url, SECONDS)?.cpu);
    let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
    for index in 0..=ROUNDS {
        let (one, other) = if index % 2 == 0 {
            let one = cost(&first)?;
            (one, cost(&last)?)
        } else {
            let other = cost(&last)?;
            (cost(&first)?, other)
        };
        // The first round only warms up.
        if index > 0 {
            firsts.push(one);
            lasts.push(other);
        }
    }
    let name = format!("{ROUTES} routes on one host: CPU of a million requests");
    Ok(Measurement::alone(&name, "the last route", "s", &lasts)?
        .against("the first route", &lasts, &firsts)
        .within(1.05))
}

/// Virtual hosts that arrive at a gateway all at once.
async fn many_hosts(mesh: &mut LocalMesh) -> Result<[Measurement; 2]> {
    mesh.put_all([objects::gateway(), objects::virtual_host(0, SERVER)])?;
    let gateway = process(mesh, GATEWAY, PROXY)?;
    answers(mesh, 0).await?;
    settled(gateway).await?;
    sleep(DECAY).await;
    let before = (cpu(gateway)?, private_dirty(gateway)?);
    mesh.put_all((1..HOSTS).map(|index| objects::virtual_host(index, SERVER)))?;
    answers(mesh, HOSTS - 1).await?;
    settled(gateway).await?;
    let spent = cpu(gateway)?.saturating_sub(before.0).as_secs_f64();
    sleep(DECAY).await;
    let memory = private_dirty(gateway)?.saturating_sub(before.1) as f64 / 1e6;
    let name = |figure: &str| format!("{HOSTS} virtual hosts arrive at a gateway: {figure}");
    Ok([
        Measurement::alone(&name("CPU"), "trysail", "s", &[spent])?.within(1.0),
        Measurement::alone(&name("more Private_Dirty"), "trysail", "MB", &[memory])?.within(40.0),
    ])
}

/// One endpoint changes in a sidecar that knows many clusters.
async fn many_clusters(mesh: &mut LocalMesh) -> Result<Measurement> {
    let services = (0..CLUSTERS).map(objects::service);
    mesh.put_all(services.chain((0..CLUSTERS).map(|index| objects::endpoints(index, 0))))?;
    let client = process(mesh, CLIENT, PROXY)?;
    settled(client).await?;
    let mut changes = Vec::new();
    for index in 1..=ROUNDS {
        let before = cpu(client)?;
        let start = Instant::now();
        mesh.put_all([objects::endpoints(index * 100, index)])?;
        let took = settled(client).await?.saturating_sub(before);
        if took.is_zero() {
            bail!("the sidecar did nothing within {:?} of an endpoint's change", start.elapsed());
        }
        changes.push(took.as_secs_f64() * 1000.0);
    }
    let name = format!("one endpoint changes among {CLUSTERS} clusters: CPU of a sidecar");
    Ok(Measurement::alone(&name, "trysail", "ms", &changes)?.within(1.0))
}

/// Waits until the gateway answers for a host.
async fn answers(mesh: &LocalMesh, index: usize) -> Result<()> {
    let url = format!("http://{}:8080/api/item", mesh.pod("default", GATEWAY)?.address());
    let host = objects::host(index);
    eventually(Duration::from_mins(1), async || {
        match testkit::get_with(&url, &[("host", host.as_str())]).await?.status {
            200 => Ok(()),
            status => bail!("{host} at the gateway: {status}"),
        }
    })
    .await
}

/// Waits until a process has come to rest, and returns the CPU that it had used when it did.
async fn settled(id: u32) -> Result<Duration> {
    /// Longer than the control plane merges a burst for.
    const QUIET: Duration = Duration::from_millis(500);
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut before = cpu(id)?;
    loop {
        sleep(QUIET).await;
        let now = cpu(id)?;
        if now.saturating_sub(before) < Duration::from_micros(500) {
            return Ok(now);
        }
        if Instant::now() > deadline {
            bail!("process {id} still works after a minute");
        }
        before = now;
    }
}
