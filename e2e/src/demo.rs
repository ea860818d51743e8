//! `make demo`: a mesh, Bookinfo and traffic, and then a page of text that shows
//! what happened. `make demo-down` removes all of it.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _};

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
const PAGES: usize = 300;
const UNROUTED: &str = "/inventory";
const WORKLOADS: [&str; 6] = [
    "deploy/details-v1",
    "deploy/ratings-v1",
    "deploy/reviews-v1",
    "deploy/reviews-v2",
    "deploy/reviews-v3",
    "deploy/productpage-v1",
];

/// Where to show it.
#[derive(Args, Debug)]
pub struct Options {
    /// On the cluster that KUBECONFIG names (with HUB, a registry that has the
    /// images) instead of a single node started here
    #[arg(long)]
    existing: bool,
}

/// Installs, sends traffic, prints the page. All of it may be there already.
pub async fn up(options: Options) -> Result<()> {
    let test = Test::new(cluster(options).await?);
    mesh::ensure(&test).await?;
    test.step("Bookinfo in a namespace with the label istio-injection=enabled");
    test.attempt(format!("kubectl create namespace {NAMESPACE}")).await?;
    let shop = Namespace::existing(&test, NAMESPACE);
    shop.kubectl(format!("label namespace {NAMESPACE} istio-injection=enabled --overwrite")).await?;
    shop.apply_files(&[
        "samples/bookinfo/bookinfo.yaml",
        "samples/bookinfo/gateway.yaml",
        "samples/bookinfo/destination-rules.yaml",
        "samples/bookinfo/split-90-10.yaml",
    ])
    .await?;
    shop.rolled_out(&WORKLOADS).await?;
    let gateway = test.gateway().await?;
    test.step(format!("{PAGES} pages from {}/productpage", gateway.url));
    test.eventually("the first page", Duration::from_secs(30), async || {
        let page = gateway.get("/productpage").await?;
        ensure!(page.status == 200 && page.body_text().contains("Reviews served by"), "{}", page.body_text());
        Ok(())
    })
    .await?;
    let split = versions(&gateway).await?;
    let page = page(&test, &shop, &gateway, &split).await?;
    println!("\n{page}");
    Ok(())
}

/// Removes what [`up`] made: the whole node if it was started here.
pub async fn down(options: Options) -> Result<()> {
    if !options.existing {
        shell::run(&vec![], &format!("{} down", root().join("e2e/cluster/cluster").display()), None).await?;
        println!("The cluster is gone. Programs stay in the cache, so that the next demo starts in seconds.");
        return Ok(());
    }
    let test = Test::new(Cluster::named()?);
    test.sh(format!("kubectl delete namespace {NAMESPACE} --ignore-not-found --timeout=120s")).await?;
    mesh::remove(&test).await?;
    println!("The mesh, its CRDs and Bookinfo are gone.");
    Ok(())
}

async fn cluster(options: Options) -> Result<Cluster> {
    if options.existing { Cluster::named() } else { Cluster::started().await }
}

/// Which versions of reviews answered how many pages.
async fn versions(gateway: &Outside) -> Result<BTreeMap<String, usize>> {
    let pages = futures::stream::iter(0..PAGES).map(|_| gateway.get("/productpage")).buffer_unordered(8);
    let mut pages = std::pin::pin!(pages);
    let mut seen = BTreeMap::new();
    while let Some(page) = pages.try_next().await? {
        let text = page.body_text();
        let version = text.split_once("Reviews served by: ").and_then(|(_, rest)| rest.split_once('('));
        let version = version.and_then(|(_, rest)| rest.split_once(')')).context("a page without reviews")?.0;
        *seen.entry(version.to_owned()).or_default() += 1;
    }
    Ok(seen)
}

async fn page(
    test: &Test,
    shop: &Namespace<'_>,
    gateway: &Outside,
    split: &BTreeMap<String, usize>,
) -> Result<String> {
    let mut page = String::from("TRYSAIL DEMO\n\n");
    writeln!(
        page,
        "Bookinfo runs in namespace {NAMESPACE}, every pod with a sidecar (kubectl get pods -n {NAMESPACE}):\n"
    )?;
    indented(&mut page, &shop.kubectl("get pods").await?);

    let samples = samples(shop).await?;
    writeln!(page, "\nWho called whom, with the identities that both ends proved by certificate:\n")?;
    for ((from, to, security), requests) in hops(&samples) {
        writeln!(page, "  {from}\n    -> {to}   {requests} requests, {security}")?;
    }

    writeln!(
        page,
        "\nReviews, split 90/10 between v1 and v3 (samples/bookinfo/split-90-10.yaml), over {PAGES} pages:\n"
    )?;
    for (version, count) in split {
        writeln!(page, "  {version}  {count:4}   {:.1} %", *count as f64 * 100.0 / PAGES as f64)?;
    }

    let unrouted = gateway.get(UNROUTED).await?;
    writeln!(page, "\nA path that no rule names: GET {}{UNROUTED} -> {}", gateway.url, unrouted.status)?;

    writeln!(page, "\nRequest metrics, as Prometheus finds them at port 15020 of each pod:\n")?;
    for line in some_metrics(&samples) {
        writeln!(page, "  {line}")?;
    }
    writeln!(page, "\nTry next:\n")?;
    for line in next(test, gateway) {
        writeln!(page, "  {line}")?;
    }
    Ok(page)
}

fn indented(page: &mut String, text: &str) {
    for line in text.lines() {
        page.push_str("  ");
        page.push_str(line);
        page.push('\n');
    }
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

/// From, to and how it was secured, with the number of requests, as the receivers counted them.
fn hops(samples: &[Sample]) -> BTreeMap<(String, String, String), u64> {
    let mut hops = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.label("reporter") == "destination") {
        let label = |name: &str| sample.label(name).to_owned();
        let hop =
            (label("source_principal"), label("destination_principal"), label("connection_security_policy"));
        *hops.entry(hop).or_default() += sample.value as u64;
    }
    hops
}

fn some_metrics(samples: &[Sample]) -> Vec<String> {
    const SHOWN: [&str; 6] = [
        "reporter",
        "source_workload",
        "destination_workload",
        "destination_service_name",
        "response_code",
        "connection_security_policy",
    ];
    let reviews = samples.iter().filter(|sample| sample.label("destination_service_name") == "reviews");
    reviews
        .take(4)
        .map(|sample| {
            let labels: Vec<_> =
                SHOWN.iter().map(|name| format!("{name}=\"{}\"", sample.label(name))).collect();
            format!("istio_requests_total{{{},...}} {}", labels.join(","), sample.value)
        })
        .collect()
}

fn next(test: &Test, gateway: &Outside) -> Vec<String> {
    let mut lines = vec![format!("open {}/productpage in a browser, or curl it", gateway.url)];
    if test.cluster.own {
        lines.push(
            "eval \"$(e2e/cluster/cluster env)\"           # kubectl and helm for this cluster".to_owned(),
        );
    }
    lines.extend([
        "kubectl get mi                                # the mesh in a line".to_owned(),
        format!("kubectl -n {NAMESPACE} apply -f samples/bookinfo/header-canary.yaml"),
        format!(
            "curl -s -H 'end-user: jason' {}/productpage | grep -o 'Reviews served by[^<]*'",
            gateway.url
        ),
        "cargo run --bin trysailctl -- proxy-status   # is every proxy up to date?".to_owned(),
        "make demo-down".to_owned(),
    ]);
    lines
}
