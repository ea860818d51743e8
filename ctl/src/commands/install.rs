//! `trysailctl install`: the operator where it is missing, one MeshInstall, and then patience.
//!
//! In: flags and files. Out: an applied MeshInstall that has become Ready, or what stopped it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{patience, read, verify_install};
use crate::cluster::{Cluster, Connection};
use crate::manifests;
use crate::progress::Progress;
use crate::set_flag::set;

/// Installs or changes a mesh.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files with a MeshInstall, merged in order (- reads standard input)
    #[arg(short, long = "filename", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A value of the MeshInstall's spec, as in --set profile=demo or --set meshConfig.accessLogFile=/dev/stdout
    #[arg(short, long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
    /// Revision of the control plane, as in --set revision=NAME
    #[arg(short, long)]
    revision: Option<String>,
    /// Name of the MeshInstall
    #[arg(long, default_value = "default")]
    name: String,
    /// Prints what would be applied, and applies nothing
    #[arg(long)]
    dry_run: bool,
    /// Asks nothing (nothing is asked; accepted because istioctl has it)
    #[arg(short = 'y', long)]
    skip_confirmation: bool,
    /// Leaves the operator and the CRDs alone: only the MeshInstall is applied
    #[arg(long)]
    skip_operator: bool,
    /// Applies a MeshInstall that is judged to be wrong, as when this program is older than the operator, which has the
    /// last word
    #[arg(long)]
    force: bool,
    /// Checks the mesh when it is ready, as verify-install does
    #[arg(long, conflicts_with = "dry_run")]
    verify: bool,
    /// How long to wait for the mesh to be ready, as in 90s or 5m; a bare number is of seconds
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = patience)]
    readiness_timeout: Duration,
}

/// Runs the command and returns what to print.
///
/// # Errors
/// When a file or flag is bad, the API server refuses an object, or the mesh isn't ready in time; the message carries the
/// MeshInstall's own. With `--verify` also when a check fails.
pub async fn run(arguments: Arguments, connection: &Connection) -> Result<String> {
    let install = mesh_install(&arguments, connection)?;
    judge(&install, arguments.force)?;
    let mut objects = if arguments.skip_operator { Vec::new() } else { manifests::operator(&install)? };
    if arguments.dry_run {
        objects.push(install);
        return objects
            .iter()
            .map(|object| Ok(format!("---\n{}", serde_saphyr::to_string(object)?)))
            .collect();
    }
    let cluster = Cluster::connect(connection).await?;
    let mut progress = Progress::start("Applying the operator");
    cluster.apply(&objects, false).await?;
    progress.say("Applying the MeshInstall");
    cluster.apply(&[install], false).await?;
    let limit = arguments.readiness_timeout;
    let version = wait_until_ready(&cluster, &arguments.name, limit, &mut progress).await?;
    progress.finish(&format!("Mesh {} is ready: {version}", arguments.name));
    let checked = if arguments.verify {
        verify_install::check(&cluster, &arguments.name, connection).await?
    } else {
        String::new()
    };
    Ok(checked
        + "Next: kubectl label namespace default istio-injection=enabled, then restart your deployments.\n")
}

/// The MeshInstall that files and flags describe.
fn mesh_install(arguments: &Arguments, connection: &Connection) -> Result<Value> {
    let mut spec = spec(&arguments.files, connection)?;
    for flag in &arguments.sets {
        set(&mut spec, flag)?;
    }
    if let Some(revision) = &arguments.revision {
        spec["revision"] = json!(revision);
    }
    Ok(json!({
        "apiVersion": "mesh.trysail.dev/v1alpha1", "kind": "MeshInstall",
        "metadata": { "name": arguments.name }, "spec": spec,
    }))
}

/// Judges the MeshInstall as the webhook would, which isn't there before the first mesh is. Warnings go to standard error,
/// and with `force` what else would be an error.
fn judge(install: &Value, force: bool) -> Result<()> {
    let verdict = webhook::validate::validate(install, None);
    if !verdict.is_accepted() {
        let refusal = verdict.refusal(install);
        if !force {
            bail!("{refusal} (--force applies it all the same)");
        }
        eprintln!("Warning: {refusal}");
    }
    for warning in verdict.warnings {
        eprintln!("Warning: {warning}");
    }
    Ok(())
}

/// The spec that files describe, laid on each other in order.
pub(super) fn spec(files: &[PathBuf], connection: &Connection) -> Result<Value> {
    let mut spec = json!({ "namespace": connection.istio_namespace });
    for path in files {
        merge(&mut spec, spec_of(path)?);
    }
    Ok(spec)
}

fn spec_of(path: &Path) -> Result<Value> {
    let object: Value = serde_saphyr::from_str(&read(path)?).with_context(|| path.display().to_string())?;
    match object.get("kind").and_then(Value::as_str) {
        Some("MeshInstall" | "IstioOperator") => Ok(object.get("spec").cloned().unwrap_or_default()),
        kind => bail!(
            "{}: expected kind MeshInstall (or an IstioOperator, whose spec has the same shape), found {}",
            path.display(),
            kind.unwrap_or("none")
        ),
    }
}

/// Lays `over` on `base`: maps merge, everything else is replaced.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// Waits for `Ready`, says on the way what the operator says, and returns the installed version.
async fn wait_until_ready(
    cluster: &Cluster,
    name: &str,
    limit: Duration,
    progress: &mut Progress,
) -> Result<String> {
    let deadline = Instant::now() + limit;
    loop {
        let install = cluster.mesh_installs().get(name).await.context("reading the MeshInstall back")?;
        match state(&install) {
            State::Ready => {
                return Ok(install
                    .data
                    .pointer("/status/version")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned());
            }
            State::Stalled(message) => bail!("MeshInstall {name}: {message}"),
            State::Waiting(message) if Instant::now() > deadline => {
                bail!("MeshInstall {name} is not ready after {} s: {message}", limit.as_secs())
            }
            State::Waiting(message) => progress.say(&message),
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[derive(Debug, PartialEq)]
enum State {
    Ready,
    Stalled(String),
    Waiting(String),
}

/// What kstatus makes of the object: an answer about an older generation is no answer.
fn state(install: &DynamicObject) -> State {
    let observed = install.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
    if observed != install.metadata.generation {
        return State::Waiting("Waiting for the operator".to_owned());
    }
    let conditions = install.data.pointer("/status/conditions").and_then(Value::as_array);
    let find = |kind: &str| conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    let message = |condition: &Value| condition["message"].as_str().unwrap_or_default().to_owned();
    if let Some(stalled) = find("Stalled").filter(|condition| condition["status"] == "True") {
        return State::Stalled(message(stalled));
    }
    match find("Ready") {
        Some(ready) if ready["status"] == "True" => State::Ready,
        Some(ready) => State::Waiting(message(ready)),
        None => State::Waiting("Waiting for the operator".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(status: Value) -> Result<DynamicObject> {
        Ok(serde_json::from_value(json!({
            "apiVersion": "mesh.trysail.dev/v1alpha1", "kind": "MeshInstall",
            "metadata": { "name": "default", "generation": 2 }, "status": status,
        }))?)
    }

    #[test]
    fn an_answer_about_an_older_generation_is_not_ready() -> Result<()> {
        let ready = json!([{ "type": "Ready", "status": "True" }]);
        let old = install(json!({ "observedGeneration": 1, "conditions": ready }))?;
        assert!(matches!(state(&old), State::Waiting(_)));
        let current = install(json!({ "observedGeneration": 2, "conditions": ready }))?;
        assert_eq!(state(&current), State::Ready);
        Ok(())
    }

    #[test]
    fn stalled_ends_the_wait_with_its_message() -> Result<()> {
        let conditions = json!([
            { "type": "Ready", "status": "False", "message": "x" },
            { "type": "Stalled", "status": "True", "message": "namespace is taken by mesh other" },
        ]);
        let stalled = install(json!({ "observedGeneration": 2, "conditions": conditions }))?;
        assert_eq!(state(&stalled), State::Stalled("namespace is taken by mesh other".to_owned()));
        Ok(())
    }

    #[test]
    fn a_misspelled_flag_is_refused_before_anything_is_applied() -> Result<()> {
        let install = |flag: &str| -> Result<Value> {
            let mut spec = json!({ "namespace": "istio-system" });
            set(&mut spec, flag)?;
            Ok(json!({
                "apiVersion": "mesh.trysail.dev/v1alpha1", "kind": "MeshInstall",
                "metadata": { "name": "default" }, "spec": spec,
            }))
        };
        judge(&install("profile=demo")?, false)?;
        for (flag, named) in [("profil=demo", "profil"), ("profile=nope", "nope")] {
            let refused = judge(&install(flag)?, false);
            let message = refused.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains(named) && message.contains("--force"), "{flag}: {message}");
            judge(&install(flag)?, true)?;
        }
        Ok(())
    }

    #[test]
    fn later_files_win_field_by_field() {
        let mut base = json!({ "meshConfig": { "accessLogFile": "/dev/stdout", "enableTracing": true } });
        merge(&mut base, json!({ "meshConfig": { "accessLogFile": "" } }));
        assert_eq!(base, json!({ "meshConfig": { "accessLogFile": "", "enableTracing": true } }));
    }
}
