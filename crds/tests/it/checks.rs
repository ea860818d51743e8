//! Unknown fields, and what was probably meant.

use serde_json::{Value, json};

fn unknown(kind: &str, spec: Value) -> Vec<String> {
    let group = if kind == "MeshInstall" { "mesh.trysail.dev/v1alpha1" } else { "networking.istio.io/v1" };
    let object = json!({ "apiVersion": group, "kind": kind, "metadata": {"name": "a"}, "spec": spec });
    crds::check(&object).unwrap().unknown.iter().map(ToString::to_string).collect()
}

#[test]
fn fields_that_guides_misplace_or_misspell_get_the_right_name() {
    let pool = |block: &str, field: &str| json!({"host": "a", "trafficPolicy": {"connectionPool": {block: {field: 1}}}});
    for (kind, spec, hint) in [
        ("VirtualService", json!({"host": "a"}), "unknown field spec.host; did you mean spec.hosts?"),
        (
            "DestinationRule",
            pool("tcp", "maxRetries"),
            "did you mean spec.trafficPolicy.connectionPool.http.maxRetries?",
        ),
        (
            "DestinationRule",
            pool("http", "pendingRequests"),
            "did you mean spec.trafficPolicy.connectionPool.http.http1MaxPendingRequests?",
        ),
        (
            "DestinationRule",
            json!({"host": "a", "trafficPolicy": {"retries": {"attempts": 3}}}),
            "spec.trafficPolicy.retries; retries belong in the VirtualService: spec.http[].retries",
        ),
        (
            "VirtualService",
            json!({"hosts": ["a"], "http": [{"matches": []}]}),
            "unknown field spec.http[0].matches; did you mean spec.http[0].match?",
        ),
        ("MeshInstall", json!({"profil": "demo"}), "unknown field spec.profil; did you mean spec.profile?"),
        (
            "MeshInstall",
            json!({"components": {"pilot": {"replicaCount": 2}}}),
            "did you mean spec.components.pilot.k8s.replicaCount?",
        ),
        (
            "MeshInstall",
            json!({"components": {"ingressGateways": [{"name": "a", "k8s": {"nodeselector": {}}}]}}),
            "spec.components.ingressGateways[0].k8s.nodeselector; did you mean spec.components.ingressGateways[0].k8s.nodeSelector?",
        ),
        (
            "MeshInstall",
            json!({"components": {"ingressGateways": [{"name": "a", "k8s": {"service": {"ports": [{"nodeprt": 1}]}}}]}}),
            "k8s.service.ports[0].nodeprt; did you mean spec.components.ingressGateways[0].k8s.service.ports[0].nodePort?",
        ),
    ] {
        let found = unknown(kind, spec.clone());
        assert!(found.len() == 1 && found[0].ends_with(hint), "{spec}: {found:?}");
    }
}

#[test]
fn a_field_like_no_other_is_named_without_a_guess() {
    assert_eq!(unknown("Gateway", json!({"xyzzy": 1})), ["unknown field spec.xyzzy"]);
}

#[test]
fn free_form_parts_take_anything() {
    let spec = json!({"meshConfig": {"anything": 1}, "values": {"a": {"b": [1]}}});
    assert_eq!(unknown("MeshInstall", spec), Vec::<String>::new());
}

#[test]
fn a_hostile_document_costs_little() {
    let many: Vec<Value> = (0..10_000).map(|i| json!({ "route": i, format!("f{i}"): 1 })).collect();
    let object = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "spec": {"http": many},
    });
    let report = crds::check(&object).unwrap();
    assert!(report.problems.len() == 100 && report.unknown.len() == 100);
    assert_eq!(crds::check(&json!([])), None);
    assert_eq!(crds::check(&json!({"apiVersion": 1, "kind": "VirtualService"})), None);
}
