//! Reconciliation against an API server in memory, where other people's objects and faults are easy to have.

use std::sync::Arc;

use kube::core::DynamicObject;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::{Context, reconcile};
use crate::{Metrics, Release, fake_api::FakeApi};

const INSTALL: &str = "/apis/mesh.trysail.dev/v1alpha1/meshinstalls/default";
const OWN: &str = "/apis/apps/v1/namespaces/istio-system/deployments";

struct World {
    api: FakeApi,
    ctx: Arc<Context>,
}

impl World {
    fn new(spec: Value) -> Self {
        let api = FakeApi::default();
        let metrics = Metrics::register(&mut Registry::default());
        let ctx = Arc::new(Context::new(api.client(), Release::default(), metrics));
        let world = Self { api, ctx };
        world.api.put(
            INSTALL,
            json!({
                "apiVersion": "mesh.trysail.dev/v1alpha1", "kind": "MeshInstall", "spec": spec,
                "metadata": {
                    "name": "default", "generation": 1, "resourceVersion": "1", "uid": "u",
                    "creationTimestamp": "2026-01-01T00:00:00Z",
                },
            }),
        );
        world
    }

    /// One look at the MeshInstall.
    async fn look(&self) {
        let object: DynamicObject = serde_json::from_value(self.api.get(INSTALL).unwrap()).unwrap();
        reconcile(Arc::new(object), self.ctx.clone()).await.unwrap();
    }

    fn condition(&self, name: &str) -> (String, String, String) {
        let install = self.api.get(INSTALL).unwrap();
        let conditions = install["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.into_iter().find(|condition| condition["type"] == name).unwrap();
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"), text("message"))
    }

    fn available(&self, deployment: &str) {
        let status = json!({"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
        self.api.change(&format!("{OWN}/{deployment}"), &json!({"status": status}));
    }

    fn delete(&self) {
        self.api.change(INSTALL, &json!({"metadata": {"deletionTimestamp": "2026-01-02T00:00:00Z"}}));
    }

    /// Looks until the MeshInstall is gone.
    async fn until_gone(&self) {
        for _ in 0..20 {
            if self.api.get(INSTALL).is_none() {
                return;
            }
            self.look().await;
        }
        panic!("still there: {:?}", self.api.list());
    }
}

fn gateway_only() -> Value {
    json!({"components": {"pilot": {"enabled": false}}})
}

#[tokio::test]
async fn a_mesh_is_ready_when_its_deployments_are_available() {
    let world = World::new(gateway_only());
    world.look().await;
    let install = world.api.get(INSTALL).unwrap();
    assert_eq!(install["metadata"]["finalizers"], json!(["mesh.trysail.dev/uninstall"]));
    let (ready, _, message) = world.condition("Ready");
    assert_eq!(ready, "False");
    assert!(message.contains("Deployment istio-system/istio-ingressgateway: 0 of 1 pods"), "{message}");
    world.available("istio-ingressgateway");
    world.look().await;
    assert_eq!(
        world.condition("Ready"),
        ("True".into(), "Installed".into(), "istio-ingressgateway is available".into())
    );
    assert_eq!(world.condition("Reconciling").0, "False");
}

#[tokio::test]
async fn a_control_plane_without_root_certificate_has_no_webhook_configurations() {
    let world = World::new(json!({"profile": "minimal"}));
    world.look().await;
    world.available("istiod");
    world.look().await;
    let (ready, _, message) = world.condition("Ready");
    assert_eq!(ready, "False");
    assert!(message.contains("has not written ConfigMap istio-system/istio-ca-root-cert"), "{message}");
    assert!(!world.api.list().iter().any(|object| object.contains("webhookconfigurations")));
}

#[tokio::test]
async fn configurations_stay_while_the_webhook_is_silent() {
    let world = World::new(json!({"profile": "minimal"}));
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/istio-sidecar-injector";
    world.api.put(
        path,
        json!({
            "metadata": {"name": "istio-sidecar-injector", "labels": {"mesh.trysail.dev/owner": "default"}},
            "webhooks": [{"name": "x", "clientConfig": {"caBundle": "Uk9PVFM="}, "sideEffects": "None",
                "admissionReviewVersions": ["v1"]}],
        }),
    );
    world.look().await;
    let webhooks = world.api.get(path).unwrap()["webhooks"].clone();
    assert_eq!(webhooks.as_array().unwrap().len(), 4);
    assert_eq!(webhooks[0]["clientConfig"]["caBundle"], "Uk9PVFM=");
    assert!(world.condition("Ready").2.contains("the webhook:"));
}

#[tokio::test]
async fn what_somebody_else_made_is_left_alone() {
    let world = World::new(gateway_only());
    let path = format!("{OWN}/istio-ingressgateway");
    let theirs = json!({"metadata": {"name": "istio-ingressgateway", "labels": {"app.kubernetes.io/managed-by": "Helm"}}});
    world.api.put(&path, theirs.clone());
    world.look().await;
    let (stalled, reason, message) = world.condition("Stalled");
    assert_eq!((stalled.as_str(), reason.as_str()), ("True", "Conflict"));
    assert!(message.contains("Deployment istio-system/istio-ingressgateway exists"), "{message}");
    assert_eq!(world.api.get(&path).unwrap(), theirs);
}

#[tokio::test]
async fn what_somebody_changes_is_put_back_even_the_label_that_makes_it_ours() {
    let world = World::new(gateway_only());
    world.look().await;
    let path = format!("{OWN}/istio-ingressgateway");
    let made = world.api.get(&path).unwrap();
    world.api.change(
        &path,
        &json!({
            "metadata": {
                "labels": {"mesh.trysail.dev/owner": null},
                "managedFields": [{"manager": "trysail-operator", "operation": "Apply"}],
            },
            "spec": {"template": {"spec": {"containers": []}}},
        }),
    );
    world.look().await;
    let found = world.api.get(&path).unwrap();
    assert_eq!(found["metadata"]["labels"], made["metadata"]["labels"]);
    assert_eq!(found["spec"], made["spec"]);
    world.api.remove(&path);
    world.look().await;
    assert!(world.api.get(&path).is_some());
}

#[tokio::test]
async fn a_spec_that_cannot_be_is_stalled_and_changes_nothing() {
    let world = World::new(json!({"profil": "demo"}));
    world.look().await;
    assert_eq!(world.condition("Stalled").0, "True");
    assert!(world.condition("Ready").2.contains("did you mean spec.profile?"));
    assert_eq!(world.api.list(), ["meshinstalls default"]);
}

#[tokio::test]
async fn a_change_that_cannot_be_is_stalled_and_the_mesh_runs_on() {
    let world = World::new(gateway_only());
    world.look().await;
    world.available("istio-ingressgateway");
    world.look().await;
    assert_eq!(world.condition("Ready").0, "True");
    let (objects, writes) = (world.api.list(), world.api.written().len());
    let service = json!({"typ": "NodePort"});
    let changed = json!({"components": {
        "pilot": {"enabled": false},
        "ingressGateways": [{"name": "istio-ingressgateway", "k8s": {"service": service}}],
    }});
    world.api.change(INSTALL, &json!({"spec": changed, "metadata": {"generation": 2}}));
    world.look().await;
    let (ready, reason, message) = world.condition("Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "InvalidSpec"));
    let path = "spec.components.ingressGateways[0].k8s.service";
    assert!(message.contains(&format!("{path}.typ: unknown field; did you mean {path}.type?")), "{message}");
    assert_eq!(world.condition("Stalled").0, "True");
    assert_eq!(world.api.list(), objects);
    // What was written is the status and an event.
    let written = world.api.written().split_off(writes);
    assert_eq!(written, ["PATCH meshinstalls default", "POST events "]);
}

#[tokio::test]
async fn an_uninstall_leaves_nothing_and_goes_in_order() {
    let world = World::new(json!({}));
    world.look().await;
    for (path, object) in [
        (
            "/api/v1/namespaces/istio-system/secrets/istio-ca-secret",
            json!({"metadata": {"name": "istio-ca-secret"}}),
        ),
        (
            "/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/istio-leader",
            json!({"metadata": {"name": "istio-leader"}}),
        ),
        (
            "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert",
            json!({"metadata": {"name": "istio-ca-root-cert", "namespace": "shop",
                "managedFields": [{"manager": "trysail-controlplane"}]}}),
        ),
        (
            "/api/v1/namespaces/other/configmaps/istio-ca-root-cert",
            json!({"metadata": {"name": "istio-ca-root-cert", "namespace": "other",
                "managedFields": [{"manager": "pilot-discovery"}]}}),
        ),
    ] {
        world.api.put(path, object);
    }
    world.delete();
    world.until_gone().await;
    // Another mesh's root certificate stays.
    assert_eq!(world.api.list(), ["configmaps istio-ca-root-cert"]);
    let deleted = world.api.deleted();
    let place = |what: &str| {
        deleted.iter().position(|line| line == what).unwrap_or_else(|| panic!("{what}: {deleted:?}"))
    };
    let order = [
        "deployments istio-ingressgateway",
        "deployments istiod",
        "serviceaccounts istiod",
        "configmaps istio",
        "secrets istio-ca-secret",
        "namespaces istio-system",
    ];
    assert!(order.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "{deleted:?}");
}

#[tokio::test]
async fn a_namespace_with_somebody_elses_object_stays_and_is_no_longer_ours() {
    let world = World::new(gateway_only());
    world.look().await;
    let theirs = "/api/v1/namespaces/istio-system/configmaps/notes";
    world.api.put(theirs, json!({"metadata": {"name": "notes", "namespace": "istio-system"}}));
    world.delete();
    world.until_gone().await;
    let namespace = world.api.get("/api/v1/namespaces/istio-system").unwrap();
    assert_eq!(namespace["metadata"]["labels"].get("mesh.trysail.dev/owner"), None);
    assert_eq!(world.api.list(), ["namespaces istio-system", "configmaps notes"]);
}

#[tokio::test]
async fn what_a_control_plane_leaves_behind_goes_when_it_is_switched_off() {
    let world = World::new(json!({"profile": "minimal"}));
    world.look().await;
    let secret = "/api/v1/namespaces/istio-system/secrets/istio-ca-secret";
    world.api.put(secret, json!({"metadata": {"name": "istio-ca-secret"}}));
    world.api.change(INSTALL, &json!({"spec": {"profile": "empty"}, "metadata": {"generation": 2}}));
    world.look().await;
    assert!(world.condition("Ready").2.contains("being removed"));
    assert!(world.api.get(secret).is_some());
    world.look().await;
    assert!(world.api.get(secret).is_none());
    world.look().await;
    assert_eq!(world.condition("Ready").0, "True");
}
