//! Every object of every profile. `INSTA_UPDATE=always cargo test -p trysail-operator` writes the results anew.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Namespace, Service, ServiceAccount},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use operator::{ClusterFacts, Release, desired};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::support::{find, id, install, objects};

const PROFILES: [&str; 4] = ["default", "demo", "minimal", "empty"];

#[test]
fn profiles_are_made_of_these_objects() {
    for profile in PROFILES {
        let text: Vec<String> = objects(json!({"profile": profile})).iter().map(id).collect();
        insta::assert_snapshot!(format!("objects-{profile}"), text.join("\n"));
    }
}

#[test]
fn the_default_profile_in_full() {
    let text: Vec<String> =
        objects(json!({})).iter().map(|object| serde_saphyr::to_string(object).unwrap()).collect();
    insta::assert_snapshot!("default", text.join("---\n"));
}

#[test]
fn the_demo_profile_shows_what_happens() {
    let demo = objects(json!({"profile": "demo"}));
    let mesh: Value = yaml(&find(&demo, "ConfigMap istio-system/istio")["data"]["mesh"]);
    assert_eq!(mesh["accessLogFile"], "/dev/stdout");
    assert_eq!(mesh["defaultConfig"]["tracing"]["sampling"], 100);
    assert_eq!(find(&demo, "Service istio-system/istio-egressgateway")["spec"]["type"], "ClusterIP");
}

/// A misspelt field would be dropped here, and the comparison would show it.
fn survives<T: Serialize + DeserializeOwned>(object: &Value) {
    let typed: T = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(serde_json::to_value(&typed).unwrap(), *object);
}

#[test]
fn every_field_is_one_that_kubernetes_knows() {
    let everything = json!({
        "profile": "demo",
        "components": {"pilot": {"k8s": {"replicaCount": 2, "hpaSpec": {"maxReplicas": 3}}}},
    });
    for object in objects(everything) {
        let value = serde_json::to_value(&object).unwrap();
        match object.types.as_ref().unwrap().kind.as_str() {
            "Namespace" => survives::<Namespace>(&value),
            "ServiceAccount" => survives::<ServiceAccount>(&value),
            "ClusterRole" => survives::<ClusterRole>(&value),
            "ClusterRoleBinding" => survives::<ClusterRoleBinding>(&value),
            "Role" => survives::<Role>(&value),
            "RoleBinding" => survives::<RoleBinding>(&value),
            "ConfigMap" => survives::<ConfigMap>(&value),
            "Service" => survives::<Service>(&value),
            "Deployment" => survives::<Deployment>(&value),
            "PodDisruptionBudget" => survives::<PodDisruptionBudget>(&value),
            "HorizontalPodAutoscaler" => survives::<HorizontalPodAutoscaler>(&value),
            "MutatingWebhookConfiguration" => survives::<MutatingWebhookConfiguration>(&value),
            "ValidatingWebhookConfiguration" => survives::<ValidatingWebhookConfiguration>(&value),
            other => panic!("{other} is not looked at"),
        }
    }
}

#[test]
fn every_object_says_whose_it_is_and_no_two_are_the_same() {
    let demo = objects(json!({"profile": "demo"}));
    let ids: BTreeSet<String> = demo.iter().map(id).collect();
    assert_eq!(ids.len(), demo.len());
    for object in &demo {
        let labels = object.metadata.labels.as_ref().unwrap();
        assert_eq!(labels["mesh.trysail.dev/owner"], "default", "{}", id(object));
        assert!(operator::plan::ObjectId::of(object).is_some(), "{} could not be pruned", id(object));
    }
}

#[test]
fn webhook_configurations_wait_until_the_webhook_answers() {
    let spec = install(json!({}));
    let silent = desired(&spec, &Release::default(), &ClusterFacts::default()).unwrap();
    assert!(!silent.iter().any(|object| id(object).contains("WebhookConfiguration")));
    let webhooks =
        find(&objects(json!({})), "MutatingWebhookConfiguration istio-sidecar-injector")["webhooks"].clone();
    for webhook in webhooks.as_array().unwrap() {
        assert_eq!(webhook["clientConfig"]["caBundle"], "Uk9PVFM=");
        assert_eq!(webhook["failurePolicy"], "Fail");
    }
}

#[test]
fn namespaces_that_exist_are_left_alone() {
    let facts = ClusterFacts { foreign_namespaces: ["istio-system".to_owned()].into(), webhook_roots: None };
    let spec = install(json!({"components": {"ingressGateways": [{"name": "edge", "namespace": "edge"}]}}));
    let made = desired(&spec, &Release::default(), &facts).unwrap();
    let namespaces: Vec<String> = made.iter().map(id).filter(|id| id.starts_with("Namespace")).collect();
    assert_eq!(namespaces, ["Namespace edge"]);
}

#[test]
fn another_revision_stands_beside_the_default_one() {
    let canary = objects(json!({"revision": "canary", "profile": "minimal"}));
    let ids: Vec<String> = canary.iter().map(id).collect();
    for expected in [
        "Deployment istio-system/istiod-canary",
        "Service istio-system/istiod-canary",
        "ServiceAccount istio-system/istiod-canary",
        "ConfigMap istio-system/istio-canary",
        "ConfigMap istio-system/istio-sidecar-injector-canary",
        "ClusterRole istiod-clusterrole-canary-istio-system",
        "MutatingWebhookConfiguration istio-sidecar-injector-canary",
        "ValidatingWebhookConfiguration istio-validator-canary-istio-system",
    ] {
        assert!(ids.contains(&expected.to_owned()), "{expected} is not among {ids:?}");
    }
    let mesh = yaml(&find(&canary, "ConfigMap istio-system/istio-canary")["data"]["mesh"]);
    assert_eq!(mesh["defaultConfig"]["discoveryAddress"], "istiod-canary.istio-system.svc:15012");
    let default: BTreeSet<String> = objects(json!({"profile": "minimal"})).iter().map(id).collect();
    let shared: Vec<&String> = ids.iter().filter(|id| default.contains(*id)).collect();
    assert_eq!(shared, ["Namespace istio-system"]);
}

pub(crate) fn yaml(text: &Value) -> Value {
    serde_saphyr::from_str(text.as_str().unwrap()).unwrap()
}
