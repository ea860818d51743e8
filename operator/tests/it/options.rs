//! Settings of a MeshInstall take effect: `meshConfig`, `values`, `components.*.k8s`.

use operator::{Release, Settings};
use serde_json::{Value, json};

use crate::{
    desired::yaml,
    support::{find, id, install, objects},
};

#[test]
fn kubernetes_settings_reach_their_objects() {
    let k8s = json!({
        "affinity": {"nodeAffinity": {}},
        "env": [{"name": "CLUSTER_ID", "value": "east"}, {"name": "EXTRA", "value": "1"}],
        "imagePullPolicy": "Always",
        "nodeSelector": {"disk": "ssd"},
        "podAnnotations": {"team": "mesh"},
        "priorityClassName": "high",
        "replicaCount": 3,
        "resources": {"requests": {"cpu": "1"}},
        "service": {"type": "NodePort", "ports": [{"name": "extra", "port": 9999}]},
        "serviceAnnotations": {"lb": "internal"},
        "strategy": {"type": "Recreate"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
    });
    let spec = json!({"components": {
        "pilot": {"k8s": k8s}, "ingressGateways": [{"name": "istio-ingressgateway", "k8s": k8s}],
    }});
    let objects = objects(spec);
    for (name, ports) in [
        ("istiod", vec!["grpc-xds", "https-dns", "https-webhook", "http-monitoring", "extra"]),
        ("istio-ingressgateway", vec!["extra"]),
    ] {
        let deployment = find(&objects, &format!("Deployment istio-system/{name}"));
        let (spec, pod) = (&deployment["spec"], &deployment["spec"]["template"]["spec"]);
        let container = &pod["containers"][0];
        assert_eq!(spec["replicas"], 3);
        assert_eq!(spec["strategy"]["type"], "Recreate");
        assert_eq!(spec["template"]["metadata"]["annotations"]["team"], "mesh");
        assert_eq!(pod["affinity"], json!({"nodeAffinity": {}}));
        assert_eq!(pod["nodeSelector"], json!({"disk": "ssd"}));
        assert_eq!(pod["priorityClassName"], "high");
        assert_eq!(pod["tolerations"][0]["key"], "a");
        assert_eq!(container["imagePullPolicy"], "Always");
        assert_eq!(container["resources"], json!({"requests": {"cpu": "1"}}));
        let variables = container["env"].as_array().unwrap();
        assert_eq!(variables.iter().filter(|variable| variable["value"] == "1").count(), 1, "{name}");
        let service = find(&objects, &format!("Service istio-system/{name}"));
        assert_eq!(service["spec"]["type"], "NodePort");
        assert_eq!(service["metadata"]["annotations"], json!({"lb": "internal"}));
        let found: Vec<&str> = service["spec"]["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| port["name"].as_str().unwrap())
            .collect();
        assert_eq!(found, ports, "{name}");
        assert_eq!(
            find(&objects, &format!("PodDisruptionBudget istio-system/{name}"))["spec"]["minAvailable"],
            1
        );
    }
    let istiod = find(&objects, "Deployment istio-system/istiod");
    let env = istiod["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let clusters: Vec<&Value> = env.iter().filter(|variable| variable["name"] == "CLUSTER_ID").collect();
    assert_eq!(clusters, [&json!({"name": "CLUSTER_ID", "value": "east"})]);
}

#[test]
fn autoscaling_and_budgets_are_filled_in() {
    let scaled = json!({"components": {"pilot": {"k8s": {
        "hpaSpec": {"minReplicas": 2, "maxReplicas": 4}, "podDisruptionBudget": {"maxUnavailable": "50%"},
    }}}});
    let objects_found = objects(scaled);
    let autoscaler = find(&objects_found, "HorizontalPodAutoscaler istio-system/istiod");
    assert_eq!(autoscaler["spec"]["scaleTargetRef"]["name"], "istiod");
    assert_eq!(autoscaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
    let budget = find(&objects_found, "PodDisruptionBudget istio-system/istiod");
    assert_eq!(budget["spec"]["maxUnavailable"], "50%");
    assert_eq!(budget["spec"]["selector"]["matchLabels"]["app"], "istiod");
    // Who scales says how many.
    assert_eq!(find(&objects_found, "Deployment istio-system/istiod")["spec"].get("replicas"), None);
    let single: Vec<String> = objects(json!({})).iter().map(id).collect();
    assert!(
        !single.iter().any(|id| id.contains("PodDisruptionBudget") || id.contains("HorizontalPodAutoscaler"))
    );
}

#[test]
fn helm_values_mean_what_they_mean_to_istio() {
    let spec = json!({"values": {
        "global": {
            "proxy": {"resources": {"requests": {"cpu": "7m"}}, "autoInject": "disabled"},
            "imagePullSecrets": ["registry"],
            "hub": "ignored.example",
        },
        "pilot": {
            "autoscaleEnabled": true, "autoscaleMin": 2, "autoscaleMax": 9, "traceSampling": 5.5,
            "env": {"FEATURE": true}, "tag": "1.1", "extraContainerArgs": ["--plaintext-address", "[::]:15010"],
        },
        "gateways": {"istio-ingressgateway": {"type": "ClusterIP", "labels": {"zone": "a"}}},
        "sidecarInjectorWebhook": {"neverInjectSelector": [{"matchLabels": {"job": "x"}}], "enableNamespacesByDefault": true},
        "meshConfig": {"accessLogFile": "/dev/stderr"},
    }, "hub": "example.io/mesh", "tag": "1.0"});
    let objects = objects(spec);
    let injector = find(&objects, "ConfigMap istio-system/istio-sidecar-injector");
    let values = yaml(&injector["data"]["values"]);
    assert_eq!(values["global"]["proxy"]["resources"]["requests"], json!({"cpu": "7m", "memory": "16Mi"}));
    assert_eq!(values["global"]["hub"], "example.io/mesh");
    let config = yaml(&injector["data"]["config"]);
    assert_eq!(
        (&config["policy"], &config["neverInjectSelector"][0]["matchLabels"]["job"]),
        (&json!("disabled"), &json!("x"))
    );
    assert_eq!(find(&objects, "HorizontalPodAutoscaler istio-system/istiod")["spec"]["maxReplicas"], 9);
    let pod = find(&objects, "Deployment istio-system/istiod")["spec"]["template"]["spec"].clone();
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "registry"}]));
    assert_eq!(pod["containers"][0]["image"], "example.io/mesh/pilot:1.1");
    assert_eq!(pod["containers"][0]["args"][3], "--plaintext-address");
    let env = pod["containers"][0]["env"].as_array().unwrap();
    assert!(env.contains(&json!({"name": "PILOT_TRACE_SAMPLING", "value": "5.5"})));
    assert!(env.contains(&json!({"name": "FEATURE", "value": "true"})));
    assert_eq!(find(&objects, "Service istio-system/istio-ingressgateway")["spec"]["type"], "ClusterIP");
    let gateway = find(&objects, "Deployment istio-system/istio-ingressgateway");
    assert_eq!(gateway["spec"]["template"]["metadata"]["labels"]["zone"], "a");
    assert_eq!(gateway["spec"]["template"]["spec"]["containers"][0]["image"], "example.io/mesh/proxyv2:1.0");
    assert_eq!(
        yaml(&find(&objects, "ConfigMap istio-system/istio")["data"]["mesh"])["accessLogFile"],
        "/dev/stderr"
    );
    let webhooks = find(&objects, "MutatingWebhookConfiguration istio-sidecar-injector")["webhooks"].clone();
    assert_eq!(webhooks.as_array().unwrap().len(), 5);
}

#[test]
fn mesh_settings_are_merged_over_the_defaults() {
    let spec = json!({"meshConfig": {"defaultConfig": {"concurrency": 3}, "defaultProviders": {"metrics": ["mine"]}}});
    let mesh = yaml(&find(&objects(spec), "ConfigMap istio-system/istio")["data"]["mesh"]);
    assert_eq!(
        mesh["defaultConfig"],
        json!({"concurrency": 3, "discoveryAddress": "istiod.istio-system.svc:15012"})
    );
    assert_eq!(mesh["defaultProviders"]["metrics"], json!(["mine"]));
    assert_eq!(mesh["rootNamespace"], "istio-system");
}

#[test]
fn gateways_can_be_added_moved_and_switched_off() {
    let spec = json!({"profile": "demo", "components": {
        "ingressGateways": [
            {"name": "istio-ingressgateway", "enabled": false},
            {"name": "edge", "namespace": "edge", "label": {"istio": "edge"}},
        ],
        "egressGateways": [{"name": "istio-egressgateway", "k8s": {"replicaCount": 2}}],
        "pilot": {"enabled": false},
    }});
    let made = objects(spec);
    let ids: Vec<String> = made.iter().map(id).collect();
    assert!(!ids.iter().any(|id| id.contains("istio-ingressgateway") || id.contains("istiod")), "{ids:?}");
    assert!(ids.contains(&"Role edge/edge-sds".to_owned()));
    let edge = find(&made, "Deployment edge/edge");
    assert_eq!(edge["spec"]["template"]["metadata"]["labels"]["istio"], "edge");
    assert_eq!(edge["spec"]["template"]["metadata"]["labels"]["app"], "edge");
    assert_eq!(find(&made, "Deployment istio-system/istio-egressgateway")["spec"]["replicas"], 2);
}

#[test]
fn values_of_the_wrong_type_are_named() {
    let error =
        Settings::of(&install(json!({"values": {"pilot": {"resources": "lots"}}})), &Release::default());
    assert_eq!(error.unwrap_err().field, "spec.values.pilot.resources");
}

#[test]
fn hub_and_tag_may_be_among_the_values_as_istioctl_users_have_them() {
    let cases = [
        (json!({}), "docker.io/trysail/pilot:1.0"),
        (json!({"values": {"global": {"hub": "a.example", "tag": 7}}}), "a.example/pilot:7"),
        (
            json!({"hub": "b.example", "tag": "8", "values": {"global": {"hub": "a.example", "tag": 7}}}),
            "b.example/pilot:8",
        ),
    ];
    for (spec, expected) in cases {
        let istiod = find(&objects(spec), "Deployment istio-system/istiod");
        assert_eq!(istiod["spec"]["template"]["spec"]["containers"][0]["image"], expected);
    }
}
