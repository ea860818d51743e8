//! Settings of a component (`components.*.k8s`) applied to its Deployment.

use crds::mesh::KubernetesOptions;
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentStrategy, RollingUpdateDeployment},
    core::v1::{Container, PodSpec},
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::Settings;

/// Applies a component's settings to its Deployment; the first container is the component's.
pub(super) fn tune(deployment: &mut Deployment, options: &KubernetesOptions, settings: &Settings) {
    let Some(spec) = &mut deployment.spec else { return };
    // With autoscaling, the number of pods is not ours to say.
    spec.replicas = if options.hpa_spec.is_some() { None } else { Some(replicas(options)) };
    spec.strategy = Some(options.strategy.clone().unwrap_or_else(surge));
    let template = &mut spec.template;
    if let Some(metadata) = &mut template.metadata {
        metadata.annotations.get_or_insert_default().extend(options.pod_annotations.clone());
    }
    let Some(pod) = &mut template.spec else { return };
    tune_pod(pod, options, settings);
    if let Some(container) = pod.containers.first_mut() {
        tune_container(container, options);
    }
}

/// The number of pods, when it isn't scaled.
pub(super) fn replicas(options: &KubernetesOptions) -> i32 {
    options.replica_count.unwrap_or(1)
}

/// New pods first, then the old ones go: as Istio has it.
fn surge() -> DeploymentStrategy {
    DeploymentStrategy {
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::String("100%".to_owned())),
            max_unavailable: Some(IntOrString::String("25%".to_owned())),
        }),
        type_: Some("RollingUpdate".to_owned()),
    }
}

fn tune_pod(pod: &mut PodSpec, options: &KubernetesOptions, settings: &Settings) {
    pod.affinity.clone_from(&options.affinity);
    pod.node_selector = Some(options.node_selector.clone()).filter(|map| !map.is_empty());
    pod.tolerations = Some(options.tolerations.clone()).filter(|list| !list.is_empty());
    pod.priority_class_name = options
        .priority_class_name
        .clone()
        .or_else(|| settings.text("global.priorityClassName").map(str::to_owned));
}

fn tune_container(container: &mut Container, options: &KubernetesOptions) {
    if let Some(policy) = options.image_pull_policy {
        container.image_pull_policy = Some(policy.as_str().to_owned());
    }
    if options.resources.is_some() {
        container.resources.clone_from(&options.resources);
    }
    let variables = container.env.get_or_insert_default();
    variables.retain(|variable| options.env.iter().all(|own| own.name != variable.name));
    variables.extend(options.env.clone());
}
