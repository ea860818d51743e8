//! `trysailctl uninstall`: deletes MeshInstalls and waits until the operator has taken their meshes apart.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{install, patience};
use crate::cluster::{Cluster, Connection};
use crate::manifests;
use crate::progress::Progress;

/// Removes a mesh. CRDs and your own objects stay.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of the MeshInstall [default: default]
    #[arg(long, conflicts_with_all = ["revision", "files", "purge"])]
    name: Option<String>,
    /// Removes the mesh of this revision; "default" is the one that has none
    #[arg(short, long, conflicts_with = "purge")]
    revision: Option<String>,
    /// Removes the mesh that these files of a MeshInstall installed: of their namespace and revision (- reads standard
    /// input)
    #[arg(short, long = "filename", value_name = "FILE", conflicts_with = "purge")]
    files: Vec<PathBuf>,
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
    let wanted = Wanted::of(&arguments, connection)?;
    let cluster = Cluster::connect(connection).await?;
    let api = cluster.mesh_installs();
    let all = api.list(&ListParams::default()).await.context("listing MeshInstalls")?;
    let names = wanted.among(&all.items)?;
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
    let removed: Vec<_> = names.iter().map(|name| format!("Removed MeshInstall {name}\n")).collect();
    Ok(removed.concat())
}

/// Which MeshInstalls.
#[derive(Debug)]
enum Wanted {
    All,
    Name(String),
    /// Of a revision, which is empty for the default one, and of a namespace where one is told.
    Revision(String, Option<String>),
}

impl Wanted {
    fn of(arguments: &Arguments, connection: &Connection) -> Result<Self> {
        if arguments.purge {
            return Ok(Self::All);
        }
        if arguments.files.is_empty() && arguments.revision.is_none() {
            return Ok(Self::Name(arguments.name.clone().unwrap_or_else(|| "default".to_owned())));
        }
        let spec = install::spec(&arguments.files, connection)?;
        let namespace = (!arguments.files.is_empty()).then(|| namespace_of(&spec));
        let revision = arguments.revision.clone().unwrap_or_else(|| text(&spec, "revision"));
        Ok(Self::Revision(if revision == "default" { String::new() } else { revision }, namespace))
    }

    /// The names of those that it is about.
    fn among(&self, all: &[DynamicObject]) -> Result<Vec<String>> {
        let fits = |install: &&DynamicObject| {
            let spec = install.data.get("spec").unwrap_or(&Value::Null);
            match self {
                Self::All => true,
                Self::Name(name) => install.name_any() == *name,
                Self::Revision(revision, namespace) => {
                    text(spec, "revision") == *revision
                        && namespace.as_ref().is_none_or(|namespace| namespace_of(spec) == *namespace)
                }
            }
        };
        let found: Vec<String> = all.iter().filter(fits).map(ResourceExt::name_any).collect();
        let one_mesh = !matches!(self, Self::All);
        if one_mesh && found.is_empty() {
            bail!("there is no MeshInstall {self}; there {}", there(all));
        }
        if one_mesh && found.len() > 1 {
            bail!("MeshInstalls {} are all {self}; choose one with --name", found.join(", "));
        }
        Ok(found)
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("at all"),
            Self::Name(name) => f.write_str(name),
            Self::Revision(revision, namespace) => {
                let revision = if revision.is_empty() { "default" } else { revision };
                write!(f, "of revision {revision}")?;
                namespace.as_ref().map_or(Ok(()), |namespace| write!(f, " in namespace {namespace}"))
            }
        }
    }
}

fn there(all: &[DynamicObject]) -> String {
    let names: Vec<_> = all.iter().map(ResourceExt::name_any).collect();
    if names.is_empty() { "are none".to_owned() } else { format!("is {}", names.join(", ")) }
}

fn namespace_of(spec: &Value) -> String {
    let namespace = text(spec, "namespace");
    if namespace.is_empty() { "istio-system".to_owned() } else { namespace }
}

fn text(spec: &Value, field: &str) -> String {
    spec.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(name: &str, spec: Value) -> Result<DynamicObject> {
        Ok(serde_json::from_value(json!({
            "apiVersion": "mesh.trysail.dev/v1alpha1", "kind": "MeshInstall",
            "metadata": { "name": name }, "spec": spec,
        }))?)
    }

    #[test]
    fn a_mesh_is_found_by_name_by_revision_and_by_the_file_that_made_it() -> Result<()> {
        let all = [
            install("default", json!({}))?,
            install("next", json!({ "namespace": "istio-system", "revision": "canary" }))?,
            install("other", json!({ "namespace": "second", "revision": "canary" }))?,
        ];
        let revision = |name: &str, namespace: Option<&str>| {
            Wanted::Revision(name.to_owned(), namespace.map(ToOwned::to_owned))
        };
        assert_eq!(Wanted::All.among(&all)?.len(), 3);
        assert_eq!(Wanted::Name("next".to_owned()).among(&all)?, ["next"]);
        assert_eq!(revision("", None).among(&all)?, ["default"]);
        assert_eq!(revision("canary", Some("second")).among(&all)?, ["other"]);
        for (wanted, complaint) in [
            (Wanted::Name("mine".to_owned()), "no MeshInstall mine; there is default, next, other"),
            (revision("old", None), "no MeshInstall of revision old; there is default"),
            (revision("", Some("second")), "no MeshInstall of revision default in namespace second"),
            (revision("canary", None), "next, other are all of revision canary; choose one with --name"),
        ] {
            let message = wanted.among(&all).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains(complaint), "{message}");
        }
        let message = Wanted::Name("default".to_owned()).among(&[]).err().map(|error| error.to_string());
        assert_eq!(message.as_deref(), Some("there is no MeshInstall default; there are none"));
        Ok(())
    }
}
