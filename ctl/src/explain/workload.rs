//! Workloads of manifests: the pod that a Deployment would make.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Kinds that make pods from a template at `/spec/template`.
const TEMPLATED: [&str; 5] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"];

/// The label by which proxies know that a peer takes mutual TLS; the injector sets it.
const TLS_MODE: &str = "security.istio.io/tlsMode";

/// Which namespaces of the manifests get sidecars. Manifests that don't show the namespace are taken to be of the mesh.
#[derive(Debug, Default)]
pub(super) struct Injected {
    shown: BTreeSet<String>,
    on: BTreeSet<String>,
}

impl Injected {
    /// Takes note of a Namespace.
    pub(super) fn note(&mut self, object: &Value) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        if object["kind"] != "Namespace" {
            return;
        }
        let Some(name) = text("/metadata/name") else { return };
        let on = text("/metadata/labels/istio-injection").as_deref() == Some("enabled")
            || text("/metadata/labels/istio.io~1rev").is_some();
        if on {
            self.on.insert(name.clone());
        }
        self.shown.insert(name);
    }

    fn covers(&self, namespace: &str, template: &Value) -> bool {
        let key = "/metadata/labels/sidecar.istio.io~1inject";
        match template.pointer(key).and_then(Value::as_str) {
            Some(said) => said == "true",
            None => self.on.contains(namespace) || !self.shown.contains(namespace),
        }
    }
}

/// The pod of a workload; `None` for other objects.
pub(super) fn pod(object: &Value, injected: &Injected) -> Option<Value> {
    let kind = object["kind"].as_str().filter(|kind| TEMPLATED.contains(kind))?;
    let (name, namespace) = (object["metadata"]["name"].as_str()?, object["metadata"]["namespace"].as_str()?);
    let template = object.pointer("/spec/template")?;
    let mut labels = template.pointer("/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    if injected.covers(namespace, template) && labels.get(TLS_MODE).is_none() {
        labels[TLS_MODE] = "istio".into();
    }
    Some(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": namespace, "labels": labels,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "", "controller": true}],
        },
        "spec": template.get("spec").cloned().unwrap_or_else(|| json!({"containers": []})),
    }))
}
