//! What the control plane may do: as little as its work needs. `docs/rbac.md` says why, rule by rule.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Object, Settings, Stage};

/// Cluster-wide rules, rules in its own namespace, and the Secrets of each namespace with a gateway.
pub(super) fn objects(settings: &Settings) -> Vec<Object> {
    let names = &settings.names;
    let cluster = names.istiod_cluster_role();
    let mut values = vec![
        role(settings, "ClusterRole", None, &cluster, &cluster_rules()),
        binding(settings, "ClusterRole", None, &cluster),
        role(settings, "Role", Some(&names.namespace), &names.istiod(), &own_rules(settings)),
        binding(settings, "Role", Some(&names.namespace), &names.istiod()),
    ];
    let gateways: BTreeSet<&str> = settings.gateways().map(|gateway| gateway.namespace.as_str()).collect();
    for namespace in gateways {
        let name = format!("{}-gateway-secrets", names.istiod());
        values.push(role(
            settings,
            "Role",
            Some(namespace),
            &name,
            &[rule("", &["secrets"], &["get", "list", "watch"])],
        ));
        values.push(binding(settings, "Role", Some(namespace), &name));
    }
    values.into_iter().map(|value| Object::new(Stage::Foundation, value)).collect()
}

const READ: [&str; 3] = ["get", "list", "watch"];

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
}

fn cluster_rules() -> Vec<Value> {
    vec![
        rule("", &["namespaces", "nodes", "pods", "services"], &READ),
        rule("discovery.k8s.io", &["endpointslices"], &READ),
        rule("networking.istio.io", &["*"], &READ),
        rule("security.istio.io", &["*"], &READ),
        rule("authentication.k8s.io", &["tokenreviews"], &["create"]),
        // ConfigMap istio-ca-root-cert in every namespace: RBAC can't restrict creation to a name.
        rule("", &["configmaps"], &["create"]),
        json!({ "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["istio-ca-root-cert"],
            "verbs": ["get", "update", "patch", "delete"] }),
    ]
}

fn own_rules(settings: &Settings) -> Vec<Value> {
    let names = &settings.names;
    vec![
        json!({ "apiGroups": [""], "resources": ["configmaps"], "verbs": READ }),
        // The CA's own key, and a plug-in CA's.
        rule("", &["secrets"], &["create"]),
        json!({ "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["istio-ca-secret", "cacerts"],
            "verbs": ["get", "list", "watch", "update", "patch"] }),
        rule("coordination.k8s.io", &["leases"], &["create"]),
        json!({ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
            "resourceNames": [format!("{}-leader", names.istiod())], "verbs": ["get", "update", "patch"] }),
    ]
}

fn role(settings: &Settings, kind: &str, namespace: Option<&str>, name: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": { "name": name, "namespace": namespace, "labels": settings.labels() },
        "rules": rules,
    })
}

fn binding(settings: &Settings, kind: &str, namespace: Option<&str>, name: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{kind}Binding"),
        "metadata": { "name": name, "namespace": namespace, "labels": settings.labels() },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": settings.names.istiod(), "namespace": settings.names.namespace }],
    })
}
