//! Who is injected and how, rule by rule.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use webhook::inject::{InjectContext, SkipReason, inject_document, inject_object, selected_by_webhook};

use crate::support::{container, injected, injector, names, variable, yaml};

fn pod(namespace: &str, labels: Value, annotations: Value, spec: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": namespace, "labels": labels, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    });
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

fn with_config(config: &str) -> InjectContext {
    InjectContext::read("", config, "", "").unwrap()
}

#[test]
fn pods_are_chosen_by_istios_rules() {
    const INJECT: &str = "sidecar.istio.io/inject";
    let on = || with_config("policy: enabled");
    let off = || with_config("policy: disabled");
    let selectors = || {
        with_config(
            "policy: disabled\nalwaysInjectSelector: [{matchLabels: {team: a}}, {}]\n\
             neverInjectSelector: [{matchExpressions: [{key: secret, operator: Exists}]}]",
        )
    };
    let none = || json!({});
    let cases = vec![
        (on(), pod("a", none(), none(), none()), None),
        (on(), pod("a", none(), none(), json!({"hostNetwork": true})), Some(SkipReason::HostNetwork)),
        (
            on(),
            pod("kube-system", json!({INJECT: "true"}), none(), none()),
            Some(SkipReason::SystemNamespace("kube-system".into())),
        ),
        (on(), pod("a", json!({INJECT: "false"}), none(), none()), Some(SkipReason::OptedOut)),
        (on(), pod("a", none(), json!({INJECT: "false"}), none()), Some(SkipReason::OptedOut)),
        (on(), pod("a", json!({INJECT: "true"}), json!({INJECT: "false"}), none()), None),
        (on(), pod("a", json!({INJECT: "maybe"}), none(), none()), None),
        (off(), pod("a", none(), none(), none()), Some(SkipReason::PolicyDisabled)),
        (off(), pod("a", json!({INJECT: "true"}), none(), none()), None),
        (selectors(), pod("a", json!({"team": "a"}), none(), none()), None),
        (selectors(), pod("a", json!({"team": "b"}), none(), none()), Some(SkipReason::PolicyDisabled)),
        (
            selectors(),
            pod("a", json!({"team": "a", "secret": ""}), none(), none()),
            Some(SkipReason::NeverInjectSelector),
        ),
        (selectors(), pod("a", json!({"secret": "", INJECT: "true"}), none(), none()), None),
    ];
    for (ctx, pod, expected) in cases {
        assert_eq!(injected(&pod, &ctx).skipped, expected, "{pod}");
    }
}

#[test]
fn labels_of_namespace_and_pod_select_the_revision() {
    let labels = |text: &str| -> BTreeMap<String, String> {
        text.split_whitespace()
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(key, value)| {
                let key = match key {
                    "injection" => "istio-injection",
                    "rev" => "istio.io/rev",
                    "inject" => "sidecar.istio.io/inject",
                    other => other,
                };
                (key.to_owned(), value.to_owned())
            })
            .collect()
    };
    // Namespace, pod, injected by the default revision, injected by `canary`.
    let cases = [
        ("", "", false, false),
        ("injection=enabled", "", true, false),
        ("injection=enabled", "inject=false", false, false),
        ("injection=enabled", "rev=canary", true, false),
        ("injection=disabled", "inject=true", false, false),
        ("injection=enabled rev=canary", "", true, false),
        ("injection=disabled rev=canary", "", false, false),
        ("rev=canary", "", false, true),
        ("rev=canary", "inject=false", false, false),
        ("rev=canary", "rev=default", false, true),
        ("rev=default", "", true, false),
        ("", "rev=canary", false, true),
        ("", "rev=default", true, false),
        ("", "rev=canary inject=false", false, false),
        ("", "inject=true", true, false),
        ("", "inject=true rev=canary", false, true),
        ("", "inject=maybe", false, false),
    ];
    for (namespace, pod, default, canary) in cases {
        let found = ["default", "canary"]
            .map(|revision| selected_by_webhook(&labels(namespace), &labels(pod), revision));
        assert_eq!(found, [default, canary], "namespace {namespace:?}, pod {pod:?}");
    }
}

#[test]
fn a_namespace_that_does_not_ask_is_left_alone_when_nobody_chose_the_pod() {
    let ctx = injector("v1.34.4").for_namespace(BTreeMap::new());
    let found = injected(&pod("a", json!({}), json!({}), json!({})), &ctx);
    assert_eq!(found.skipped, Some(SkipReason::NotSelected));
}

#[test]
fn proxies_are_native_sidecars_where_server_or_pod_say_so() {
    let native = |object: &Value| names(object, "initContainers").contains(&"istio-proxy".to_owned());
    for (server, annotation, expected) in [
        ("v1.34.4", None, true),
        ("v1.29.0", None, true),
        ("v1.28.9", None, false),
        ("v1.28.9", Some("true"), true),
        ("v1.34.4", Some("false"), false),
    ] {
        let annotations =
            annotation.map_or(json!({}), |value| json!({"sidecar.istio.io/nativeSidecar": value}));
        let result = injected(&pod("a", json!({}), annotations, json!({})), &injector(server)).object;
        assert_eq!(native(&result), expected, "{server} {annotation:?}");
    }
    let values = r#"{"pilot": {"env": {"ENABLE_NATIVE_SIDECARS": "false"}}}"#;
    let ctx = InjectContext::read("", "", values, "").unwrap();
    assert!(!native(&injected(&pod("a", json!({}), json!({}), json!({})), &ctx).object));
}

#[test]
fn containers_are_in_the_order_that_lets_them_work() {
    let spec = json!({"initContainers": [{"name": "first", "image": "a:1"}]});
    let hold = json!({"proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"});
    let cases = [
        ("v1.34.0", json!({}), ["istio-init", "istio-proxy", "first"].as_slice(), ["app"].as_slice()),
        ("v1.28.0", json!({}), &["first", "istio-init"], &["app", "istio-proxy"]),
        ("v1.28.0", hold, &["first", "istio-init"], &["istio-proxy", "app"]),
    ];
    for (server, annotations, init, containers) in cases {
        let result = injected(&pod("a", json!({}), annotations, spec.clone()), &injector(server)).object;
        assert_eq!(names(&result, "initContainers"), init, "{server}");
        assert_eq!(names(&result, "containers"), containers, "{server}");
    }
}

#[test]
fn a_proxy_started_first_makes_the_application_wait() {
    let hold = json!({"proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"});
    let result = injected(&pod("a", json!({}), hold, json!({})), &injector("v1.28.0")).object;
    let proxy = container(&result, "istio-proxy").unwrap();
    assert_eq!(
        proxy["lifecycle"]["postStart"]["exec"]["command"],
        json!(["/usr/local/bin/trysail-proxy", "wait"])
    );
}

#[test]
fn a_revision_and_another_namespace_change_addresses() {
    let values = r#"{"global": {"istioNamespace": "mesh"}}"#;
    let ctx = InjectContext::read("", "", values, "canary").unwrap();
    let result = injected(&pod("a", json!({}), json!({}), json!({})), &ctx).object;
    let proxy = container(&result, "istio-proxy").unwrap();
    assert_eq!(variable(proxy, "CA_ADDR").unwrap(), "istiod-canary.mesh.svc:15012");
    assert_eq!(
        variable(proxy, "PROXY_CONFIG").unwrap(),
        r#"{"discoveryAddress":"istiod-canary.mesh.svc:15012"}"#
    );
    assert_eq!(result["metadata"]["annotations"]["istio.io/rev"], "canary");
}

#[test]
fn probes_that_cannot_or_need_not_be_taken_over_stay() {
    let probe =
        |handler: Value| json!({"containers": [{"name": "app", "image": "a:1", "livenessProbe": handler}]});
    for handler in [
        json!({"exec": {"command": ["true"]}}),
        json!({"httpGet": {"path": "/", "port": "nobody-has-this"}}),
        json!({"httpGet": {"path": "/", "port": 80, "host": "192.0.2.1"}}),
        json!({"httpGet": {"path": "/", "port": 15020}}),
    ] {
        let result =
            injected(&pod("a", json!({}), json!({}), probe(handler.clone())), &injector("v1.34.0")).object;
        assert_eq!(container(&result, "app").unwrap()["livenessProbe"], handler);
        assert_eq!(variable(container(&result, "istio-proxy").unwrap(), "ISTIO_KUBE_APP_PROBERS"), None);
    }
    let off = json!({"sidecar.istio.io/rewriteAppHTTPProbers": "false"});
    let handler = json!({"httpGet": {"path": "/", "port": 80}});
    let result = injected(&pod("a", json!({}), off, probe(handler.clone())), &injector("v1.34.0")).object;
    assert_eq!(container(&result, "app").unwrap()["livenessProbe"], handler);
}

#[test]
fn metrics_are_merged_unless_somebody_refuses() {
    let port =
        |result: &Value| result["metadata"]["annotations"]["prometheus.io/port"].as_str().map(str::to_owned);
    let cases = [
        ("", json!({}), Some("15020")),
        ("", json!({"prometheus.io/scrape": "false"}), None),
        ("", json!({"prometheus.io/port": "80", "prometheus.istio.io/merge-metrics": "false"}), Some("80")),
        ("enablePrometheusMerge: false", json!({"prometheus.io/port": "80"}), Some("80")),
        ("", json!({"prometheus-io/port": "80"}), Some("15020")),
        ("defaultConfig: {statusPort: 15099}", json!({}), Some("15099")),
    ];
    for (mesh, annotations, expected) in cases {
        let ctx = InjectContext::read(mesh, "", "", "").unwrap();
        let result = injected(&pod("a", json!({}), annotations.clone(), json!({})), &ctx).object;
        assert_eq!(port(&result).as_deref(), expected, "{mesh} {annotations}");
    }
}

#[test]
fn further_templates_are_plain_pods_merged_over() {
    let config = "templates:\n  custom: |\n    spec:\n      containers:\n      - name: istio-proxy\n        env:\n        \
                  - {name: GREETING, value: hello}\n      - {name: extra, image: 'extra:1'}\n";
    let ctx = with_config(config).for_server(webhook::inject::ServerVersion::parse("1.34"));
    let annotations = json!({"inject.istio.io/templates": "sidecar, custom"});
    let result = injected(&pod("a", json!({}), annotations, json!({})), &ctx).object;
    assert_eq!(variable(container(&result, "istio-proxy").unwrap(), "GREETING").unwrap(), "hello");
    assert_eq!(names(&result, "containers"), ["app", "extra"]);
    assert_eq!(injected(&result, &ctx).object, result);
}

#[test]
fn what_cannot_be_injected_is_named_with_a_remedy() {
    let cases = [
        (
            json!({"sidecar.istio.io/proxyCPU": "lots"}),
            "Pod a/p: annotation sidecar.istio.io/proxyCPU: \"lots\" is no quantity; write one such as 100m or 128Mi",
        ),
        (json!({"traffic.sidecar.istio.io/excludeInboundPorts": "http"}), "has \"http\", which is no port"),
        (json!({"proxy.istio.io/config": "concurrency: many"}), "annotation proxy.istio.io/config"),
        (json!({"proxy.istio.io/config": "just text"}), "is no map of settings"),
        (
            json!({"inject.istio.io/templates": "sidecars"}),
            "there is no template \"sidecars\"; there are gateway, sidecar",
        ),
        (json!({"sidecar.istio.io/interceptionMode": "TPROXY"}), "is not supported; use REDIRECT"),
        (json!({"prometheus.io/port": "15090"}), "is a port of the proxy"),
        (json!({"sidecar.istio.io/userVolume": "[]"}), "write a map of names"),
        (
            json!({"sidecar.istio.io/status": "{}", "proxy.istio.io/overrides": "nonsense"}),
            "annotation proxy.istio.io/overrides",
        ),
    ];
    for (annotations, expected) in cases {
        let error =
            inject_object(pod("a", json!({}), annotations, json!({})), &injector("1.34")).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error =
        inject_object(json!({"kind": "Pod", "spec": {"containers": 3}}), &injector("1.34")).unwrap_err();
    assert!(error.to_string().contains("spec.containers"), "{error}");
}

#[test]
fn people_are_warned_of_what_will_surprise_them() {
    let cases = [
        (json!({"dnsPolicy": "Default"}), "dnsPolicy Default"),
        (json!({"securityContext": {"runAsUser": 1337}}), "container app runs as user 1337"),
    ];
    for (spec, expected) in cases {
        let found = injected(&pod("a", json!({}), json!({}), spec), &injector("1.34")).warnings;
        assert!(found.iter().any(|warning| warning.contains(expected)), "{found:?}");
    }
    let found = injected(
        &pod("a", json!({"sidecar.istio.io/inject": "yes"}), json!({}), json!({})),
        &injector("1.34"),
    );
    assert!(found.warnings[0].contains("\"yes\" is neither"), "{:?}", found.warnings);
    let annotations = json!({"sidecar.istio.io/extraStatTags": "tenant"});
    let found = injected(&pod("a", json!({}), annotations, json!({})), &injector("1.34"));
    assert_eq!(
        found.warnings,
        ["sidecar.istio.io/extraStatTags has no effect: metrics have the standard labels"]
    );
}

#[test]
fn documents_keep_what_has_no_pods() {
    let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n---\napiVersion: v1\nkind: List\nitems:\n- kind: Pod\n  \
                spec:\n    containers:\n    - {name: app, image: 'a:1'}\n";
    let result = inject_document(text, &injector("1.34")).unwrap();
    let (service, list) = result.split_once("---\n").unwrap();
    assert_eq!(yaml(service), json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}));
    assert!(container(&yaml(list)["items"][0], "istio-proxy").is_some());
}
