//! What `k8s` settings of a component do to its pods, and the objects that go beside a Deployment.

use crds::mesh::KubernetesOptions;
use serde_json::{Map, Value, json};

use super::{Object, Settings, Stage};

/// Who the objects beside a Deployment are for.
pub(super) struct Target<'a> {
    pub(super) stage: Stage,
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    /// Labels of the pods.
    pub(super) selector: &'a Value,
}

/// Scheduling settings, laid over a pod's spec.
pub(super) fn schedule(pod: &mut Value, options: &KubernetesOptions) {
    let set = [
        ("affinity", json!(options.affinity)),
        ("priorityClassName", json!(options.priority_class_name)),
        (
            "nodeSelector",
            if options.node_selector.is_empty() { Value::Null } else { json!(options.node_selector) },
        ),
        (
            "tolerations",
            if options.tolerations.is_empty() { Value::Null } else { json!(options.tolerations) },
        ),
    ];
    for (field, value) in set.into_iter().filter(|(_, value)| !value.is_null()) {
        pod[field] = value;
    }
}

/// How many pods: an autoscaler decides for itself.
pub(super) fn replicas(options: &KubernetesOptions) -> Value {
    if options.hpa_spec.is_some() { Value::Null } else { json!(options.replica_count.unwrap_or(1)) }
}

/// The person's environment over ours, by name.
pub(super) fn environment(own: Vec<Value>, options: &KubernetesOptions) -> Vec<Value> {
    let asked: Vec<_> = options.env.iter().map(|variable| json!(variable)).collect();
    let kept = own.into_iter().filter(|ours| !asked.iter().any(|theirs| theirs["name"] == ours["name"]));
    kept.chain(asked.iter().cloned()).collect()
}

/// A disruption budget where there are at least two pods or one was asked for, and an autoscaler where one was asked for.
pub(super) fn beside(settings: &Settings, target: &Target<'_>, options: &KubernetesOptions) -> Vec<Object> {
    let metadata = json!({ "name": target.name, "namespace": target.namespace, "labels": settings.labels() });
    let mut objects = Vec::new();
    let several = options.replica_count.is_some_and(|count| count > 1);
    let budget = match &options.pod_disruption_budget {
        Some(asked) => Some(json!(asked)),
        None if several => Some(json!({ "minAvailable": 1 })),
        None => None,
    };
    if let Some(mut spec) = budget {
        default_field(&mut spec, "selector", json!({ "matchLabels": target.selector }));
        objects.push(json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec }));
    }
    if let Some(asked) = &options.hpa_spec {
        let mut spec = json!(asked);
        let reference = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": target.name });
        let empty =
            spec.pointer("/scaleTargetRef/name").and_then(Value::as_str).unwrap_or_default().is_empty();
        if empty {
            spec["scaleTargetRef"] = reference;
        }
        objects.push(json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec,
        }));
    }
    objects.into_iter().map(|value| Object::new(target.stage, value)).collect()
}

fn default_field(value: &mut Value, field: &str, default: Value) {
    let map: Option<&mut Map<String, Value>> = value.as_object_mut();
    if let Some(map) = map {
        let present = map.get(field).is_some_and(|value| !value.is_null());
        if !present {
            map.insert(field.to_owned(), default);
        }
    }
}
