//! What happens while things change.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use testkit::{Binaries, LocalMesh, LocalPod, eventually};

use crate::bookinfo::{BOOKINFO, SUBSETS};

/// Sends every request for reviews to one subset.
fn all_to(subset: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: reviews}}, \
         spec: {{hosts: [reviews], http: [{{route: [{{destination: {{host: reviews, subset: {subset}}}}}]}}]}}}}"
    )
}

/// Which version of reviews answers productpage's pod, through its sidecar.
fn version(from: &LocalPod) -> Result<String> {
    let echo = Binaries::find()?.path("echo");
    let reply = from.exec(&[&echo.to_string_lossy(), "get", "http://reviews:9080/reviews/0"])?;
    let versions =
        ["v1", "v2", "v3"].into_iter().filter(|version| reply.contains(&format!("reviews-{version}")));
    let versions: Vec<_> = versions.collect();
    ensure!(versions.len() == 1, "cannot tell the version: {reply}");
    Ok(versions.concat())
}

/// From the file's change to the first request that follows it.
pub(crate) async fn rule(mut mesh: LocalMesh) -> Result<()> {
    mesh.apply(BOOKINFO).await?;
    mesh.apply(SUBSETS).await?;
    mesh.apply(&all_to("v1")).await?;
    eventually(Duration::from_secs(5), async || {
        let version = version(mesh.pod("default", "productpage-v1")?)?;
        ensure!(version == "v1", "{version} answers");
        Ok(())
    })
    .await?;
    // The machine is shared: the typical change counts, not the worst, and a quiet moment, not a busy one.
    for _ in 0..5 {
        if median_of_changes(&mut mesh).await? < Duration::from_millis(50) {
            return Ok(());
        }
    }
    bail!("the median of ten changes was never under 50 ms");
}

/// How long the typical one of ten changes takes.
async fn median_of_changes(mesh: &mut LocalMesh) -> Result<Duration> {
    let mut delays = Vec::new();
    for round in 0..10 {
        // An isolated change leaves at once; changes that follow each other within 100 ms are merged.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let wanted = if round % 2 == 0 { "v3" } else { "v1" };
        mesh.apply(&all_to(wanted)).await?;
        let start = Instant::now();
        let client = mesh.pod("default", "productpage-v1")?;
        while version(client)? != wanted {
            ensure!(start.elapsed() < Duration::from_secs(5), "the rule never arrived");
        }
        delays.push(start.elapsed());
    }
    delays.sort();
    println!(
        "        a rule change took {:?} ({:?} to {:?}), the client's own start included",
        delays[5], delays[0], delays[9]
    );
    Ok(delays[5])
}

/// Requests go on without a control plane, and a new rule works once there is one again.
pub(crate) async fn restart(mut mesh: LocalMesh) -> Result<()> {
    mesh.apply(BOOKINFO).await?;
    mesh.apply(SUBSETS).await?;
    mesh.apply(&all_to("v1")).await?;
    // Without the rule, one answer of three comes from v1 too.
    eventually(Duration::from_secs(5), async || {
        for _ in 0..8 {
            ensure!(version(mesh.pod("default", "productpage-v1")?)? == "v1", "not yet");
        }
        Ok(())
    })
    .await?;
    mesh.restart_control_plane().await?;
    ensure!(version(mesh.pod("default", "productpage-v1")?)? == "v1", "the rule was forgotten");
    mesh.apply(&all_to("v2")).await?;
    eventually(Duration::from_secs(10), async || {
        let version = version(mesh.pod("default", "productpage-v1")?)?;
        ensure!(version == "v2", "{version} answers after the control plane's return");
        Ok(())
    })
    .await
}
