//! `trysailctl verify-install`: what the operator says it runs, checked against what is really there.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::Value;

use crate::cluster::{Cluster, Connection};

/// Checks an installed mesh.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of the MeshInstall
    #[arg(long, default_value = "default")]
    name: String,
}

/// Runs the command and returns what to print: a line for each thing checked.
///
/// # Errors
/// When something is missing or not ready; the message is the whole list.
pub async fn run(arguments: Arguments, connection: &Connection) -> Result<String> {
    check(&Cluster::connect(connection).await?, &arguments.name, connection).await
}

/// The same for the MeshInstall of this name.
pub(super) async fn check(cluster: &Cluster, name: &str, connection: &Connection) -> Result<String> {
    let install = cluster.mesh_installs().get(name).await.with_context(|| format!("MeshInstall {name}"))?;
    let mut report = String::new();
    let mut failures = 0;
    let mut check = |ok: bool, what: &str, message: &str| {
        failures += usize::from(!ok);
        let _ = if ok {
            writeln!(report, "✔ {what}: checked successfully")
        } else {
            writeln!(report, "✘ {what}: {message}")
        };
    };
    let conditions =
        install.data.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    for condition in conditions.filter(|condition| condition["type"] == "Ready") {
        let message = condition["message"].as_str().unwrap_or_default();
        check(condition["status"] == "True", &format!("MeshInstall {name}"), message);
    }
    let components =
        install.data.pointer("/status/components").and_then(Value::as_array).into_iter().flatten();
    for component in components {
        let text = |field: &str| component[field].as_str().unwrap_or_default();
        check(component["ready"] == true, &format!("component {}", text("name")), text("message"));
    }
    let namespace = install
        .data
        .pointer("/spec/namespace")
        .and_then(Value::as_str)
        .unwrap_or(&connection.istio_namespace);
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
    for deployment in deployments.list(&ListParams::default()).await.context("listing Deployments")? {
        let status = deployment.status.clone().unwrap_or_default();
        let (wanted, ready) = (status.replicas.unwrap_or(0), status.ready_replicas.unwrap_or(0));
        let what = format!("Deployment {}.{namespace}", deployment.name_any());
        check(wanted > 0 && ready == wanted, &what, &format!("{ready} of {wanted} replicas are ready"));
    }
    if failures > 0 {
        bail!("{report}{failures} checks failed");
    }
    Ok(report + "✔ the mesh is installed and verified\n")
}
