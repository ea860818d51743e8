//! Says what became of a MeshInstall: status, events, metrics.

use crds::mesh::{ComponentStatus, MeshInstallStatus};
use k8s_openapi::{api::core::v1::ObjectReference, jiff::Timestamp};
use kube::{
    Api,
    api::{Patch, PatchParams},
    core::{DynamicObject, Resource, ResourceExt},
    runtime::events::{Event, EventType},
};
use serde_json::json;

use super::{Context, ReconcileError, Result, observe::Found, watch};
use crate::{
    names::FIELD_MANAGER,
    status::{self, Observation, Progress},
};

/// Events have 1024 bytes for a note.
const LONGEST_NOTE: usize = 1000;

/// The report about one look at a MeshInstall.
pub(super) struct Report<'a> {
    ctx: &'a Context,
    object: &'a DynamicObject,
    previous: Option<MeshInstallStatus>,
    version: Option<String>,
    components: Vec<ComponentStatus>,
    last: Option<Progress>,
}

impl<'a> Report<'a> {
    pub(super) fn new(object: &'a DynamicObject, ctx: &'a Context) -> Self {
        let previous: Option<MeshInstallStatus> =
            object.data.get("status").and_then(|status| serde_json::from_value(status.clone()).ok());
        let components = previous.as_ref().map(|status| status.components.clone()).unwrap_or_default();
        Self { ctx, object, previous, version: None, components, last: None }
    }

    /// The version that is being installed.
    pub(super) fn version(&mut self, tag: &str) {
        self.version = Some(tag.to_owned());
    }

    /// State of the components.
    pub(super) fn components(&mut self, found: Found) {
        self.components = found.components;
    }

    /// Components as the last look saw them.
    pub(super) fn previous_components(&self) -> &[ComponentStatus] {
        self.previous.as_ref().map(|status| status.components.as_slice()).unwrap_or_default()
    }

    /// Says that a new spec is being worked on, before anything else is done about it.
    pub(super) async fn seen(&mut self) -> Result<()> {
        if self.is_new() { self.progress(Progress::Seen).await } else { Ok(()) }
    }

    fn is_new(&self) -> bool {
        self.previous.as_ref().and_then(|status| status.observed_generation)
            != self.object.metadata.generation
    }

    /// Writes the status if it says something new, and an event when the MeshInstall took a turn.
    pub(super) async fn progress(&mut self, progress: Progress) -> Result<()> {
        let found = Observation {
            generation: self.object.metadata.generation,
            version: self.version.clone(),
            components: self.components.clone(),
            progress,
        };
        let next = status::of(self.previous.as_ref(), &found, Timestamp::now());
        let turn = status::turn(self.previous.as_ref(), &found.progress);
        self.ctx.metrics.ready(&self.object.name_any(), found.progress.is_ready());
        if self.previous.as_ref() != Some(&next) {
            tracing::info!(mesh_install = self.object.name_any(), "{}", found.progress);
            self.write(&next).await?;
        }
        if let Some((reason, note)) = turn {
            let kind = if found.progress.is_ready() { EventType::Normal } else { EventType::Warning };
            self.event(kind, reason, &note).await;
        }
        self.previous = Some(next);
        self.last = Some(found.progress);
        Ok(())
    }

    async fn write(&self, status: &MeshInstallStatus) -> Result<()> {
        let installs: Api<DynamicObject> = Api::all_with(self.ctx.client.clone(), &watch::resource());
        let resource = watch::resource();
        let patch = json!({ "apiVersion": resource.api_version, "kind": resource.kind, "status": status });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        match installs.patch_status(&self.object.name_any(), &parameters, &Patch::Apply(patch)).await {
            Ok(_) => Ok(()),
            // Deleted meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(ReconcileError::api("writing the status")(error)),
        }
    }

    /// Says that an attempt failed, if that can be said.
    pub(super) async fn failing(&mut self, problem: &str) {
        if let Err(error) = self.progress(Progress::Failing(problem.to_owned())).await {
            tracing::debug!(%error, "reporting a failure");
        }
    }

    /// Tells of settings that will surprise, once per spec.
    pub(super) async fn warn(&self, warnings: &[String]) {
        if self.is_new() && !warnings.is_empty() {
            self.event(EventType::Warning, "Surprise", &warnings.join("; ")).await;
        }
    }

    /// Tells of something. What can't be told is no reason to stop.
    pub(super) async fn event(&self, kind: EventType, reason: &str, note: &str) {
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            note: Some(note.chars().take(LONGEST_NOTE).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let reference: ObjectReference = self.object.object_ref(&watch::resource());
        if let Err(error) = self.ctx.recorder.publish(&event, &reference).await {
            tracing::debug!(%error, reason, "writing an event");
        }
    }

    /// How the look ended, for metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match &self.last {
            Some(Progress::Ready(_)) => "ready",
            Some(Progress::Stalled(..)) => "stalled",
            Some(Progress::Uninstalling(_)) => "uninstalling",
            _ => "waiting",
        }
    }
}
