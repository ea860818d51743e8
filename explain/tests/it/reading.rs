//! What the evaluator says, and how.

use explain::{Decision, Evaluator, Outcome, Request, Role, Source, Target, Unanswerable, Verdict};
use model::{Labels, Mesh, intern};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::world;

fn mesh(rules: &[Value]) -> Arc<Mesh> {
    world::mesh(&world::world(), rules).unwrap()
}

fn sender(namespace: &str, version: &str) -> Source {
    Source {
        name: "client".to_owned(),
        namespace: intern(namespace),
        labels: Labels::new([("app", "client"), ("version", version)]),
        role: Role::Sidecar,
    }
}

fn ask(rules: &[Value], request: &Request) -> Result<Decision, Unanswerable> {
    Evaluator::new(&mesh(rules)).explain(&sender("shop", "v1"), request)
}

fn reviews(path: &str) -> Request {
    Request::get("reviews", 9080, path)
}

fn with(mut request: Request, name: &str, value: &str) -> Request {
    request.headers.push((name.to_owned(), value.to_owned()));
    request
}

fn object(kind: &str, namespace: &str, name: &str, day: u32, spec: Value) -> Value {
    let group = if kind == "PeerAuthentication" { "security" } else { "networking" };
    json!({"apiVersion": format!("{group}.istio.io/v1"), "kind": kind, "spec": spec, "metadata": {
        "name": name, "namespace": namespace, "creationTimestamp": format!("2024-01-0{day}T00:00:00Z")}})
}

fn routes(name: &str, day: u32, http: Value) -> Value {
    object("VirtualService", "shop", name, day, json!({"hosts": ["reviews"], "http": http}))
}

fn to(subset: &str) -> Value {
    json!([{"destination": {"host": "reviews", "subset": subset}}])
}

fn targets(decision: &Decision) -> &[Target] {
    let Outcome::Forward(forward) = &decision.outcome else { panic!("{:?}", decision.outcome) };
    &forward.targets
}

fn failures(decision: &Decision) -> Vec<&str> {
    let failed = decision.rules.iter().filter_map(|rule| match &rule.verdict {
        Verdict::Failed { because } => Some(because),
        Verdict::Matched { .. } => None,
    });
    failed.flatten().map(String::as_str).collect()
}

#[test]
fn each_rule_says_what_failed_first() {
    let rules = [routes(
        "canary",
        1,
        json!([
            {"match": [{"headers": {"end-user": {"exact": "jason"}}}, {"method": {"exact": "POST"}}], "route": to("v2")},
            {"match": [{"uri": {"prefix": "/b"}, "queryParams": {"q": {"exact": "1"}}}], "route": to("v2")},
            {"match": [{"withoutHeaders": {"x-a": {}}, "sourceLabels": {"version": "v2"}}], "route": to("v2")},
            {"route": to("v1")},
            {"route": to("v3")},
        ]),
    )];
    let decision = ask(&rules, &reviews("/b?q=2")).unwrap();
    assert_eq!(
        failures(&decision),
        [
            "header end-user is absent",
            "method is GET, not POST",
            "query parameter q is 2, not 1",
            "the sender's label version is v1, not v2",
        ]
    );
    assert_eq!(decision.matched().unwrap().number, 3);
    let jason = ask(&rules, &with(reviews("/"), "End-User", "jason")).unwrap();
    let Verdict::Matched { because, .. } = &jason.matched().unwrap().verdict else { unreachable!() };
    assert_eq!(because, &["header end-user is jason"]);
}

#[test]
fn the_oldest_virtual_service_counts_and_the_others_say_why_they_do_not() {
    let hidden = json!({"hosts": ["reviews"], "exportTo": ["other"], "http": [{"route": to("v1")}]});
    let wide = json!({"hosts": ["*.shop.svc.cluster.local"], "http": [{"route": to("v1")}]});
    let rules = [
        routes("young", 3, json!([{"route": to("v1")}])),
        routes("old", 2, json!([{"route": to("v2")}])),
        object(
            "VirtualService",
            "other",
            "hidden",
            1,
            json!({"hosts": ["reviews.shop.svc.cluster.local"], "exportTo": ["."],
            "http": hidden["http"]}),
        ),
        object("VirtualService", "shop", "wide", 1, wide),
    ];
    let decision = ask(&rules, &reviews("/")).unwrap();
    let said: Vec<(&str, bool, &str)> =
        decision.virtual_services.iter().map(|it| (it.name.as_str(), it.applies, it.why.as_str())).collect();
    assert_eq!(said[0], ("shop/old", true, "the oldest for the host that has rules for the sender"));
    for (name, why) in [
        ("shop/young", "shop/old is older"),
        ("other/hidden", "its exportTo leaves out namespace shop"),
        ("shop/wide", "shop/old has the more particular host"),
    ] {
        let one = said.iter().find(|(known, ..)| *known == name).unwrap();
        assert!(!one.1 && one.2.contains(why), "{one:?}");
    }
}

#[test]
fn what_the_question_gets_wrong_is_said_with_what_was_meant() {
    let hidden = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "secret", "namespace": "other",
        "annotations": {"networking.istio.io/exportTo": "."}}, "spec": {"clusterIP": "10.0.0.8", "ports": [{"name": "http", "port": 80}]}});
    let narrow = object("Sidecar", "shop", "narrow", 1, json!({"egress": [{"hosts": ["./*"]}]}));
    for (rules, host, port, expected) in [
        (
            vec![],
            "revews",
            9080,
            "no service is called revews in namespace shop, nor anywhere by its full name; did you mean reviews?",
        ),
        (vec![], "details", 80, "did you mean details.other?"),
        (vec![], "reviews", 80, "reviews.shop.svc.cluster.local has no port 80; it has 9080 (http)"),
        (vec![hidden], "secret.other", 80, "exportTo of Service secret in other leaves it out"),
        (vec![narrow], "details.other", 80, "no egress host of Sidecar shop/narrow covers it on port 80"),
    ] {
        let error = ask(&rules, &Request::get(host, port, "/")).unwrap_err().to_string();
        assert!(error.contains(expected), "{host}:{port}: {error}");
    }
}

#[test]
fn rules_of_delegates_name_them_and_missing_ones_are_noted() {
    let root = routes(
        "root",
        1,
        json!([
            {"name": "a", "match": [{"uri": {"prefix": "/a"}}], "delegate": {"name": "part"}, "timeout": "3s"},
            {"match": [{"uri": {"prefix": "/b"}}], "delegate": {"name": "nowhere"}},
            {"route": to("v1")},
        ]),
    );
    let part = json!({"http": [
        {"name": "x", "match": [{"uri": {"exact": "/a/x"}}], "route": to("v2")},
        {"match": [{"uri": {"exact": "/other"}}], "route": to("v2")},
    ]});
    let rules = [root, object("VirtualService", "shop", "part", 1, part)];
    let decision = ask(&rules, &reviews("/a/x")).unwrap();
    let matched = decision.matched().unwrap();
    assert_eq!((matched.delegate.as_deref(), matched.name.as_str()), (Some("shop/part"), "a-x"));
    let Outcome::Forward(forward) = &decision.outcome else { panic!() };
    assert_eq!(forward.timeout.as_deref(), Some("3s"), "what the delegate leaves open the root says");
    assert!(
        decision.notes.iter().any(|note| note.contains("shop/nowhere, which does not exist")),
        "{:?}",
        decision.notes
    );
    assert!(decision.notes.iter().any(|note| note.contains("rule 1 of shop/part")), "{:?}", decision.notes);
}

#[test]
fn destinations_show_where_their_policy_comes_from() {
    let of_service = json!({"host": "reviews", "trafficPolicy": {
            "loadBalancer": {"simple": "RANDOM"},
            "portLevelSettings": [{"port": {"number": 9080}, "outlierDetection": {"consecutive5xxErrors": 3}}]},
        "subsets": [{"name": "v1", "labels": {"version": "v1"}},
                    {"name": "v2", "labels": {"version": "v2"}, "trafficPolicy": {"loadBalancer": {"simple": "ROUND_ROBIN"}}}]});
    let mut rules = vec![
        routes(
            "split",
            1,
            json!([{"route": [
                {"destination": {"host": "reviews", "subset": "v1"}, "weight": 1},
                {"destination": {"host": "reviews", "subset": "v2"}, "weight": 3},
                {"destination": {"host": "reviews", "subset": "v3"}, "weight": 0},
            ]}]),
        ),
        object("DestinationRule", "shop", "d", 1, of_service),
        object("PeerAuthentication", "shop", "strict", 1, json!({"mtls": {"mode": "STRICT"}})),
    ];
    let decision = ask(&rules, &reviews("/")).unwrap();
    let [v1, v2] = targets(&decision) else { panic!("a destination of weight 0 gets nothing") };
    assert_eq!((v1.percent, v2.percent), (25.0, 75.0));
    let rule = v1.destination_rule.as_ref().unwrap();
    assert_eq!((rule.objects[0].as_str(), rule.found_in.as_str()), ("shop/d", "the client's namespace"));
    // settings of a port replace the others at their level
    assert_eq!(v1.policy.load_balancer, None);
    assert_eq!(v1.policy.outlier_detection.as_ref().unwrap().from, "port 9080");
    assert_eq!(v2.policy.load_balancer.as_ref().unwrap().from, "subset v2");
    let [endpoint] = &v2.endpoints[..] else { panic!("{:?}", v2.endpoints) };
    assert_eq!(
        (endpoint.address.as_str(), endpoint.mutual_tls, v2.tls.mode.as_str()),
        ("10.1.0.6:9080", true, "mutual")
    );
    let accepts = endpoint.accepts.as_ref().unwrap();
    assert_eq!((accepts.mode.as_str(), accepts.policy.as_deref()), ("STRICT", Some("shop/strict")));

    rules[0] = routes("split", 1, json!([{"route": to("v9")}]));
    let decision = ask(&rules, &reviews("/")).unwrap();
    let problem = targets(&decision)[0].problem.as_deref().unwrap();
    assert!(problem.contains("DestinationRule shop/d has no subset v9"), "{problem}");
    // somebody else's client finds the rule in the service's namespace
    let mesh = mesh(&rules);
    let request = Request::get("reviews.shop", 9080, "/");
    let decision = Evaluator::new(&mesh).explain(&sender("other", "v1"), &request).unwrap();
    assert_eq!(targets(&decision)[0].destination_rule.as_ref().unwrap().found_in, "the service's namespace");
}

#[test]
fn connections_to_other_protocols_are_about_bytes() {
    let tcp = object(
        "VirtualService",
        "shop",
        "tcp",
        1,
        json!({"hosts": ["ratings"],
        "tcp": [{"match": [{"port": 90}], "route": [{"destination": {"host": "reviews", "port": {"number": 9080}}}]}]}),
    );
    let decision = ask(&[tcp], &Request::get("ratings", 90, "/")).unwrap();
    let Outcome::Bytes { targets } = &decision.outcome else { panic!("{:?}", decision.outcome) };
    assert_eq!(targets[0].cluster, "outbound|9080||reviews.shop.svc.cluster.local");
    assert!(decision.notes[0].contains("port 90 is declared TCP"), "{:?}", decision.notes);
}

#[test]
fn a_decision_is_plain_json() {
    let decision = ask(&[routes("v", 1, json!([{"route": to("v1")}]))], &reviews("/")).unwrap();
    let value = serde_json::to_value(&decision).unwrap();
    assert_eq!(value["virtualHost"]["name"], "reviews.shop.svc.cluster.local:9080");
    assert_eq!(value["rules"][0]["verdict"]["result"], "matched");
    assert_eq!(value["outcome"]["kind"], "forward");
    assert_eq!(value["outcome"]["targets"][0]["subset"], "v1");
}
