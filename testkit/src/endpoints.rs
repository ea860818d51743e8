//! What the endpoint controller would write.
//!
//! In: Services and Pods as JSON. Out: one EndpointSlice for each Service that has a selector.

use serde_json::{Value, json};

/// The EndpointSlices for `services`, given `pods`.
pub(crate) fn slices<'a>(
    services: impl Iterator<Item = &'a Value>,
    pods: impl Iterator<Item = &'a Value>,
) -> Vec<Value> {
    let pods: Vec<_> = pods.collect();
    services.filter_map(|service| slice(service, &pods)).collect()
}

fn slice(service: &Value, pods: &[&Value]) -> Option<Value> {
    let selector = service.pointer("/spec/selector")?.as_object()?;
    let namespace = service.pointer("/metadata/namespace")?;
    let name = service.pointer("/metadata/name")?.as_str()?;
    let selected = pods.iter().filter(|pod| {
        pod.pointer("/metadata/namespace") == Some(namespace)
            && selector.iter().all(|(key, value)| {
                pod.pointer("/metadata/labels").and_then(|labels| labels.get(key)) == Some(value)
            })
    });
    let selected: Vec<_> = selected.collect();
    let endpoints: Vec<_> = selected.iter().filter_map(|pod| endpoint(pod)).collect();
    let ports: Vec<_> = service
        .pointer("/spec/ports")?
        .as_array()?
        .iter()
        .map(|port| slice_port(port, selected.first().copied().copied()))
        .collect();
    Some(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": format!("{name}-local"), "namespace": namespace,
            "labels": { "kubernetes.io/service-name": name },
        },
        "endpoints": endpoints, "ports": ports,
    }))
}

fn endpoint(pod: &Value) -> Option<Value> {
    let address = pod.pointer("/status/podIP")?;
    let ready = pod.pointer("/status/phase").and_then(Value::as_str) == Some("Running");
    Some(json!({
        "addresses": [address],
        "conditions": { "ready": ready, "serving": ready, "terminating": !ready },
        "nodeName": pod.pointer("/spec/nodeName"),
        "targetRef": {
            "kind": "Pod", "name": pod.pointer("/metadata/name"), "namespace": pod.pointer("/metadata/namespace"),
        },
    }))
}

/// A Service port with its target resolved: a number, or the name of a container port.
fn slice_port(port: &Value, pod: Option<&Value>) -> Value {
    let target = match port.get("targetPort") {
        Some(Value::String(name)) => pod.and_then(|pod| named_port(pod, name)),
        Some(number) => Some(number.clone()),
        None => port.get("port").cloned(),
    };
    json!({
        "name": port.get("name").cloned().unwrap_or_else(|| json!("")),
        "port": target,
        "protocol": port.get("protocol").cloned().unwrap_or_else(|| json!("TCP")),
        "appProtocol": port.get("appProtocol"),
    })
}

fn named_port(pod: &Value, name: &str) -> Option<Value> {
    let containers = pod.pointer("/spec/containers")?.as_array()?.iter();
    let mut ports = containers
        .flat_map(|container| container.get("ports").and_then(Value::as_array).into_iter().flatten());
    ports.find(|port| port.get("name").and_then(Value::as_str) == Some(name))?.get("containerPort").cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pods_with_every_label_of_the_selector_are_endpoints() {
        let service = json!({"metadata": {"name": "web", "namespace": "a"},
            "spec": {"selector": {"app": "web", "tier": "x"}, "ports": [{"port": 80, "targetPort": "http"}]}});
        let pod = |name: &str, tier: &str| {
            json!({"metadata": {"name": name, "namespace": "a", "labels": {"app": "web", "tier": tier}},
                "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
                "status": {"podIP": "10.244.1.1", "phase": "Running"}})
        };
        let (first, second) = (pod("one", "x"), pod("two", "y"));
        let made = slices([&service].into_iter(), [&first, &second].into_iter());
        assert_eq!(made.len(), 1);
        assert_eq!(made[0]["endpoints"].as_array().map(Vec::len), Some(1));
        assert_eq!(made[0]["ports"][0]["port"], 8080);
    }
}
