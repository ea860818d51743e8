//! The control plane: Deployment and Service `istiod`.

use serde_json::{Value, json};

use super::workload::{Target, beside, environment, replicas, schedule};
use super::{Object, Settings, Stage};

/// Everything that runs the control plane.
pub(super) fn objects(settings: &Settings) -> Vec<Object> {
    let (names, options) = (&settings.names, &settings.pilot.k8s);
    let selector = json!({ "app": "istiod", "istio.io/rev": names.revision });
    let name = names.istiod();
    let mut objects = vec![
        Object::new(Stage::ControlPlane, deployment(settings, &selector)),
        Object::new(Stage::ControlPlane, service(settings, &selector)),
    ];
    let target =
        Target { stage: Stage::ControlPlane, name: &name, namespace: &names.namespace, selector: &selector };
    objects.extend(beside(settings, &target, options));
    objects
}

fn deployment(settings: &Settings, selector: &Value) -> Value {
    let (names, options) = (&settings.names, &settings.pilot.k8s);
    let mut labels = settings.labels();
    labels.insert("app".to_owned(), "istiod".to_owned());
    labels.insert("istio".to_owned(), "pilot".to_owned());
    let mut pod_labels = labels.clone();
    pod_labels.insert("sidecar.istio.io/inject".to_owned(), "false".to_owned());
    let mut annotations = json!({
        "prometheus.io/port": "15014", "prometheus.io/scrape": "true", "sidecar.istio.io/inject": "false",
    });
    for (key, value) in &options.pod_annotations {
        annotations[key] = json!(value);
    }
    let mut pod = json!({
        "serviceAccountName": names.istiod(),
        "securityContext": { "runAsNonRoot": true, "runAsUser": 1337, "runAsGroup": 1337, "fsGroup": 1337,
            "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [container(settings)],
    });
    schedule(&mut pod, options);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": names.istiod(), "namespace": names.namespace, "labels": labels },
        "spec": {
            "replicas": replicas(options),
            "selector": { "matchLabels": selector },
            "strategy": options.strategy.as_ref().map_or_else(
                || json!({ "rollingUpdate": { "maxSurge": "100%", "maxUnavailable": "25%" } }),
                |strategy| json!(strategy)),
            "template": { "metadata": { "labels": pod_labels, "annotations": annotations }, "spec": pod },
        },
    })
}

fn container(settings: &Settings) -> Value {
    let (names, options) = (&settings.names, &settings.pilot.k8s);
    let field =
        |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let cluster = settings.values.pointer("/global/multiCluster/clusterName").and_then(Value::as_str);
    let env = vec![
        json!({ "name": "REVISION", "value": names.revision }),
        json!({ "name": "CLUSTER_ID", "value": cluster.filter(|name| !name.is_empty()).unwrap_or("Kubernetes") }),
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
    ];
    let port = |name: &str, port: u16| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
    let resources = options.resources.as_ref().map_or_else(
        || json!({ "requests": { "cpu": "50m", "memory": "128Mi" } }),
        |resources| json!(resources),
    );
    json!({
        "name": "discovery",
        "image": settings.image("pilot"),
        "imagePullPolicy": options.image_pull_policy.map(|policy| json!(policy)),
        "args": ["discovery"],
        "env": environment(env, options),
        "ports": [port("http-debug", 8080), port("grpc-xds", 15010), port("tls-xds", 15012),
                  port("http-monitoring", 15014), port("https-webhooks", 15017)],
        "readinessProbe": { "httpGet": { "path": "/ready", "port": 8080 }, "initialDelaySeconds": 1,
            "periodSeconds": 3, "timeoutSeconds": 5 },
        "resources": resources,
        "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "runAsNonRoot": true, "capabilities": { "drop": ["ALL"] } },
    })
}

fn service(settings: &Settings, selector: &Value) -> Value {
    let names = &settings.names;
    let mut labels = settings.labels();
    labels.insert("app".to_owned(), "istiod".to_owned());
    labels.insert("istio".to_owned(), "pilot".to_owned());
    let options = &settings.pilot.k8s;
    let annotations = (!options.service_annotations.is_empty()).then_some(&options.service_annotations);
    let mut spec = json!({ "selector": selector, "ports": [
        { "name": "grpc-xds", "port": 15010, "protocol": "TCP" },
        { "name": "https-dns", "port": 15012, "protocol": "TCP" },
        { "name": "https-webhook", "port": 443, "targetPort": 15017, "protocol": "TCP" },
        { "name": "http-monitoring", "port": 15014, "protocol": "TCP" },
    ] });
    overlay(&mut spec, json!(options.service));
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": names.istiod(), "namespace": names.namespace, "labels": labels, "annotations": annotations },
        "spec": spec,
    })
}

/// The person's Service fields over ours; their list of ports replaces ours.
pub(super) fn overlay(spec: &mut Value, own: Value) {
    let fields = own.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    for (field, value) in fields {
        spec[field] = value.clone();
    }
}
