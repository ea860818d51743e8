//! `make demo`: a mesh, Bookinfo and traffic, and then a page of text that shows
//! what happened. `make demo-down` removes all of it.
//!
//! On a cluster where that is possible, else as the local mesh: the same control
//! plane, injection, proxies and apps as processes, without a Kubernetes. Traffic
//! and page are those of `trysailctl demo`.

mod on_cluster;
mod on_this_machine;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::cluster::Cluster;

pub use on_this_machine::LOCAL;

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
    if options.existing {
        return on_cluster::up(Cluster::named()?).await.map(|()| ExitCode::SUCCESS);
    }
    let obstacle =
        if options.local { Some("you asked for it".to_owned()) } else { on_this_machine::obstacle() };
    let why = match obstacle {
        Some(why) => why,
        None => match Cluster::started().await {
            Ok(cluster) => return on_cluster::up(cluster).await.map(|()| ExitCode::SUCCESS),
            Err(error) => {
                Cluster::remove_half_started().await;
                format!("it could not be started: {error:#}")
            }
        },
    };
    on_this_machine::up(&why).await
}

/// Removes what [`up`] made.
pub async fn down(options: Options) -> Result<ExitCode> {
    on_cluster::down(options.existing).await.map(|()| ExitCode::SUCCESS)
}

/// The demo in namespaces of its own; [`up`] starts this program again for it.
pub fn local() -> ExitCode {
    on_this_machine::inside()
}
