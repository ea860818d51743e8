//! Helm values of a component (`values.pilot`, `values.gateways.istio-ingressgateway`) as the settings of its objects.

use crds::mesh::KubernetesOptions;
use serde_json::{Map, Value, json};

use super::SettingsError;

/// Values that have the name and shape of a setting.
const SAME: [(&str, &str); 9] = [
    ("affinity", "affinity"),
    ("nodeSelector", "nodeSelector"),
    ("podAnnotations", "podAnnotations"),
    ("priorityClassName", "priorityClassName"),
    ("replicaCount", "replicaCount"),
    ("resources", "resources"),
    ("serviceAnnotations", "serviceAnnotations"),
    ("tolerations", "tolerations"),
    ("strategy", "strategy"),
];
/// Values of gateways that belong to the Service.
const SERVICE: [&str; 7] = [
    "type",
    "ports",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "externalTrafficPolicy",
    "ipFamilyPolicy",
    "ipFamilies",
];

/// Reads the values of a component.
pub(super) fn options_of(values: &Value, field: &str) -> Result<KubernetesOptions, SettingsError> {
    let mut options = Map::new();
    for (value, setting) in SAME {
        copy(values, value, &mut options, setting);
    }
    let mut service = Map::new();
    for name in SERVICE {
        copy(values, name, &mut service, name);
    }
    if !service.is_empty() {
        options.insert("service".to_owned(), Value::Object(service));
    }
    if let Some(variables) = values.get("env").and_then(Value::as_object).filter(|map| !map.is_empty()) {
        let variable = |(name, value): (&String, &Value)| json!({ "name": name, "value": text(value) });
        options.insert("env".to_owned(), variables.iter().map(variable).collect());
    }
    if values.get("autoscaleEnabled") == Some(&json!(true)) {
        options.insert("hpaSpec".to_owned(), autoscaling(values));
    }
    crds::decode_part(&Value::Object(options)).map_err(|error| match error.problems.into_iter().next() {
        Some(problem) => {
            SettingsError { field: format!("{field}.{}", problem.field), problem: problem.message }
        }
        None => SettingsError { field: field.to_owned(), problem: "can't be read".to_owned() },
    })
}

fn copy(from: &Value, name: &str, to: &mut Map<String, Value>, as_name: &str) {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    if let Some(value) = from.get(name).filter(|value| !empty(value)) {
        to.insert(as_name.to_owned(), value.clone());
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn autoscaling(values: &Value) -> Value {
    let cpu = values.pointer("/cpu/targetAverageUtilization").cloned().unwrap_or(json!(80));
    let mut metrics = vec![utilization("cpu", &cpu)];
    if let Some(memory) = values.pointer("/memory/targetAverageUtilization") {
        metrics.push(utilization("memory", memory));
    }
    json!({
        "minReplicas": values.get("autoscaleMin").cloned().unwrap_or(json!(1)),
        "maxReplicas": values.get("autoscaleMax").cloned().unwrap_or(json!(5)),
        "metrics": metrics,
    })
}

/// A target for the use of a resource, in percent of what is requested.
pub(crate) fn utilization(resource: &str, percent: &Value) -> Value {
    json!({
        "type": "Resource",
        "resource": { "name": resource, "target": { "type": "Utilization", "averageUtilization": percent } },
    })
}

/// Settings over others: what is said replaces what was said before, maps are merged.
pub(super) fn over(base: KubernetesOptions, own: KubernetesOptions) -> KubernetesOptions {
    let mut base = base;
    let mut env = base.env;
    env.retain(|variable| own.env.iter().all(|other| other.name != variable.name));
    env.extend(own.env);
    base.node_selector.extend(own.node_selector);
    base.pod_annotations.extend(own.pod_annotations);
    base.service_annotations.extend(own.service_annotations);
    KubernetesOptions {
        affinity: own.affinity.or(base.affinity),
        env,
        hpa_spec: own.hpa_spec.or(base.hpa_spec),
        image_pull_policy: own.image_pull_policy.or(base.image_pull_policy),
        node_selector: base.node_selector,
        pod_annotations: base.pod_annotations,
        pod_disruption_budget: own.pod_disruption_budget.or(base.pod_disruption_budget),
        priority_class_name: own.priority_class_name.or(base.priority_class_name),
        replica_count: own.replica_count.or(base.replica_count),
        resources: own.resources.or(base.resources),
        service: own.service.or(base.service),
        service_annotations: base.service_annotations,
        strategy: own.strategy.or(base.strategy),
        tolerations: if own.tolerations.is_empty() { base.tolerations } else { own.tolerations },
    }
}
