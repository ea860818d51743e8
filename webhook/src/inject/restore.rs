//! Undoes an earlier injection, so that injecting again starts from what the pod's author wrote.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{
    InjectError, InjectionStatus,
    names::{self, PROXY_CONTAINER, STATUS, annotations_mut},
    overrides, probes, prometheus,
};

/// The pod without what [`InjectionStatus`] says was injected. A pod without status comes back as it is.
pub(super) fn restore(mut pod: Pod) -> Result<Pod, InjectError> {
    let Some(status) = InjectionStatus::read(&pod) else { return Ok(pod) };
    let proxy = names::all_containers(&pod).find(|container| container.name == PROXY_CONTAINER).cloned();
    if let Some(proxy) = proxy {
        if let Some(probers) = variable(&proxy, names::APP_PROBERS) {
            probes::restore(&mut pod, probers);
        }
        prometheus::restore(&mut pod, variable(&proxy, names::PROMETHEUS_ANNOTATIONS));
    }
    if let Some(spec) = &mut pod.spec {
        let listed =
            |names: &Option<Vec<String>>, name: &String| names.iter().flatten().any(|own| own == name);
        spec.containers.retain(|container| !listed(&status.containers, &container.name));
        if let Some(list) = &mut spec.init_containers {
            list.retain(|container| !listed(&status.init_containers, &container.name));
        }
        if let Some(list) = &mut spec.volumes {
            list.retain(|volume| !listed(&status.volumes, &volume.name));
        }
        if let Some(list) = &mut spec.image_pull_secrets {
            list.retain(|secret| !listed(&status.image_pull_secrets, &secret.name));
        }
        spec.init_containers.take_if(|list| list.is_empty());
        spec.volumes.take_if(|list| list.is_empty());
        spec.image_pull_secrets.take_if(|list| list.is_empty());
    }
    annotations_mut(&mut pod).remove(STATUS);
    overrides::put_back(&mut pod)?;
    Ok(pod)
}

fn variable<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    container.env.iter().flatten().find(|variable| variable.name == name)?.value.as_deref()
}
