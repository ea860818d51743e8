//! What is removed, and in which order.

use kube::core::DynamicObject;
use operator::plan::{KINDS, ObjectId, Owned, next_step, prune};
use serde_json::json;

use crate::support::{id, objects};

fn object(kind: &str, name: &str) -> ObjectId {
    let kind = KINDS.iter().find(|known| known.kind == kind).unwrap();
    let namespace = kind.namespaced.then(|| "istio-system".to_owned());
    ObjectId { kind, namespace, name: name.to_owned() }
}

fn owned(id: ObjectId) -> Owned {
    Owned { id, component: "Pilot".to_owned(), ending: false }
}

fn existing(profile: &str) -> Vec<Owned> {
    let owned = |made: &DynamicObject| Owned {
        component: made.metadata.labels.as_ref().unwrap()["operator.istio.io/component"].clone(),
        ..owned(ObjectId::of(made).unwrap_or_else(|| panic!("{}", id(made))))
    };
    objects(json!({"profile": profile})).iter().map(owned).collect()
}

#[test]
fn what_a_smaller_profile_no_longer_has_is_pruned() {
    let wanted =
        |profile: &str| -> Vec<ObjectId> { existing(profile).into_iter().map(|object| object.id).collect() };
    let pruned = prune(&existing("default"), &wanted("minimal"));
    let removed: Vec<String> = pruned.iter().map(|object| object.id.to_string()).collect();
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
    assert_eq!(prune(&existing("default"), &wanted("default")), []);
}

#[test]
fn namespaces_are_never_pruned() {
    assert_eq!(prune(&[owned(object("Namespace", "edge"))], &[]), []);
}

#[test]
fn an_uninstall_goes_from_webhooks_to_config_maps() {
    let mut existing = existing("demo");
    let mut steps = Vec::new();
    while let Some(step) = next_step(&existing) {
        existing.retain(|object| !step.objects.contains(&object.id));
        steps.push(step);
    }
    let order: Vec<&str> = steps.iter().map(|step| step.what).collect();
    assert_eq!(order, ["webhook configurations", "gateways", "the control plane", "rights", "ConfigMaps"]);
    assert!(steps[1].objects.iter().all(|object| object.name.contains("gateway")));
    assert!(steps[2].objects.iter().all(|object| object.name == "istiod"));
    let left: Vec<String> = existing.iter().map(|object| object.id.to_string()).collect();
    assert_eq!(left, ["Namespace istio-system"]);
}

#[test]
fn a_step_waits_for_the_one_before() {
    let webhook = owned(object("ValidatingWebhookConfiguration", "v"));
    let deployment = owned(object("Deployment", "istiod"));
    assert_eq!(next_step(&[deployment.clone(), webhook.clone()]).unwrap().objects, [webhook.id]);
    assert_eq!(next_step(std::slice::from_ref(&deployment)).unwrap().objects, [deployment.id]);
    assert_eq!(next_step(&[]), None);
}
