//! `trysailctl demo`: Bookinfo in the mesh of a person's own cluster, and a page that shows what the mesh did.

use std::time::Duration;

use anyhow::Result;

use crate::cluster::{Cluster, Connection};
use crate::demo::{self, Mesh, Plan, gateway::Found};
use crate::progress::Progress;

/// Runs Bookinfo in the mesh, sends traffic, and shows what happened.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Namespace to make for it
    #[arg(short, long, default_value = "bookinfo")]
    namespace: String,
    /// Registry and path of the image `bookinfo` (default: those of the mesh)
    #[arg(long)]
    hub: Option<String>,
    /// Tag of the image (default: that of the mesh)
    #[arg(long)]
    tag: Option<String>,
    /// How long Bookinfo may take to start, in seconds
    #[arg(long, default_value_t = 180, value_name = "SECONDS")]
    timeout: u64,
    /// Removes the namespace of an earlier demo again
    #[arg(long, conflicts_with_all = ["hub", "tag", "timeout"])]
    remove: bool,
}

/// Runs the command and returns what to print.
///
/// # Errors
/// When there is no mesh or no gateway, the namespace is somebody else's, or Bookinfo doesn't start or answer.
pub async fn run(arguments: Arguments, connection: &Connection) -> Result<String> {
    let Arguments { namespace, hub, tag, timeout, remove } = arguments;
    let cluster = Cluster::connect(connection).await?;
    if remove {
        let mut progress = Progress::start(&format!("Looking for namespace {namespace}"));
        let was_there = demo::remove(&cluster, &namespace, &mut progress).await?;
        let gone = if was_there { "is removed" } else { "is not there" };
        progress.finish(&format!("Namespace {namespace} {gone}; the mesh stays"));
        return Ok(String::new());
    }
    let mut progress = Progress::start(&format!("Looking for the mesh in {}", connection.istio_namespace));
    let mesh = Mesh::find(&cluster, &connection.istio_namespace).await?;
    let gateway = Found::look(&cluster, &connection.istio_namespace).await?;
    let plan = Plan { namespace, hub, tag, patience: Duration::from_secs(timeout) };
    let mut page = demo::up(&cluster, &mesh, &gateway.client(&cluster), &plan, &mut progress).await?;
    page.next = next(&gateway, &plan.namespace);
    progress.finish(&format!("Bookinfo runs in namespace {}", plan.namespace));
    Ok(format!("\n{page}"))
}

/// Commands to try; where the gateway has no address of its own, the first one makes one.
fn next(gateway: &Found, namespace: &str) -> Vec<String> {
    let patch = r#"{"spec":{"http":[{"route":[{"destination":{"host":"reviews","subset":"v2"}}]}]}}"#;
    let mut lines = vec![];
    if gateway.balanced.is_none() {
        let Found { namespace, service, .. } = gateway;
        lines.push(format!("kubectl -n {namespace} port-forward service/{service} 8080:80 &"));
    }
    let url = gateway.balanced.as_deref().unwrap_or("http://localhost:8080");
    lines.extend([
        format!("curl -s {url}/productpage | grep -o 'Reviews served by[^<]*'     # or open it in a browser"),
        format!(
            "kubectl -n {namespace} patch virtualservice reviews --type=merge -p '{patch}'     # all see v2"
        ),
        "trysailctl proxy-status     # does every proxy have its configuration?".to_owned(),
        format!("trysailctl proxy-config route deploy/productpage-v1 -n {namespace} --name 9080"),
        format!("trysailctl demo --remove --namespace {namespace}"),
    ]);
    lines
}
