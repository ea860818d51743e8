//! Webhook configurations: who is asked about new pods and changed objects, and how that somebody is recognized.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::object::{Made, objects};
use crate::{Settings, names::REVISION};

const INJECT: &str = "sidecar.istio.io/inject";
const NAMESPACE: &str = "istio-injection";
/// Namespaces of Kubernetes itself, as Istio's injector knows them.
const SYSTEM_NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// Both configurations. `roots` is the bundle (PEM) that the webhook's certificate was seen to be signed by.
pub(super) fn configurations(settings: &Settings, roots: &[u8]) -> Made {
    let mut configurations = vec![injection(settings, roots)];
    if settings.switch("global.configValidation") != Some(false) {
        configurations.push(validation(settings, roots));
    }
    objects(configurations)
}

/// Name of the injector's configuration, as istioctl names it: the namespace is part of it unless it is the usual one.
pub(crate) fn injector_name(settings: &Settings) -> String {
    if settings.namespace == crds::mesh::DEFAULT_NAMESPACE {
        settings.named("istio-sidecar-injector")
    } else {
        settings.named_in_cluster("istio-sidecar-injector")
    }
}

fn injection(settings: &Settings, roots: &[u8]) -> Value {
    let webhook = |prefix: &str, mut namespaces: Vec<Value>, pods: Value| {
        // The injector leaves these alone anyway; not even to ask means that they don't need it to be there.
        namespaces.push(not_in("kubernetes.io/metadata.name", &SYSTEM_NAMESPACES));
        json!({
            "name": format!("{prefix}.sidecar-injector.istio.io"),
            "clientConfig": client(settings, roots, "/inject"),
            "rules": [{
                "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
                "scope": "*",
            }],
            "namespaceSelector": { "matchExpressions": namespaces },
            "objectSelector": { "matchExpressions": pods },
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "reinvocationPolicy": settings.text("sidecarInjectorWebhook.reinvocationPolicy").unwrap_or("Never"),
            "sideEffects": "None",
            "timeoutSeconds": 10,
            "admissionReviewVersions": ["v1"],
        })
    };
    let not_refused = not_in(INJECT, &["false"]);
    let ours = is_in(REVISION, &[&settings.revision]);
    let mut webhooks = vec![
        webhook("rev.namespace", vec![ours.clone(), absent(NAMESPACE)], json!([not_refused])),
        webhook("rev.object", vec![absent(REVISION), absent(NAMESPACE)], json!([not_refused, ours])),
    ];
    if settings.revision == "default" {
        webhooks.push(webhook("namespace", vec![is_in(NAMESPACE, &["enabled"])], json!([not_refused])));
        webhooks.push(webhook(
            "object",
            vec![absent(NAMESPACE), absent(REVISION)],
            json!([is_in(INJECT, &["true"]), absent(REVISION)]),
        ));
        if settings.switch("sidecarInjectorWebhook.enableNamespacesByDefault") == Some(true) {
            webhooks.push(webhook(
                "auto",
                vec![absent(NAMESPACE), absent(REVISION)],
                json!([absent(INJECT), absent(REVISION)]),
            ));
        }
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": injector_name(settings), "labels": { "app": "sidecar-injector" } },
        "webhooks": webhooks,
    })
}

fn validation(settings: &Settings, roots: &[u8]) -> Value {
    // Another revision judges only what is meant for it.
    let (name, selector) = match settings.revision.as_str() {
        "default" => ("validation.istio.io", json!({})),
        revision => {
            ("rev.validation.istio.io", json!({ "matchExpressions": [is_in(REVISION, &[revision])] }))
        }
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {
            "name": settings.named_in_cluster("istio-validator"),
            "labels": { "app": "istiod", "istio": "istiod" },
        },
        // MeshInstalls are judged by the operator itself, which is there before any control plane.
        "webhooks": [{
            "name": name,
            "clientConfig": client(settings, roots, "/validate"),
            "rules": [{
                "operations": ["CREATE", "UPDATE"],
                "apiGroups": [
                    "security.istio.io", "networking.istio.io", "telemetry.istio.io", "extensions.istio.io",
                ],
                "apiVersions": ["*"],
                "resources": ["*"],
                "scope": "*",
            }],
            "objectSelector": selector,
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "sideEffects": "None",
            "timeoutSeconds": 10,
            "admissionReviewVersions": ["v1"],
        }],
    })
}

fn client(settings: &Settings, roots: &[u8], path: &str) -> Value {
    json!({
        "service": {
            "name": settings.named("istiod"), "namespace": settings.namespace, "path": path, "port": 443,
        },
        "caBundle": STANDARD.encode(roots),
    })
}

fn is_in(key: &str, values: &[&str]) -> Value {
    json!({ "key": key, "operator": "In", "values": values })
}

fn not_in(key: &str, values: &[&str]) -> Value {
    json!({ "key": key, "operator": "NotIn", "values": values })
}

fn absent(key: &str) -> Value {
    json!({ "key": key, "operator": "DoesNotExist" })
}
