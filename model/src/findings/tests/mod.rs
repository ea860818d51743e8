//! Objects in, what is said about one of them out: one row for each thing that can be said.

mod others;
mod rules;
mod virtual_services;

use serde_json::{Value, json};

use super::FindingKind::{self, Conflict, Empty, Ignored, Misplaced, Unreachable, UnresolvedReference};
use super::Severity::{self, Error, Info, Warning};
use super::{Finding, all_findings, findings, findings_if_applied};
use crate::Object;
use crate::store::Store;
use crate::value::{Key, Kind};

/// What is expected: kind, severity, field, part of the message.
type Row = (FindingKind, Severity, &'static str, &'static str);

fn store(documents: &[Value]) -> Store {
    let mut store = Store::new("cluster.local", "Kubernetes");
    for document in documents {
        store.apply(Object::from_json(document.clone()).unwrap().unwrap().into());
    }
    store
}

/// A shop with two services, one of which has pods of two versions.
fn shop() -> Vec<Value> {
    vec![
        service("shop", "reviews", "http", &[80]),
        service("shop", "ratings", "http", &[80]),
        service("store", "stock", "http", &[80]),
        pod("shop", "reviews-v1", "10.1.0.1", json!({"app": "reviews", "version": "v1"})),
        pod("shop", "reviews-v2", "10.1.0.2", json!({"app": "reviews", "version": "v2"})),
        pod("shop", "ratings-v1", "10.1.0.3", json!({"app": "ratings", "version": "v1"})),
        pod("store", "stock-v1", "10.1.0.4", json!({"app": "stock"})),
        slice("shop", "reviews", &[("reviews-v1", "10.1.0.1"), ("reviews-v2", "10.1.0.2")]),
        slice("shop", "ratings", &[("ratings-v1", "10.1.0.3")]),
        slice("store", "stock", &[("stock-v1", "10.1.0.4")]),
    ]
}

fn with(mut documents: Vec<Value>, more: &[Value]) -> Store {
    documents.extend_from_slice(more);
    store(&documents)
}

fn service(namespace: &str, name: &str, port_name: &str, ports: &[u16]) -> Value {
    let port = |port: &u16| json!({"port": port, "name": format!("{port_name}-{port}"), "targetPort": 8080});
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
           "spec": {"clusterIP": "10.0.0.1", "selector": {"app": name}, "ports": ports.iter().map(port).collect::<Vec<_>>()}})
}

fn pod(namespace: &str, name: &str, address: &str, mut labels: Value) -> Value {
    labels["security.istio.io/tlsMode"] = "istio".into();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels},
           "spec": {"containers": []}, "status": {"podIP": address}})
}

fn slice(namespace: &str, service: &str, pods: &[(&str, &str)]) -> Value {
    let endpoint = |(pod, address): &(&str, &str)| json!({"addresses": [address], "targetRef": {"kind": "Pod", "name": pod}});
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
           "metadata": {"name": format!("{service}-1"), "namespace": namespace,
                        "labels": {"kubernetes.io/service-name": service}},
           "ports": [{"name": "http-80", "port": 8080}],
           "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>()})
}

fn istio(kind: &str, name: &str, spec: Value) -> Value {
    let (namespace, name) = name.split_once('/').unwrap_or(("shop", name));
    let group = if kind == "PeerAuthentication" { "security" } else { "networking" };
    json!({"apiVersion": format!("{group}.istio.io/v1"), "kind": kind,
           "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

/// The same object, made later than those that do not say when.
fn later(mut object: Value) -> Value {
    object["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    object
}

fn route_to(host: &str) -> Value {
    json!({"hosts": ["ratings"], "http": [{"route": [{"destination": {"host": host}}]}]})
}

fn to_subset(subset: &str) -> Value {
    json!({"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews", "subset": subset}}]}]})
}

fn said(store: &Store, kind: Kind, name: &str) -> Vec<Finding> {
    let (namespace, name) = name.split_once('/').unwrap_or(("shop", name));
    findings(&store.mesh(), &Key::new(kind, namespace, name))
}

/// Exactly these findings, in this order.
fn expect(about: &str, found: &[Finding], rows: &[Row]) {
    let fits = |(finding, (kind, severity, field, message)): (&Finding, &Row)| {
        finding.kind == *kind
            && finding.severity == *severity
            && finding.field == *field
            && finding.message.contains(message)
    };
    assert!(
        found.len() == rows.len() && found.iter().zip(rows).all(fits),
        "{about}\nwanted {rows:#?}\nfound {found:#?}"
    );
}

/// What is said about an object that is added to the shop, alone and before it is applied.
fn about(object: &Value, rows: &[Row]) {
    beside(&[], object, rows);
}

fn beside(others: &[Value], object: &Value, rows: &[Row]) {
    let before = with(shop(), others);
    let mut after = with(shop(), others);
    after.apply(Object::from_json(object.clone()).unwrap().unwrap().into());
    let key = Object::from_json(object.clone()).unwrap().unwrap().key();
    let text = object.to_string();
    expect(&text, &findings(&after.mesh(), &key), rows);
    let ahead = findings_if_applied(&before.mesh(), Object::from_json(object.clone()).unwrap().unwrap());
    expect(&format!("before it is applied: {text}"), &ahead, rows);
}

#[test]
fn a_mesh_without_fault_has_no_findings() {
    let store = with(
        shop(),
        &[
            istio("VirtualService", "r", to_subset("v1")),
            istio(
                "DestinationRule",
                "r",
                json!({"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}),
            ),
            istio("Sidecar", "s", json!({"egress": [{"hosts": ["./*", "store/*", "istio-system/*"]}]})),
            istio("PeerAuthentication", "p", json!({"mtls": {"mode": "STRICT"}})),
        ],
    );
    let all: Vec<_> = all_findings(&store.mesh()).collect();
    assert_eq!(all, []);
}

#[test]
fn whoever_asks_for_all_gets_the_objects_that_something_is_said_about() {
    let store = with(
        shop(),
        &[
            istio("VirtualService", "good", route_to("reviews")),
            later(istio("VirtualService", "bad", route_to("revews"))),
            istio("DestinationRule", "dead", json!({"host": "nobody"})),
        ],
    );
    let all: Vec<_> = all_findings(&store.mesh()).map(|(key, _)| key.to_string()).collect();
    assert_eq!(all, ["VirtualService shop/bad", "VirtualService shop/good", "DestinationRule shop/dead"]);
    assert_eq!(said(&store, Kind::VirtualService, "not-there"), []);
}

#[test]
fn a_rule_that_waits_is_spoken_about_as_it_was_written_last() {
    let mut store = with(shop(), &[]);
    store.hold_rules(true);
    store.apply(Object::from_json(istio("VirtualService", "r", to_subset("v9"))).unwrap().unwrap().into());
    assert!(store.held().next().is_some());
    let found = said(&store, Kind::VirtualService, "r");
    let row = (UnresolvedReference, Error, "spec.http[0].route[0].destination.subset", "no DestinationRule");
    expect("held", &found, &[row]);
}

/// Ten thousand rules that are all wrong, and ten thousand objects that are: the answer is short, and soon there.
#[test]
fn a_hostile_mesh_gets_a_short_answer_soon() {
    let rules: Vec<Value> = (0..10_000)
        .map(|i| json!({"match": [{"uri": {"prefix": format!("/{i}")}}], "route": [{"destination": {"host": format!("h{i}")}}]}))
        .collect();
    let big = istio("VirtualService", "big", json!({"hosts": ["reviews"], "http": rules}));
    let many =
        (0..2000).map(|i| istio("DestinationRule", &format!("d{i}"), json!({"host": format!("h{i}")})));
    let same = (0..500).map(|i| {
        istio(
            "VirtualService",
            &format!("v{i}"),
            json!({"hosts": ["ratings"], "http": [{"route": [{"destination": {"host": "ratings"}}]}]}),
        )
    });
    let mut documents = shop();
    documents.push(big);
    documents.extend(many.chain(same));
    let store = store(&documents);
    let start = std::time::Instant::now();
    let found = said(&store, Kind::VirtualService, "big");
    assert_eq!(found.len(), 50);
    let all = all_findings(&store.mesh()).count();
    assert_eq!(all, 2501);
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
}
