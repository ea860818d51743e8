//! `trysailctl uninstall`: deletes the MeshInstall and waits until the operator has taken the mesh apart.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use tokio::time::Instant;

use super::patience;
use crate::cluster::{Cluster, Connection};
use crate::manifests;
use crate::progress::Progress;

/// Removes a mesh. CRDs and your own objects stay.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of the MeshInstall
    #[arg(long, default_value = "default")]
    name: String,
    /// Removes every MeshInstall and then the operator
    #[arg(long)]
    purge: bool,
    /// Asks nothing (nothing is asked; accepted because istioctl has it)
    #[arg(short = 'y', long)]
    skip_confirmation: bool,
    /// How long to wait for the mesh to be gone, as in 90s or 3m; a bare number is of seconds
    #[arg(long, default_value = "3m", value_name = "DURATION", value_parser = patience)]
    timeout: Duration,
}

/// Runs the command and returns what to print.
///
/// # Errors
/// When there is no such MeshInstall, or it is still there after the timeout; the message says what holds it.
pub async fn run(arguments: Arguments, connection: &Connection) -> Result<String> {
    let cluster = Cluster::connect(connection).await?;
    let api = cluster.mesh_installs();
    let names = if arguments.purge {
        let all = api.list(&ListParams::default()).await.context("listing MeshInstalls")?;
        all.iter().map(ResourceExt::name_any).collect()
    } else {
        vec![arguments.name]
    };
    let mut progress = Progress::start("Removing the mesh");
    for name in &names {
        api.delete(name, &DeleteParams::default()).await.with_context(|| format!("MeshInstall {name}"))?;
    }
    let deadline = Instant::now() + arguments.timeout;
    for name in &names {
        while let Some(install) = api.get_opt(name).await? {
            let message = install.data.pointer("/status/conditions/0/message").and_then(|text| text.as_str());
            let message = message.unwrap_or("the operator does not answer; is it running?");
            if Instant::now() > deadline {
                bail!("MeshInstall {name} is still there after {} s: {message}", arguments.timeout.as_secs());
            }
            progress.say(&format!("Removing {name}: {message}"));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
    if arguments.purge {
        progress.say("Removing the operator");
        let mut objects = manifests::operator(&json!({}))?;
        objects.retain(|object| object["kind"] != "CustomResourceDefinition");
        objects.reverse();
        cluster.delete(&objects).await?;
    }
    progress.finish("The mesh is removed; CRDs and your own objects are still there");
    Ok(String::new())
}
