//! What is removed, and in which order.

use operator::plan::{KINDS, ObjectId, next_step, prune};
use serde_json::json;

use crate::support::{id, objects};

fn object(kind: &str, name: &str) -> ObjectId {
    let kind = KINDS.iter().find(|known| known.kind == kind).unwrap();
    let namespace = kind.namespaced.then(|| "istio-system".to_owned());
    ObjectId { kind, namespace, name: name.to_owned() }
}

#[test]
fn what_a_smaller_profile_no_longer_has_is_pruned() {
    let ids = |profile: &str| -> Vec<ObjectId> {
        objects(json!({"profile": profile})).iter().filter_map(ObjectId::of).collect()
    };
    let removed: Vec<String> =
        prune(&ids("default"), &ids("minimal")).iter().map(ToString::to_string).collect();
    assert_eq!(
        removed,
        [
            "RoleBinding istio-system/istiod-gateway-secrets",
            "ServiceAccount istio-system/istio-ingressgateway-service-account",
            "Role istio-system/istio-ingressgateway-sds",
            "RoleBinding istio-system/istio-ingressgateway-sds",
            "Service istio-system/istio-ingressgateway",
            "Deployment istio-system/istio-ingressgateway",
        ]
    );
    assert_eq!(prune(&ids("default"), &ids("default")), []);
}

#[test]
fn namespaces_are_never_pruned() {
    assert_eq!(prune(&[object("Namespace", "edge")], &[]), []);
}

#[test]
fn an_uninstall_goes_from_webhooks_to_config_maps() {
    let mut existing: Vec<(ObjectId, String)> = objects(json!({"profile": "demo"}))
        .iter()
        .map(|made| {
            let component = made.metadata.labels.as_ref().unwrap()["operator.istio.io/component"].clone();
            (ObjectId::of(made).unwrap_or_else(|| panic!("{}", id(made))), component)
        })
        .collect();
    let mut steps = Vec::new();
    while let Some(step) = next_step(&existing) {
        existing.retain(|(object, _)| !step.objects.contains(object));
        steps.push(step);
    }
    let order: Vec<&str> = steps.iter().map(|step| step.what).collect();
    assert_eq!(order, ["webhook configurations", "gateways", "the control plane", "rights", "ConfigMaps"]);
    assert!(steps[1].objects.iter().all(|object| object.name.contains("gateway")));
    assert!(steps[2].objects.iter().all(|object| object.name == "istiod"));
    let left: Vec<String> = existing.iter().map(|(object, _)| object.to_string()).collect();
    assert_eq!(left, ["Namespace istio-system"]);
}

#[test]
fn a_step_waits_for_the_one_before() {
    let pilot = || "Pilot".to_owned();
    let webhook = (object("ValidatingWebhookConfiguration", "v"), pilot());
    let deployment = (object("Deployment", "istiod"), pilot());
    assert_eq!(next_step(&[deployment.clone(), webhook.clone()]).unwrap().objects, [webhook.0]);
    assert_eq!(next_step(std::slice::from_ref(&deployment)).unwrap().objects, [deployment.0]);
    assert_eq!(next_step(&[]), None);
}
