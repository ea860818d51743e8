//! `make demo`: a mesh, Bookinfo and traffic, and then a page of text that shows
//! what happened. `make demo-down` removes all of it.
//!
//! On a cluster where that is possible, else as the local mesh: the same control
//! plane, injection, proxies and apps as processes, without a Kubernetes.

mod on_cluster;
mod on_this_machine;
mod page;

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::outside::Outside;

pub use on_this_machine::LOCAL;

const PAGES: usize = 300;
const UNROUTED: &str = "/inventory";

/// Where to show it.
#[derive(Args, Debug)]
pub struct Options {
    /// On the cluster that KUBECONFIG names (with HUB, a registry that has the
    /// images) instead of a single node started here
    #[arg(long)]
    existing: bool,
    /// The local mesh of processes, even where a cluster could be started
    #[arg(long, conflicts_with = "existing")]
    local: bool,
}

/// Installs, sends traffic, prints the page. All of it may be there already.
pub async fn up(options: Options) -> Result<ExitCode> {
    let obstacle =
        if options.local { Some("you asked for it".to_owned()) } else { on_this_machine::obstacle() };
    match obstacle {
        Some(why) if !options.existing => on_this_machine::up(&why).await,
        _ => on_cluster::up(options.existing).await.map(|()| ExitCode::SUCCESS),
    }
}

/// Removes what [`up`] made.
pub async fn down(options: Options) -> Result<ExitCode> {
    on_cluster::down(options.existing).await.map(|()| ExitCode::SUCCESS)
}

/// The demo in namespaces of its own; [`up`] starts this program again for it.
pub fn local() -> ExitCode {
    on_this_machine::inside()
}

/// Which versions of reviews answered how many of [`PAGES`] pages.
async fn versions(gateway: &Outside) -> Result<BTreeMap<String, usize>> {
    let pages = futures::stream::iter(0..PAGES).map(|_| gateway.get("/productpage")).buffer_unordered(8);
    let mut pages = std::pin::pin!(pages);
    let mut seen = BTreeMap::new();
    while let Some(page) = pages.try_next().await? {
        let text = page.body_text();
        ensure!(page.status == 200, "{} {text}", page.status);
        let version = text.split_once("Reviews served by: ").and_then(|(_, rest)| rest.split_once('('));
        let version = version.and_then(|(_, rest)| rest.split_once(')')).context("a page without reviews")?.0;
        *seen.entry(version.to_owned()).or_default() += 1;
    }
    Ok(seen)
}

/// The first whole page: until then, parts of the mesh may still be starting.
async fn first_page(gateway: &Outside) -> Result<()> {
    let page = gateway.get("/productpage").await?;
    let whole = ["Reviews served by", "Details served by"].iter().all(|part| page.body_text().contains(part));
    ensure!(page.status == 200 && whole, "{} {}", page.status, page.body_text());
    Ok(())
}
