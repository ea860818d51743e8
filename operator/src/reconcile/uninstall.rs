//! Removes everything that a MeshInstall made, in order, and lets it go.

use std::time::Duration;

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ConfigMap, Secret},
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    core::{DynamicObject, PartialObjectMeta, ResourceExt},
    runtime::{controller::Action, events::EventType},
};
use serde_json::json;

use super::{Context, ReconcileError, Result, cluster::Cluster, report::Report};
use crate::{
    names::{CA_SECRET, FINALIZER, LEASE, OWNER, ROOT_CONFIG_MAP},
    plan::{self, FOREIGN_KINDS, KINDS, ObjectId},
    status::Progress,
};

/// Deployments take as long as their pods take to end.
const AGAIN: Duration = Duration::from_secs(1);

/// One round of an uninstall. It ends when there is nothing left to wait for.
pub(super) async fn uninstall(
    object: &DynamicObject,
    ctx: &Context,
    report: &mut Report<'_>,
) -> Result<Action> {
    let name = object.name_any();
    if object.finalizers().iter().all(|finalizer| finalizer != FINALIZER) {
        ctx.metrics.gone(&name);
        return Ok(Action::await_change());
    }
    let cluster = Cluster::new(&ctx.client, &ctx.metrics);
    let owned = cluster.owned(&name).await?;
    if let Some(step) = plan::next_step(&owned) {
        report.progress(Progress::Uninstalling(format!("removing {}", step.what))).await?;
        for id in &step.objects {
            cluster.delete(id).await?;
        }
        return Ok(Action::requeue(AGAIN));
    }
    remove_leftovers(object, &cluster, report).await?;
    for namespace in owned {
        if let Some(message) = remove_namespace(&cluster, &namespace.id, report).await? {
            report.progress(Progress::Uninstalling(message)).await?;
            return Ok(Action::requeue(AGAIN));
        }
    }
    cluster.release(object).await?;
    ctx.metrics.gone(&name);
    tracing::info!(mesh_install = name, "uninstalled");
    Ok(Action::await_change())
}

/// What the control plane itself made: root certificates in every namespace, its CA, its Lease. Others that need them keep
/// them.
pub(super) async fn remove_leftovers(
    object: &DynamicObject,
    cluster: &Cluster<'_>,
    report: &Report<'_>,
) -> Result<()> {
    let had_control_plane =
        report.previous_components().iter().any(|component| component.name.starts_with("istiod"));
    if !had_control_plane {
        return Ok(());
    }
    let namespace = namespace_of(object);
    let others: Vec<DynamicObject> = cluster
        .mesh_installs()
        .await?
        .into_iter()
        .filter(|other| other.name_any() != object.name_any())
        .collect();
    if !others.iter().any(|other| namespace_of(other) == namespace) {
        let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), namespace);
        let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), namespace);
        gone(secrets.delete(CA_SECRET, &DeleteParams::default()).await, CA_SECRET)?;
        gone(leases.delete(LEASE, &DeleteParams::default()).await, LEASE)?;
    }
    if others.is_empty() { remove_roots(cluster).await } else { Ok(()) }
}

fn namespace_of(object: &DynamicObject) -> &str {
    let namespace = object.data.pointer("/spec/namespace").and_then(serde_json::Value::as_str);
    namespace.unwrap_or(crds::mesh::DEFAULT_NAMESPACE)
}

/// Only those that our control plane wrote: another mesh may use the same name.
async fn remove_roots(cluster: &Cluster<'_>) -> Result<()> {
    let maps: Api<ConfigMap> = Api::all(cluster.client.clone());
    let named = ListParams::default().fields(&format!("metadata.name={ROOT_CONFIG_MAP}"));
    let listed = maps.list_metadata(&named).await;
    for map in listed.map_err(ReconcileError::api(format!("listing ConfigMaps {ROOT_CONFIG_MAP}")))? {
        let ours =
            map.managed_fields().iter().any(|entry| entry.manager.as_deref() == Some("trysail-controlplane"));
        let Some(namespace) = map.namespace().filter(|_| ours) else { continue };
        let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &namespace);
        gone(maps.delete(ROOT_CONFIG_MAP, &DeleteParams::default()).await, ROOT_CONFIG_MAP)?;
    }
    Ok(())
}

fn gone<T>(result: kube::Result<T>, name: &str) -> Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(ReconcileError::api(format!("deleting {name}"))(error)),
    }
}

/// Deletes a namespace that we made, unless somebody else has something in it. Says what it waits for.
async fn remove_namespace(
    cluster: &Cluster<'_>,
    id: &ObjectId,
    report: &Report<'_>,
) -> Result<Option<String>> {
    let Some(namespace) = cluster.namespace(&id.name).await? else { return Ok(None) };
    if namespace.metadata.deletion_timestamp.is_some() {
        return Ok(Some(format!("waiting for Namespace {} to end", id.name)));
    }
    match inhabitant(cluster, &id.name).await? {
        Inhabitant::None => {
            cluster.delete(id).await?;
            Ok(Some(format!("waiting for Namespace {} to end", id.name)))
        }
        Inhabitant::Ending(what) => Ok(Some(format!("waiting for {what} to end"))),
        Inhabitant::Foreign(what) => {
            let note = format!("Namespace {} stays, for it has {what}", id.name);
            report.event(EventType::Normal, "NamespaceKept", &note).await;
            disown(cluster, id).await?;
            Ok(None)
        }
    }
}

/// Who else lives in a namespace.
enum Inhabitant {
    None,
    Ending(String),
    Foreign(String),
}

async fn inhabitant(cluster: &Cluster<'_>, namespace: &str) -> Result<Inhabitant> {
    let mut ending = None;
    for kind in KINDS.iter().chain(FOREIGN_KINDS).filter(|kind| kind.namespaced) {
        let objects = match cluster.api(kind, Some(namespace)).list_metadata(&ListParams::default()).await {
            Ok(objects) => objects,
            // The kind isn't installed.
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            Err(error) => return Err(ReconcileError::api(format!("listing {}", kind.plural))(error)),
        };
        for object in objects.items.iter().filter(|object| !belongs_to_every_namespace(kind.kind, object)) {
            let what = format!("{} {}", kind.kind, object.name_any());
            if object.metadata.deletion_timestamp.is_none() {
                return Ok(Inhabitant::Foreign(what));
            }
            ending = Some(what);
        }
    }
    Ok(ending.map_or(Inhabitant::None, Inhabitant::Ending))
}

fn belongs_to_every_namespace(kind: &str, object: &PartialObjectMeta<DynamicObject>) -> bool {
    match kind {
        "ConfigMap" => ["kube-root-ca.crt", ROOT_CONFIG_MAP].contains(&object.name_any().as_str()),
        "ServiceAccount" => object.name_any() == "default",
        _ => false,
    }
}

/// A namespace that stays is a person's from now on.
async fn disown(cluster: &Cluster<'_>, id: &ObjectId) -> Result<()> {
    let patch = json!({ "metadata": { "labels": { OWNER: null } } });
    let patched = cluster
        .api(id.kind, None)
        .patch_metadata(&id.name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    gone(patched, &id.name)
}
