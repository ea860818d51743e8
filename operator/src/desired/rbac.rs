//! Service accounts and what they may do. Each rule is explained in docs/rbac.md; a test keeps the two together.

use serde_json::{Value, json};

use super::object::{Made, objects};
use crate::{
    Settings,
    names::{CA_SECRET, LEASE, ROOT_CONFIG_MAP},
    settings::Gateway,
};

/// Kinds that the control plane reads.
const NETWORKING: [&str; 6] =
    ["destinationrules", "gateways", "serviceentries", "sidecars", "virtualservices", "workloadentries"];

/// Kinds whose status the control plane writes.
const NETWORKING_STATUSES: [&str; 6] = [
    "destinationrules/status",
    "gateways/status",
    "serviceentries/status",
    "sidecars/status",
    "virtualservices/status",
    "workloadentries/status",
];

/// Of the control plane.
pub(super) fn control_plane(settings: &Settings) -> Made {
    let account = settings.named("istiod");
    let cluster_role = settings.named_in_cluster("istiod-clusterrole");
    let secrets_role = settings.named_in_cluster("istiod-gateway-secrets");
    let namespace = &settings.namespace;
    let mut made = vec![
        service_account(&account, namespace),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": { "name": cluster_role },
            "rules": cluster_rules(),
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": { "name": secrets_role },
            "rules": [rule(&[""], &["secrets"], &["get", "list", "watch"])],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": cluster_role },
            "roleRef": reference("ClusterRole", &cluster_role),
            "subjects": [subject(&account, namespace)],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": { "name": account, "namespace": namespace },
            "rules": own_rules(),
        }),
        binding(&account, namespace, reference("Role", &account), subject(&account, namespace)),
    ];
    // Certificates of gateways: read where the mesh has gateways, and nowhere else.
    let mut namespaces: Vec<_> = settings.gateways.iter().map(|gateway| &gateway.namespace).collect();
    namespaces.sort();
    namespaces.dedup();
    made.extend(namespaces.into_iter().map(|place| {
        let name = settings.named("istiod-gateway-secrets");
        binding(&name, place, reference("ClusterRole", &secrets_role), subject(&account, namespace))
    }));
    objects(made)
}

/// Of a gateway: its own namespace's secrets, by which the control plane knows that it may have them.
pub(super) fn gateway(_: &Settings, gateway: &Gateway) -> Made {
    let (account, role) = (gateway.service_account(), format!("{}-sds", gateway.name));
    objects([
        service_account(&account, &gateway.namespace),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": { "name": role, "namespace": gateway.namespace },
            "rules": [rule(&[""], &["secrets"], &["get", "list", "watch"])],
        }),
        binding(&role, &gateway.namespace, reference("Role", &role), subject(&account, &gateway.namespace)),
    ])
}

fn cluster_rules() -> Value {
    json!([
        // What the mesh is made of.
        rule(&[""], &["namespaces", "nodes", "pods", "services"], &["get", "list", "watch"]),
        rule(&["discovery.k8s.io"], &["endpointslices"], &["get", "list", "watch"]),
        rule(&["networking.istio.io"], &NETWORKING, &["get", "list", "watch"]),
        rule(&["security.istio.io"], &["peerauthentications"], &["get", "list", "watch"]),
        rule(&["networking.k8s.io"], &["ingresses", "ingressclasses"], &["get", "list", "watch"]),
        // What became of an object.
        rule(&["networking.istio.io"], &NETWORKING_STATUSES, &["patch"]),
        rule(&["security.istio.io"], &["peerauthentications/status"], &["patch"]),
        rule(&["networking.k8s.io"], &["ingresses/status"], &["patch"]),
        // Who asks for a certificate, and whether a gateway may have a secret.
        rule(&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
        rule(&["authorization.k8s.io"], &["subjectaccessreviews"], &["create"]),
        // The root certificate in every namespace. A name can't limit who creates.
        rule(&[""], &["configmaps"], &["create"]),
        named(&[""], &["configmaps"], &[ROOT_CONFIG_MAP], &["get", "list", "watch", "patch", "update"]),
    ])
}

/// In the control plane's own namespace.
fn own_rules() -> Value {
    json!([
        rule(&[""], &["configmaps"], &["get", "list", "watch"]),
        // Its own CA, or one that a person put there.
        rule(&[""], &["secrets"], &["create"]),
        named(&[""], &["secrets"], &[CA_SECRET, "cacerts"], &["get", "list", "watch"]),
        named(&[""], &["secrets"], &[CA_SECRET], &["patch", "update"]),
        rule(&["coordination.k8s.io"], &["leases"], &["create"]),
        named(&["coordination.k8s.io"], &["leases"], &[LEASE], &["get", "patch", "update"]),
    ])
}

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({ "apiGroups": groups, "resources": resources, "verbs": verbs })
}

fn named(groups: &[&str], resources: &[&str], names: &[&str], verbs: &[&str]) -> Value {
    json!({ "apiGroups": groups, "resources": resources, "resourceNames": names, "verbs": verbs })
}

fn service_account(name: &str, namespace: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": namespace } })
}

fn binding(name: &str, namespace: &str, role: Value, subject: Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": name, "namespace": namespace },
        "roleRef": role,
        "subjects": [subject],
    })
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name })
}

fn subject(account: &str, namespace: &str) -> Value {
    json!({ "kind": "ServiceAccount", "name": account, "namespace": namespace })
}
