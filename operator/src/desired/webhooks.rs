//! The webhook configurations: who is injected, and what is validated.
//!
//! The four rules for injection and their selectors are Istio's: a namespace's revision, a pod's revision, a namespace's
//! `istio-injection`, a pod's `sidecar.istio.io/inject`; the more specific label refuses. Namespaces that Kubernetes
//! itself runs in are never looked at, so that an absent webhook can't stop the cluster.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Object, Settings, Stage};

const REVISION: &str = "istio.io/rev";
const INJECTION: &str = "istio-injection";
const INJECT: &str = "sidecar.istio.io/inject";
const KUBERNETES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// Both configurations, with the root certificate that the webhook was seen to answer with.
pub(super) fn objects(settings: &Settings, root: &str) -> Vec<Object> {
    let bundle = STANDARD.encode(root);
    [injector(settings, &bundle), validator(settings, &bundle)]
        .into_iter()
        .map(|value| Object::new(Stage::Webhook, value))
        .collect()
}

fn is(key: &str, operator: &str, values: &[&str]) -> Value {
    let values = (!values.is_empty()).then_some(values);
    json!({ "key": key, "operator": operator, "values": values })
}

fn injector(settings: &Settings, bundle: &str) -> Value {
    let revision = settings.names.revision.as_str();
    let absent = |key| is(key, "DoesNotExist", &[]);
    let not_refused = is(INJECT, "NotIn", &["false"]);
    let mut rules = vec![
        (
            "rev.namespace",
            vec![is(REVISION, "In", &[revision]), absent(INJECTION)],
            vec![not_refused.clone()],
        ),
        (
            "rev.object",
            vec![absent(REVISION), absent(INJECTION)],
            vec![not_refused.clone(), is(REVISION, "In", &[revision])],
        ),
    ];
    if revision == "default" {
        rules.push(("namespace", vec![is(INJECTION, "In", &["enabled"])], vec![not_refused]));
        rules.push((
            "object",
            vec![absent(INJECTION), absent(REVISION)],
            vec![is(INJECT, "In", &["true"]), absent(REVISION)],
        ));
    }
    let webhooks: Vec<_> = rules
        .into_iter()
        .map(|(name, mut namespaces, objects)| {
            namespaces.push(is("kubernetes.io/metadata.name", "NotIn", &KUBERNETES));
            json!({
                "name": format!("{name}.sidecar-injector.istio.io"),
                "namespaceSelector": { "matchExpressions": namespaces },
                "objectSelector": { "matchExpressions": objects },
                "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "*" }],
                "clientConfig": client(settings, bundle, "/inject"),
                "failurePolicy": "Fail", "reinvocationPolicy": "Never",
                "sideEffects": "None", "timeoutSeconds": 10, "admissionReviewVersions": ["v1"],
                "matchPolicy": "Equivalent",
            })
        })
        .collect();
    configuration(settings, "MutatingWebhookConfiguration", &settings.names.injector(), webhooks)
}

fn validator(settings: &Settings, bundle: &str) -> Value {
    let revision = settings.names.revision.as_str();
    let objects = if revision == "default" {
        json!({})
    } else {
        json!({ "matchExpressions": [is(REVISION, "In", &[revision])] })
    };
    let webhook = |name: &str, groups: &[&str], resources: &[&str], policy: &str, objects: &Value| {
        json!({
            "name": name, "objectSelector": objects, "namespaceSelector": {},
            "rules": [{ "apiGroups": groups, "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": resources, "scope": "*" }],
            "clientConfig": client(settings, bundle, "/validate"),
            "failurePolicy": policy, "matchPolicy": "Equivalent",
            "sideEffects": "None", "timeoutSeconds": 10, "admissionReviewVersions": ["v1"],
        })
    };
    let webhooks = vec![
        webhook(
            "rev.validation.istio.io",
            &["networking.istio.io", "security.istio.io"],
            &["*"],
            "Fail",
            &objects,
        ),
        // A control plane that is down must not keep anybody from mending or deleting its MeshInstall.
        webhook(
            "meshinstall.validation.trysail.dev",
            &["mesh.trysail.dev"],
            &["meshinstalls"],
            "Ignore",
            &json!({}),
        ),
    ];
    configuration(settings, "ValidatingWebhookConfiguration", &settings.names.validator(), webhooks)
}

fn client(settings: &Settings, bundle: &str, path: &str) -> Value {
    json!({
        "service": { "name": settings.names.istiod(), "namespace": settings.names.namespace, "path": path, "port": 443 },
        "caBundle": bundle,
    })
}

fn configuration(settings: &Settings, kind: &str, name: &str, webhooks: Vec<Value>) -> Value {
    let mut labels = settings.labels();
    let app = if kind.starts_with("Mutating") { "sidecar-injector" } else { "istiod" };
    labels.insert("app".to_owned(), app.to_owned());
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
        "metadata": { "name": name, "labels": labels }, "webhooks": webhooks,
    })
}
