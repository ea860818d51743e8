//! How many pods there are (HorizontalPodAutoscaler) and how many may be missing (PodDisruptionBudget).

use std::collections::BTreeMap;

use crds::mesh::KubernetesOptions;
use k8s_openapi::api::{
    autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler, MetricSpec},
    policy::v1::PodDisruptionBudget,
};
use k8s_openapi::apimachinery::pkg::{
    apis::meta::v1::{LabelSelector, ObjectMeta},
    util::intstr::IntOrString,
};
use serde_json::json;

use super::{
    object::{Made, objects},
    pods,
};
use crate::settings::utilization;

/// The objects for a Deployment.
pub(super) fn of(
    name: &str,
    namespace: &str,
    selector: &BTreeMap<String, String>,
    options: &KubernetesOptions,
) -> Made {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..Default::default()
    };
    let mut made = objects(autoscaler(name, &metadata, options))?;
    made.extend(objects(budget(&metadata, selector, options))?);
    Ok(made)
}

fn autoscaler(
    name: &str,
    metadata: &ObjectMeta,
    options: &KubernetesOptions,
) -> Option<HorizontalPodAutoscaler> {
    let mut spec = options.hpa_spec.clone()?;
    spec.scale_target_ref = CrossVersionObjectReference {
        api_version: Some("apps/v1".to_owned()),
        kind: "Deployment".to_owned(),
        name: name.to_owned(),
    };
    let least = *spec.min_replicas.get_or_insert(1);
    if spec.max_replicas == 0 {
        spec.max_replicas = least.max(5);
    }
    if spec.metrics.is_none() {
        let cpu = serde_json::from_value::<MetricSpec>(utilization("cpu", &json!(80)));
        spec.metrics = Some(cpu.into_iter().collect());
    }
    Some(HorizontalPodAutoscaler { metadata: metadata.clone(), spec: Some(spec), status: None })
}

/// With a single pod a budget would only keep nodes from being drained.
fn budget(
    metadata: &ObjectMeta,
    selector: &BTreeMap<String, String>,
    options: &KubernetesOptions,
) -> Option<PodDisruptionBudget> {
    let pods = match &options.hpa_spec {
        Some(scaling) => scaling.min_replicas.unwrap_or(1),
        None => pods::replicas(options),
    };
    if options.pod_disruption_budget.is_none() && pods < 2 {
        return None;
    }
    let mut spec = options.pod_disruption_budget.clone().unwrap_or_default();
    if spec.min_available.is_none() && spec.max_unavailable.is_none() {
        spec.min_available = Some(IntOrString::Int(1));
    }
    spec.selector = Some(LabelSelector { match_labels: Some(selector.clone()), ..Default::default() });
    Some(PodDisruptionBudget { metadata: metadata.clone(), spec: Some(spec), status: None })
}
