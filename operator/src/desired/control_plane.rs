//! Deployment and Service `istiod`.

use crds::mesh::KubernetesOptions;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::{
    autoscaling, labels,
    object::{Made, object},
    pods,
    service::{OwnPorts, Port, service},
};
use crate::{Settings, SettingsError, names::USER};

const PORTS: [Port; 4] = [
    ("grpc-xds", 15010, 15010),
    ("https-dns", 15012, 15012),
    ("https-webhook", 443, 15017),
    ("http-monitoring", 15014, 15014),
];

/// Deployment, Service, and what scales and protects them.
pub(super) fn objects(settings: &Settings, options: &KubernetesOptions) -> Made {
    let name = settings.named("istiod");
    let metadata = ObjectMeta {
        name: Some(name.clone()),
        namespace: Some(settings.namespace.clone()),
        labels: Some(labels::of_pods(settings)),
        ..Default::default()
    };
    let selector = labels::selector(settings);
    let mut service_metadata = metadata.clone();
    service_metadata.labels.get_or_insert_default().remove("sidecar.istio.io/inject");
    let service = service(service_metadata, selector.clone(), None, &PORTS, OwnPorts::Add, options);
    let mut made = vec![object(service)?, object(deployment(settings, &metadata, options)?)?];
    made.extend(autoscaling::of(&name, &settings.namespace, &selector, options)?);
    Ok(made)
}

fn deployment(
    settings: &Settings,
    metadata: &ObjectMeta,
    options: &KubernetesOptions,
) -> Result<Deployment, SettingsError> {
    let wrong = |error: serde_json::Error| SettingsError {
        field: "spec.components.pilot".to_owned(),
        problem: error.to_string(),
    };
    let mut deployment: Deployment = serde_json::from_value(json!({
        "metadata": metadata,
        "spec": {
            "selector": { "matchLabels": labels::selector(settings) },
            "template": {
                "metadata": {
                    "labels": labels::of_pods(settings),
                    "annotations": {
                        "prometheus.io/port": "15014",
                        "prometheus.io/scrape": "true",
                        "sidecar.istio.io/inject": "false",
                    },
                },
                "spec": {
                    "serviceAccountName": settings.named("istiod"),
                    "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
                    "containers": [container(settings)],
                    "imagePullSecrets": pull_secrets(settings),
                },
            },
        },
    }))
    .map_err(wrong)?;
    pods::tune(&mut deployment, options, settings);
    Ok(deployment)
}

fn container(settings: &Settings) -> Value {
    let field = |path: &str| json!({ "fieldRef": { "apiVersion": "v1", "fieldPath": path } });
    let mut env = vec![
        json!({ "name": "REVISION", "value": settings.revision }),
        json!({ "name": "POD_NAME", "valueFrom": field("metadata.name") }),
        json!({ "name": "POD_NAMESPACE", "valueFrom": field("metadata.namespace") }),
        json!({ "name": "SERVICE_ACCOUNT", "valueFrom": field("spec.serviceAccountName") }),
        json!({
            "name": "CLUSTER_ID",
            "value": settings.text("global.multiCluster.clusterName").unwrap_or("Kubernetes"),
        }),
    ];
    if let Some(sampling) = settings.value("pilot.traceSampling") {
        env.push(json!({ "name": "PILOT_TRACE_SAMPLING", "value": sampling.to_string() }));
    }
    let port = |name: &str, port: i32| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
    json!({
        "name": "discovery",
        "image": image(settings),
        "imagePullPolicy": settings.text("global.imagePullPolicy"),
        "args": arguments(settings),
        "env": env,
        "ports": [
            port("http-debug", 8080), port("grpc-xds", 15010), port("tls-xds", 15012),
            port("https-webhooks", 15017), port("http-monitoring", 15014),
        ],
        "readinessProbe": {
            "httpGet": { "path": "/ready", "port": 8080 },
            "initialDelaySeconds": 1, "periodSeconds": 3, "timeoutSeconds": 5,
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "capabilities": { "drop": ["ALL"] },
        },
    })
}

/// Of another hub, tag or name where the values say so.
fn image(settings: &Settings) -> String {
    let name = settings.text("pilot.image").unwrap_or("pilot");
    if name.contains('/') {
        return name.to_owned();
    }
    let tag =
        settings.value("pilot.tag").map(|tag| tag.as_str().map_or_else(|| tag.to_string(), str::to_owned));
    let tag = tag.filter(|tag| !tag.is_empty()).unwrap_or_else(|| settings.tag.clone());
    format!("{}/{name}:{tag}", settings.text("pilot.hub").unwrap_or(&settings.hub))
}

fn arguments(settings: &Settings) -> Vec<String> {
    let domain = settings.text("global.proxy.clusterDomain").unwrap_or("cluster.local");
    let mut arguments = vec!["discovery".to_owned(), "--domain".to_owned(), domain.to_owned()];
    let more = settings.value("pilot.extraContainerArgs").and_then(Value::as_array);
    arguments.extend(more.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    arguments
}

/// Secrets that images are pulled with.
fn pull_secrets(settings: &Settings) -> Option<Value> {
    let names = settings.value("global.imagePullSecrets")?.as_array()?;
    let secrets: Vec<Value> =
        names.iter().filter_map(Value::as_str).map(|name| json!({ "name": name })).collect();
    (!secrets.is_empty()).then_some(Value::Array(secrets))
}
