//! Gateways: a Deployment whose pods the webhook fills with the proxy, and a Service in front.

use serde_json::{Value, json};

use super::istiod::overlay;
use super::workload::{Target, beside, environment, replicas, schedule};
use super::{GatewaySettings, Object, Settings, Stage};

/// Everything that runs one gateway.
pub(super) fn objects(settings: &Settings, gateway: &GatewaySettings) -> Vec<Object> {
    let selector = json!(gateway.labels);
    let mut objects = vec![
        Object::new(Stage::Gateway, deployment(settings, gateway, &selector)),
        Object::new(Stage::Gateway, service(settings, gateway, &selector)),
    ];
    let target = Target {
        stage: Stage::Gateway,
        name: &gateway.name,
        namespace: &gateway.namespace,
        selector: &selector,
    };
    objects.extend(beside(settings, &target, &gateway.k8s));
    objects
}

fn deployment(settings: &Settings, gateway: &GatewaySettings, selector: &Value) -> Value {
    let options = &gateway.k8s;
    let mut labels = settings.labels();
    labels.extend(gateway.labels.clone());
    let mut pod_labels = labels.clone();
    // Chosen by its own label, whatever its namespace says.
    pod_labels.insert("sidecar.istio.io/inject".to_owned(), "true".to_owned());
    pod_labels.insert("service.istio.io/canonical-name".to_owned(), gateway.name.clone());
    pod_labels.insert("service.istio.io/canonical-revision".to_owned(), "latest".to_owned());
    let mut annotations = json!({ "inject.istio.io/templates": "gateway" });
    for (key, value) in &options.pod_annotations {
        annotations[key] = json!(value);
    }
    let mut pod = json!({
        "serviceAccountName": gateway.name,
        "containers": [{
            "name": "istio-proxy",
            "image": "auto",
            "imagePullPolicy": options.image_pull_policy.map(|policy| json!(policy)),
            "env": environment(Vec::new(), options),
            "resources": options.resources.as_ref().map_or_else(
                || json!({ "requests": { "cpu": "20m", "memory": "32Mi" } }),
                |resources| json!(resources)),
        }],
    });
    schedule(&mut pod, options);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": gateway.name, "namespace": gateway.namespace, "labels": labels },
        "spec": {
            "replicas": replicas(options),
            "selector": { "matchLabels": selector },
            "strategy": options.strategy.as_ref().map_or_else(
                || json!({ "rollingUpdate": { "maxSurge": "100%", "maxUnavailable": 0 } }),
                |strategy| json!(strategy)),
            "template": { "metadata": { "labels": pod_labels, "annotations": annotations }, "spec": pod },
        },
    })
}

fn service(settings: &Settings, gateway: &GatewaySettings, selector: &Value) -> Value {
    let mut labels = settings.labels();
    labels.extend(gateway.labels.clone());
    let options = &gateway.k8s;
    let annotations = (!options.service_annotations.is_empty()).then_some(&options.service_annotations);
    let mut spec = if gateway.ingress {
        json!({ "type": "LoadBalancer", "selector": selector, "ports": [
            { "name": "status-port", "port": 15021, "targetPort": 15021, "protocol": "TCP" },
            { "name": "http2", "port": 80, "targetPort": 8080, "protocol": "TCP" },
            { "name": "https", "port": 443, "targetPort": 8443, "protocol": "TCP" },
        ] })
    } else {
        json!({ "type": "ClusterIP", "selector": selector, "ports": [
            { "name": "http2", "port": 80, "targetPort": 8080, "protocol": "TCP" },
            { "name": "https", "port": 443, "targetPort": 8443, "protocol": "TCP" },
        ] })
    };
    overlay(&mut spec, json!(options.service));
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": gateway.name, "namespace": gateway.namespace, "labels": labels, "annotations": annotations,
        },
        "spec": spec,
    })
}
