//! The demo: Bookinfo in a namespace of its own, traffic through the ingress gateway, and a page of text that shows what
//! the mesh did with it.
//!
//! `trysailctl demo` and `make demo` run it on a cluster. Where `make demo` makes a mesh of processes instead, it takes
//! the traffic and the page from here.

pub mod bookinfo;
pub mod gateway;
pub mod mesh;
pub mod metrics;
pub mod page;
mod pods;
mod rollout;
mod shop;
pub mod traffic;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;

pub use self::{gateway::Gateway, mesh::Mesh, page::Page, shop::remove};
use crate::cluster::Cluster;
use crate::progress::Progress;

/// Where the demo goes, and what it runs.
#[derive(Debug)]
pub struct Plan {
    /// Its namespace.
    pub namespace: String,
    /// Registry and path of the image `bookinfo`; without it, those of the mesh.
    pub hub: Option<String>,
    /// The image's tag; without it, that of the mesh.
    pub tag: Option<String>,
    /// How long Bookinfo may take to start.
    pub patience: Duration,
}

/// Starts Bookinfo, sends traffic and returns the page, without advice on what to do next. All of it may be there
/// already.
///
/// # Errors
/// When the namespace is somebody else's, an object is refused, a pod doesn't start (the message names it and the
/// reason), or the gateway doesn't answer with Bookinfo's page.
pub async fn up(
    cluster: &Cluster,
    mesh: &Mesh,
    gateway: &Gateway,
    plan: &Plan,
    progress: &mut Progress,
) -> Result<Page> {
    let namespace = &plan.namespace;
    let label = mesh.injection_label();
    progress.say(&format!("Namespace {namespace} with label {}={}", label.0, label.1));
    shop::open(cluster, namespace, label).await?;
    progress.say("Applying Bookinfo");
    let hub = plan.hub.as_deref().unwrap_or(&mesh.hub);
    let tag = plan.tag.as_deref().unwrap_or(&mesh.tag);
    let objects = bookinfo::objects(namespace, hub, tag)?;
    cluster.apply(&objects, false).await.context("applying Bookinfo")?;
    rollout::wait(cluster, namespace, &bookinfo::deployments(&objects), plan.patience, progress).await?;
    let pods = pods::of(cluster, namespace).await?;
    pods::with_sidecar(&pods, label)?;
    progress.say(&format!("{} pages from {}{}", traffic::PAGES, gateway.url, traffic::PATH));
    let seen = traffic::send(gateway).await?;
    ensure!(
        pods.iter().any(|pod| seen.reviewers.contains(&pod.name_any())),
        "the gateway leads to another Bookinfo: an older VirtualService for host * has the path {} too \
         (`kubectl get virtualservices -A` lists them; `--namespace` names the demo's namespace)",
        traffic::PATH,
    );
    let mut samples = Vec::new();
    for pod in &pods {
        let text = cluster.get(pod, 15020, "/stats/prometheus").await.context("asking for metrics")?;
        samples.extend(metrics::requests(&String::from_utf8_lossy(&text)));
    }
    Ok(Page {
        place: format!(
            "Bookinfo runs in namespace {namespace}, every pod with a sidecar (kubectl -n {namespace} get pods):"
        ),
        pods: pods::table(&pods, jiff::Timestamp::now()).to_string(),
        samples,
        seen,
        next: vec![],
    })
}
