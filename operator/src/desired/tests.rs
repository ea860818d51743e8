//! Profiles and settings, as the objects they come to.

use serde_json::{Value, json};

use super::{ClusterFacts, Object, Release, desired};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn objects(spec: Value, root: Option<&str>) -> Result<Vec<Object>> {
    let install = serde_json::from_value(json!({
        "apiVersion": "mesh.trysail.dev/v1alpha1", "kind": "MeshInstall", "metadata": { "name": "default" }, "spec": spec,
    }))?;
    let facts = ClusterFacts { webhook_root: root.map(str::to_owned) };
    Ok(desired(&install, &Release { version: "1.2.3".to_owned() }, &facts)?)
}

fn find<'a>(objects: &'a [Object], kind: &str, name: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object.kind() == kind && object.name() == name).map(|object| &object.value)
}

#[test]
fn profiles_differ_in_what_they_run() -> Result<()> {
    let cases = [
        ("default", &["istio-ingressgateway", "istiod"][..]),
        ("demo", &["istio-egressgateway", "istio-ingressgateway", "istiod"]),
        ("minimal", &["istiod"]),
        ("empty", &[]),
    ];
    for (profile, wanted) in cases {
        let objects = objects(json!({ "profile": profile }), Some("root"))?;
        let mut names: Vec<_> =
            objects.iter().filter(|object| object.kind() == "Deployment").map(Object::name).collect();
        names.sort_unstable();
        assert_eq!(names, wanted, "{profile}");
    }
    Ok(())
}

#[test]
fn webhooks_and_gateways_wait_until_the_webhook_answers() -> Result<()> {
    let before = objects(json!({}), None)?;
    assert!(find(&before, "Deployment", "istiod").is_some());
    assert!(find(&before, "Deployment", "istio-ingressgateway").is_none());
    assert!(find(&before, "MutatingWebhookConfiguration", "istio-sidecar-injector").is_none());
    let after = objects(json!({}), Some("root"))?;
    let injector =
        find(&after, "MutatingWebhookConfiguration", "istio-sidecar-injector").ok_or("no injector")?;
    assert_eq!(injector["webhooks"][0]["clientConfig"]["caBundle"], "cm9vdA==");
    assert!(find(&after, "Deployment", "istio-ingressgateway").is_some());
    Ok(())
}

#[test]
fn no_webhook_looks_at_namespaces_of_kubernetes() -> Result<()> {
    let objects = objects(json!({}), Some("root"))?;
    let injector =
        find(&objects, "MutatingWebhookConfiguration", "istio-sidecar-injector").ok_or("no injector")?;
    let webhooks = injector["webhooks"].as_array().ok_or("no webhooks")?;
    assert_eq!(webhooks.len(), 4);
    for webhook in webhooks {
        let text = webhook["namespaceSelector"].to_string();
        assert!(text.contains("kube-system") && text.contains("NotIn"), "{text}");
    }
    Ok(())
}

#[test]
fn a_revision_injects_by_its_name_only() -> Result<()> {
    let objects = objects(json!({ "revision": "canary" }), Some("root"))?;
    let injector = find(&objects, "MutatingWebhookConfiguration", "istio-sidecar-injector-canary")
        .ok_or("no injector")?;
    assert_eq!(injector["webhooks"].as_array().map(Vec::len), Some(2));
    assert!(find(&objects, "Deployment", "istiod-canary").is_some());
    Ok(())
}

#[test]
fn every_object_but_namespaces_carries_its_owner() -> Result<()> {
    for object in objects(json!({ "profile": "demo" }), Some("root"))? {
        let owner = object.value.pointer("/metadata/labels/mesh.trysail.dev~1install");
        assert_eq!(owner.is_some(), object.kind() != "Namespace", "{} {}", object.kind(), object.name());
    }
    Ok(())
}

#[test]
fn the_kubernetes_settings_of_a_component_take_effect() -> Result<()> {
    let options = json!({
        "replicaCount": 2, "priorityClassName": "high", "nodeSelector": { "disk": "ssd" },
        "resources": { "requests": { "cpu": "1" } }, "podAnnotations": { "a": "b" },
        "env": [{ "name": "CLUSTER_ID", "value": "east" }], "imagePullPolicy": "Never",
        "tolerations": [{ "key": "dedicated", "operator": "Exists" }],
    });
    let objects = objects(json!({ "components": { "pilot": { "k8s": options } } }), None)?;
    let istiod = find(&objects, "Deployment", "istiod").ok_or("no istiod")?;
    assert_eq!(istiod["spec"]["replicas"], 2);
    let pod = &istiod["spec"]["template"]["spec"];
    assert_eq!(pod["priorityClassName"], "high");
    assert_eq!(pod["nodeSelector"]["disk"], "ssd");
    assert_eq!(pod["tolerations"][0]["key"], "dedicated");
    let container = &pod["containers"][0];
    assert_eq!(container["imagePullPolicy"], "Never");
    assert_eq!(container["resources"]["requests"]["cpu"], "1");
    let clusters =
        container["env"].as_array().into_iter().flatten().filter(|variable| variable["name"] == "CLUSTER_ID");
    assert_eq!(clusters.map(|variable| variable["value"].clone()).collect::<Vec<_>>(), [json!("east")]);
    assert!(find(&objects, "PodDisruptionBudget", "istiod").is_some());
    Ok(())
}

#[test]
fn hub_and_tag_reach_every_image_and_the_injector() -> Result<()> {
    let objects = objects(json!({ "hub": "registry.example/mesh", "tag": "9" }), None)?;
    let istiod = find(&objects, "Deployment", "istiod").ok_or("no istiod")?;
    assert_eq!(istiod["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example/mesh/pilot:9");
    let injector = find(&objects, "ConfigMap", "istio-sidecar-injector").ok_or("no ConfigMap")?;
    let values: Value = serde_json::from_str(injector["data"]["values"].as_str().unwrap_or_default())?;
    assert_eq!(
        (&values["global"]["hub"], &values["global"]["tag"]),
        (&json!("registry.example/mesh"), &json!("9"))
    );
    Ok(())
}

#[test]
fn the_persons_mesh_config_wins_over_the_profiles() -> Result<()> {
    let objects = objects(json!({ "profile": "demo", "meshConfig": { "accessLogFile": "" } }), None)?;
    let mesh =
        find(&objects, "ConfigMap", "istio").and_then(|map| map["data"]["mesh"].as_str()).ok_or("no mesh")?;
    let mesh: Value = serde_saphyr::from_str(mesh)?;
    assert_eq!(mesh["accessLogFile"], "");
    assert_eq!(mesh["defaultConfig"]["tracing"]["sampling"], 100.0);
    Ok(())
}

#[test]
fn the_default_gateway_can_be_switched_off_and_others_added() -> Result<()> {
    let gateways = json!([{ "name": "istio-ingressgateway", "enabled": false }, { "name": "edge", "namespace": "edge", "label": { "istio": "edge" } }]);
    let objects = objects(json!({ "components": { "ingressGateways": gateways } }), Some("root"))?;
    assert!(find(&objects, "Deployment", "istio-ingressgateway").is_none());
    let edge = find(&objects, "Deployment", "edge").ok_or("no edge")?;
    assert_eq!(edge["spec"]["selector"]["matchLabels"]["istio"], "edge");
    assert!(
        find(&objects, "Role", "istiod-gateway-secrets")
            .is_some_and(|role| role["metadata"]["namespace"] == "edge")
    );
    Ok(())
}
