//! Profiles: what is installed, and with which settings, unless a MeshInstall says otherwise.

use crds::mesh::Profile;
use serde_json::{Value, json};

/// What a profile brings.
pub(super) struct Layer {
    pub(super) pilot: bool,
    pub(super) ingress: bool,
    pub(super) egress: bool,
    pub(super) mesh_config: Value,
    pub(super) values: Value,
}

impl Layer {
    pub(super) fn of(profile: Profile) -> Self {
        let plain = |pilot, ingress| Self {
            pilot,
            ingress,
            egress: false,
            mesh_config: Value::Null,
            values: Value::Null,
        };
        match profile {
            Profile::Default | Profile::Unrecognized => plain(true, true),
            Profile::Minimal => plain(true, false),
            Profile::Empty => plain(false, false),
            Profile::Demo => Self {
                egress: true,
                mesh_config: json!({
                    "accessLogFile": "/dev/stdout",
                    "defaultConfig": { "tracing": { "sampling": 100 } },
                }),
                values: json!({ "pilot": { "traceSampling": 100 } }),
                ..plain(true, true)
            },
        }
    }
}

/// Values of all profiles. Names are Istio's; requests for resources are a tenth of Istio's, since that is what is used.
pub(super) fn base_values() -> Value {
    json!({
        "global": {
            "imagePullPolicy": "IfNotPresent",
            "logging": { "level": "default:info" },
            "multiCluster": { "clusterName": "Kubernetes" },
            "proxy": {
                "autoInject": "enabled",
                "clusterDomain": "cluster.local",
                "statusPort": 15020,
                "readinessPeriodSeconds": 15,
                "readinessFailureThreshold": 4,
                "startupProbe": { "enabled": true, "failureThreshold": 600 },
                "resources": resources("10m", "16Mi"),
            },
        },
        "sidecarInjectorWebhook": { "rewriteAppHTTPProbe": true, "reinvocationPolicy": "Never" },
        "pilot": { "resources": { "requests": { "cpu": "50m", "memory": "128Mi" } } },
        "gateways": {
            "istio-ingressgateway": { "resources": resources("20m", "32Mi") },
            "istio-egressgateway": { "resources": resources("20m", "32Mi") },
        },
    })
}

/// Limits are Istio's.
fn resources(cpu: &str, memory: &str) -> Value {
    json!({
        "requests": { "cpu": cpu, "memory": memory },
        "limits": { "cpu": "2", "memory": "1Gi" },
    })
}
