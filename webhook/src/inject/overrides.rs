//! Containers that a pod brings under our names: settings of its own for the proxy, merged over what is injected.

use k8s_openapi::api::core::v1::{Container, Pod};
use serde::{Deserialize, Serialize};

use super::{
    InjectError, merge,
    names::{self, OVERRIDES, annotations_mut, describe},
    settings::Settings,
};

/// The image name that means "whatever is injected": a container must have an image to be valid.
const AUTO: &str = "auto";

/// What annotation `proxy.istio.io/overrides` remembers, so that a second injection starts from the same.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Overrides {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Container>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<Container>,
}

impl Overrides {
    fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.init_containers.is_empty()
    }
}

/// Takes the containers out of the pod that the overlay will bring.
pub(super) fn take(pod: &mut Pod, overlay: &Pod) -> Overrides {
    let injected: Vec<String> =
        names::all_containers(overlay).map(|container| container.name.clone()).collect();
    let Some(spec) = &mut pod.spec else { return Overrides::default() };
    let ours = |container: &mut Container| injected.contains(&container.name);
    let mut own = Overrides {
        containers: spec.containers.extract_if(.., ours).collect(),
        init_containers: spec.init_containers.iter_mut().flat_map(|list| list.extract_if(.., ours)).collect(),
    };
    own.containers.iter_mut().chain(&mut own.init_containers).for_each(use_injected_image);
    own
}

/// The API server has filled in `imagePullPolicy: Always`, as it does for every image without a tag.
fn use_injected_image(container: &mut Container) {
    if container.image.as_deref() == Some(AUTO) {
        container.image = None;
        container.image_pull_policy.take_if(|policy| policy == "Always");
    }
}

/// Merges them over the injected ones and remembers them.
pub(super) fn apply(pod: &mut Pod, own: Overrides, settings: &Settings<'_>) -> Result<(), InjectError> {
    if own.is_empty() {
        return Ok(());
    }
    let memory = serde_json::to_string(&own).map_err(|error| InjectError::Setting {
        pod: settings.pod.clone(),
        setting: format!("annotation {OVERRIDES}"),
        problem: error.to_string(),
    })?;
    annotations_mut(pod).insert(OVERRIDES.to_owned(), memory);
    if let Some(spec) = &mut pod.spec {
        for container in own.containers.into_iter().chain(own.init_containers) {
            merge::merge_by_name(spec, container);
        }
    }
    Ok(())
}

/// Puts remembered containers back where they were.
pub(super) fn put_back(pod: &mut Pod) -> Result<(), InjectError> {
    let Some(text) = annotations_mut(pod).remove(OVERRIDES) else { return Ok(()) };
    let own: Overrides = serde_json::from_str(&text).map_err(|error| InjectError::Annotation {
        pod: describe(pod),
        annotation: OVERRIDES.to_owned(),
        value: text.clone(),
        problem: format!("was not written by an injector: {error}; remove the annotation"),
    })?;
    if let Some(spec) = &mut pod.spec {
        let missing = |list: &[Container], name: &str| list.iter().all(|container| container.name != name);
        for container in own.containers {
            if missing(&spec.containers, &container.name) {
                spec.containers.push(container);
            }
        }
        for container in own.init_containers {
            if missing(spec.init_containers.as_deref().unwrap_or_default(), &container.name) {
                spec.init_containers.get_or_insert_default().push(container);
            }
        }
    }
    Ok(())
}
