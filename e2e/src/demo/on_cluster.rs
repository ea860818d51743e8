//! The demo on a Kubernetes.

use std::time::Duration;

use anyhow::Result;

use super::{PAGES, UNROUTED, first_page, page::Page, versions};
use crate::{
    cluster::{Cluster, root},
    mesh,
    metrics::{self, Sample},
    namespace::Namespace,
    outside::Outside,
    shell,
    test::Test,
};

const NAMESPACE: &str = "bookinfo";
const WORKLOADS: [&str; 6] = [
    "deploy/details-v1",
    "deploy/ratings-v1",
    "deploy/reviews-v1",
    "deploy/reviews-v2",
    "deploy/reviews-v3",
    "deploy/productpage-v1",
];

pub(super) async fn up(existing: bool) -> Result<()> {
    let cluster = if existing { Cluster::named()? } else { Cluster::started().await? };
    let test = Test::new(cluster);
    mesh::ensure(&test).await?;
    test.step("Bookinfo, in a namespace with the label istio-injection=enabled");
    test.attempt(format!("kubectl create namespace {NAMESPACE}")).await?;
    test.sh(format!("kubectl label namespace {NAMESPACE} istio-injection=enabled --overwrite")).await?;
    let shop = Namespace::existing(&test, NAMESPACE);
    shop.apply_files(&[
        "samples/bookinfo/bookinfo.yaml",
        "samples/bookinfo/gateway.yaml",
        "samples/bookinfo/destination-rules.yaml",
        "samples/bookinfo/split-90-10.yaml",
    ])
    .await?;
    shop.rolled_out(&WORKLOADS).await?;
    let gateway = test.gateway().await?;
    test.eventually("the first whole page", Duration::from_secs(30), async || first_page(&gateway).await)
        .await?;
    test.step(format!("{PAGES} pages from {}/productpage", gateway.url));
    let split = versions(&gateway).await?;
    let page = Page {
        place: format!(
            "Bookinfo runs in namespace {NAMESPACE}, every pod with a sidecar (kubectl -n {NAMESPACE} get pods):"
        ),
        pods: shop.kubectl("get pods").await?,
        samples: samples(&shop).await?,
        split,
        unrouted: (format!("{}{UNROUTED}", gateway.url), gateway.get(UNROUTED).await?.status),
        next: next(&test, &gateway),
    };
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
    test.sh(format!("kubectl delete namespace {NAMESPACE} --ignore-not-found --timeout=120s")).await?;
    mesh::remove(&test).await?;
    println!("The mesh, its CRDs and Bookinfo are gone.");
    Ok(())
}

/// The request counters of every pod of the shop.
async fn samples(shop: &Namespace<'_>) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for pod in shop.pods("app").await? {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}:15020/proxy/stats/prometheus", pod.name());
        let text = shop.kubectl(format!("get --raw {path}")).await?;
        samples.extend(metrics::parse(&text).filter(|sample| sample.name == "istio_requests_total"));
    }
    Ok(samples)
}

fn next(test: &Test, gateway: &Outside) -> Vec<String> {
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
