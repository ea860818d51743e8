//! Annotation `sidecar.istio.io/status`: what was injected, for a later injection and for tools such as Kiali.

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::{
    InjectContext,
    names::{STATUS, annotation, annotations_mut},
};

/// What was injected. Istio writes `null` for a list of nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InjectionStatus {
    /// Names of init containers.
    pub init_containers: Option<Vec<String>>,
    /// Names of containers.
    pub containers: Option<Vec<String>>,
    /// Names of volumes.
    pub volumes: Option<Vec<String>>,
    /// Names of secrets that images are pulled with.
    pub image_pull_secrets: Option<Vec<String>>,
    /// Revision of the control plane.
    pub revision: String,
}

impl InjectionStatus {
    /// What an overlay brings.
    pub(super) fn of(overlay: &Pod, revision: &str) -> Self {
        let spec = overlay.spec.as_ref();
        let names = |names: Vec<&String>| {
            let names: Vec<String> = names.into_iter().cloned().collect();
            Some(names).filter(|list| !list.is_empty())
        };
        Self {
            init_containers: names(
                spec.iter().flat_map(|s| s.init_containers.iter().flatten()).map(|c| &c.name).collect(),
            ),
            containers: names(spec.iter().flat_map(|s| &s.containers).map(|c| &c.name).collect()),
            volumes: names(spec.iter().flat_map(|s| s.volumes.iter().flatten()).map(|v| &v.name).collect()),
            image_pull_secrets: names(
                spec.iter().flat_map(|s| s.image_pull_secrets.iter().flatten()).map(|s| &s.name).collect(),
            ),
            revision: revision.to_owned(),
        }
    }

    /// What an injected pod says about itself. A text that isn't ours means that it wasn't injected.
    pub fn read(pod: &Pod) -> Option<Self> {
        serde_json::from_str(annotation(pod, STATUS)?).ok()
    }

    /// Writes the annotation, and those that every injected pod gets.
    pub(super) fn record(&self, pod: &mut Pod, ctx: &InjectContext) {
        let annotations = annotations_mut(pod);
        annotations.insert(STATUS.to_owned(), serde_json::to_string(self).unwrap_or_default());
        annotations.extend(ctx.config.injected_annotations.clone());
    }
}
