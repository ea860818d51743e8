//! The demo on a Kubernetes: a cluster and a mesh of ours, and then `trysailctl demo`.

use std::time::Duration;

use anyhow::Result;
use ctl::{
    cluster::Connection,
    demo::{self, Gateway, Mesh, Plan},
    progress::Progress,
};

use crate::{
    cluster::{Cluster, root},
    mesh::{self, CONTROL_NAMESPACE},
    shell,
    test::Test,
};

const NAMESPACE: &str = "bookinfo";

pub(super) async fn up(cluster: Cluster) -> Result<()> {
    let test = Test::new(cluster);
    mesh::ensure(&test).await?;
    let gateway = Gateway::at(&test.gateway().await?.url);
    let cluster = connect(&test.cluster).await?;
    let mesh = Mesh::find(&cluster, CONTROL_NAMESPACE).await?;
    let plan = Plan {
        namespace: NAMESPACE.to_owned(),
        hub: Some(test.cluster.hub.clone()),
        tag: Some(test.cluster.tag.clone()),
        patience: Duration::from_mins(3),
    };
    let mut progress = Progress::start("Bookinfo");
    let mut page = demo::up(&cluster, &mesh, &gateway, &plan, &mut progress).await?;
    page.next = next(&test, &gateway);
    progress.finish(&format!("Bookinfo runs in namespace {NAMESPACE}"));
    println!("\n{page}");
    Ok(())
}

pub(super) async fn down(existing: bool) -> Result<()> {
    if !existing {
        shell::run(&vec![], &format!("{} down", root().join("e2e/cluster/cluster").display()), None).await?;
        println!(
            "The cluster is gone, and the demo with it. Programs stay in the cache: the next one starts in seconds."
        );
        return Ok(());
    }
    let test = Test::new(Cluster::named()?);
    let mut progress = Progress::start("Removing Bookinfo");
    demo::remove(&connect(&test.cluster).await?, NAMESPACE, &mut progress).await?;
    progress.finish("Bookinfo is gone");
    mesh::remove(&test).await?;
    println!("The mesh, its CRDs and Bookinfo are gone.");
    Ok(())
}

/// The cluster as `trysailctl` reaches it.
async fn connect(cluster: &Cluster) -> Result<ctl::cluster::Cluster> {
    let kubeconfig = cluster.kubeconfig().map(Into::into);
    ctl::cluster::Cluster::connect(&Connection { kubeconfig, ..Connection::default() }).await
}

fn next(test: &Test, gateway: &Gateway) -> Vec<String> {
    let mut lines =
        vec![format!("curl -s {}/productpage                   # or open it in a browser", gateway.url)];
    if test.cluster.own {
        lines.push("eval \"$(e2e/cluster/cluster env)\"                          # kubectl and helm for this cluster".to_owned());
    }
    lines.extend([
        "kubectl get mi                                              # the mesh, in a line".to_owned(),
        format!("kubectl -n {NAMESPACE} apply -f samples/bookinfo/header-canary.yaml   # jason alone sees v2"),
        format!("curl -s -H 'end-user: jason' {}/productpage | grep -o 'Reviews served by[^<]*'", gateway.url),
        "cargo run --bin trysailctl -- proxy-status                  # does every proxy have its configuration?".to_owned(),
        "make demo-down".to_owned(),
    ]);
    lines
}
