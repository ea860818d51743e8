//! wrk in a pod, and what the proxies on the way spent on its requests.

use anyhow::{Context, Result, bail};
use testkit::{LocalMesh, LocalPod};

use crate::process::cpu;

/// One round: seconds of CPU for a million requests, and requests per second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// CPU of all proxies on the way, in seconds for a million requests.
    pub(crate) cpu: f64,
    /// Requests per second.
    pub(crate) rate: f64,
}

/// Loads `url` from `client` for `seconds` over 32 connections, and counts the CPU of the proxies of `pods`.
pub(crate) fn round(mesh: &LocalMesh, client: &str, pods: &[&str], url: &str, seconds: u32) -> Result<Round> {
    let proxies: Vec<u32> = pods.iter().map(|pod| proxy(mesh.pod("default", pod)?)).collect::<Result<_>>()?;
    let spent = || proxies.iter().map(|id| Ok(cpu(*id)?.as_secs_f64())).sum::<Result<f64>>();
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

/// The process id of a pod's proxy.
pub(crate) fn proxy(pod: &LocalPod) -> Result<u32> {
    Ok(pod.process("istio-proxy").context("the pod has no proxy")?.id())
}
