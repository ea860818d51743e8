//! Reading and writing of whatever kind: apply, list what is owned, delete.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    core::{DynamicObject, PartialObjectMeta, ResourceExt},
};
use serde_json::json;

use super::{ReconcileError, Result, watch};
use crate::{
    Metrics,
    names::{COMPONENT, FIELD_MANAGER, FINALIZER, OWNER},
    plan::{KINDS, Kind, ObjectId, Owned, kind_of},
};

/// One cluster.
pub(super) struct Cluster<'a> {
    pub(super) client: &'a Client,
    metrics: &'a Metrics,
}

/// Why objects couldn't be applied.
#[derive(Debug)]
pub(super) enum ApplyError {
    /// Only a person can help.
    Refused { reason: &'static str, message: String },
    /// Another attempt may help.
    Failed(ReconcileError),
}

impl<'a> Cluster<'a> {
    pub(super) fn new(client: &'a Client, metrics: &'a Metrics) -> Self {
        Self { client, metrics }
    }

    /// All objects of a kind, in a namespace or everywhere.
    pub(super) fn api(&self, kind: &Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind.resource()),
            None => Api::all_with(self.client.clone(), &kind.resource()),
        }
    }

    fn installs(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &watch::resource())
    }

    /// Every MeshInstall.
    pub(super) async fn mesh_installs(&self) -> Result<Vec<DynamicObject>> {
        let listed = self.installs().list(&ListParams::default()).await;
        Ok(listed.map_err(ReconcileError::api("listing MeshInstalls"))?.items)
    }

    /// A namespace, if it exists.
    pub(super) async fn namespace(&self, name: &str) -> Result<Option<PartialObjectMeta<DynamicObject>>> {
        let Some(kind) = kind_of("v1", "Namespace") else { return Ok(None) };
        let found = self.api(kind, None).get_metadata_opt(name).await;
        found.map_err(ReconcileError::api(format!("reading Namespace {name}")))
    }

    /// Makes sure that the object stays until everything it made is gone.
    pub(super) async fn hold(&self, object: &DynamicObject) -> Result<()> {
        if object.finalizers().iter().any(|name| name == FINALIZER) {
            return Ok(());
        }
        self.set_finalizers(object, |finalizers| finalizers.push(FINALIZER.to_owned())).await
    }

    /// Lets the object go.
    pub(super) async fn release(&self, object: &DynamicObject) -> Result<()> {
        self.set_finalizers(object, |finalizers| finalizers.retain(|name| name != FINALIZER)).await
    }

    /// The version goes along, so that nobody else's finalizer is lost.
    async fn set_finalizers(
        &self,
        object: &DynamicObject,
        change: impl FnOnce(&mut Vec<String>),
    ) -> Result<()> {
        let mut finalizers = object.finalizers().to_vec();
        change(&mut finalizers);
        let patch = json!({
            "metadata": { "resourceVersion": object.resource_version(), "finalizers": finalizers },
        });
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
        match self.installs().patch_metadata(&object.name_any(), &parameters, &Patch::Merge(patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(ReconcileError::api("setting the finalizer")(error)),
        }
    }

    /// Applies all objects, in their order. `owned` are those that are ours already.
    pub(super) async fn apply(&self, objects: &[DynamicObject], owned: &[Owned]) -> Result<(), ApplyError> {
        for object in objects {
            let Some(id) = ObjectId::of(object) else { continue };
            if owned.iter().all(|known| known.id != id) {
                self.not_somebody_elses(&id).await?;
            }
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            let api = self.api(id.kind, id.namespace.as_deref());
            match api.patch(&id.name, &parameters, &Patch::Apply(object)).await {
                Ok(_) => self.metrics.written("apply", id.kind.kind),
                Err(kube::Error::Api(status)) if status.code == 422 => {
                    let message = format!("{id}: {}", status.message);
                    return Err(ApplyError::Refused { reason: "Refused", message });
                }
                Err(error) => {
                    return Err(ApplyError::Failed(ReconcileError::api(format!("applying {id}"))(error)));
                }
            }
        }
        Ok(())
    }

    /// An object of our name that another MeshInstall, Helm or istioctl made is not ours to change. One that we made and
    /// that lost its label is.
    async fn not_somebody_elses(&self, id: &ObjectId) -> Result<(), ApplyError> {
        let found = self.api(id.kind, id.namespace.as_deref()).get_metadata_opt(&id.name).await;
        match found {
            Ok(None) => Ok(()),
            Ok(Some(found)) if lost_its_label(&found) => Ok(()),
            Ok(Some(_)) => Err(ApplyError::Refused {
                reason: "Conflict",
                message: format!(
                    "{id} exists and does not belong to this MeshInstall; remove it, or choose another namespace or \
                     revision"
                ),
            }),
            Err(error) => Err(ApplyError::Failed(ReconcileError::api(format!("reading {id}"))(error))),
        }
    }

    /// What a MeshInstall owns.
    pub(super) async fn owned(&self, owner: &str) -> Result<Vec<Owned>> {
        let labelled = ListParams::default().labels(&format!("{OWNER}={owner}"));
        let mut owned = Vec::new();
        for kind in KINDS {
            let listed = self.api(kind, None).list_metadata(&labelled).await;
            for object in listed.map_err(ReconcileError::api(format!("listing {}", kind.plural)))? {
                let component = object.labels().get(COMPONENT).cloned().unwrap_or_default();
                let id = ObjectId { kind, namespace: object.namespace(), name: object.name_any() };
                owned.push(Owned { id, component, ending: object.metadata.deletion_timestamp.is_some() });
            }
        }
        Ok(owned)
    }

    /// Deletes an object, and what it made in turn before it. One that is gone already is fine.
    pub(super) async fn delete(&self, id: &ObjectId) -> Result<()> {
        let api = self.api(id.kind, id.namespace.as_deref());
        match api.delete(&id.name, &DeleteParams::foreground()).await {
            Ok(_) => self.metrics.written("delete", id.kind.kind),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(ReconcileError::api(format!("deleting {id}"))(error)),
        }
        Ok(())
    }
}

/// Whether we applied an object that now says of nobody that it is theirs.
fn lost_its_label(found: &PartialObjectMeta<DynamicObject>) -> bool {
    let applied = |entry: &ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply")
    };
    !found.labels().contains_key(OWNER) && found.managed_fields().iter().any(applied)
}
