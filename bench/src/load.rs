//! wrk in a pod, and what the proxies on the way spent on its requests.

use anyhow::{Context, Result, bail};
use testkit::LocalMesh;

use crate::process::cpu;

/// One round: seconds of CPU for a million requests, and requests per second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// CPU of all that was on the way, in seconds for a million requests.
    pub(crate) cpu: f64,
    /// Requests per second.
    pub(crate) rate: f64,
}

/// Loads `url` from `client` for `seconds` over 32 connections, and counts the CPU of the processes that the
/// requests go through.
pub(crate) fn round(
    mesh: &LocalMesh,
    client: &str,
    through: &[u32],
    url: &str,
    seconds: u32,
) -> Result<Round> {
    let spent = || through.iter().map(|id| Ok(cpu(*id)?.as_secs_f64())).sum::<Result<f64>>();
    let before = spent()?;
    let duration = format!("{seconds}s");
    let output = mesh.pod("default", client)?.exec(&["wrk", "-t1", "-c32", "-d", &duration, url])?;
    let cpu = spent()? - before;
    if output.contains("Non-2xx") || output.contains("Socket errors") {
        bail!("{url} from {client}: not every request was answered with 200: {output}");
    }
    let line = output.lines().find(|line| line.contains("requests in")).context("wrk printed no count")?;
    let requests: f64 = line.split_whitespace().next().context("wrk printed no count")?.parse()?;
    Ok(Round { cpu: cpu / requests * 1e6, rate: requests / f64::from(seconds) })
}

/// The process ids of the proxies of pods.
pub(crate) fn proxies(mesh: &LocalMesh, pods: &[&str]) -> Result<Vec<u32>> {
    pods.iter().map(|pod| process(mesh, pod, "istio-proxy")).collect()
}

/// The process id of a container.
pub(crate) fn process(mesh: &LocalMesh, pod: &str, container: &str) -> Result<u32> {
    let process = mesh.pod("default", pod)?.process(container);
    Ok(process.with_context(|| format!("pod {pod} has no container {container}"))?.id())
}
