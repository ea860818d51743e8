//! What events change, and nothing more.

use serde_json::{Value, json};

use super::Store;
use crate::value::{NamespacedName, ServiceKey};
use crate::{Changes, Event, Key, Kind, Labels, Mesh, Object, Scope};

fn store(documents: Vec<Value>) -> Store {
    let mut store = Store::new("cluster.local", "Kubernetes");
    for document in documents {
        apply(&mut store, document);
    }
    store
}

fn apply(store: &mut Store, document: Value) -> Changes {
    store.apply(Object::from_json(document).unwrap().unwrap().into())
}

fn delete(store: &mut Store, kind: Kind, namespace: &str, name: &str) -> Changes {
    store.apply(Event::Deleted(Key::new(kind, namespace, name)))
}

fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
           "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 9080, "name": "http"}]}})
}

fn slice(service: &str, addresses: &[&str]) -> Value {
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|address| {
            let pod = format!("pod-{}", address.rsplit('.').next().unwrap());
            json!({"addresses": [address], "targetRef": {"kind": "Pod", "name": pod}})
        })
        .collect();
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
           "metadata": {"name": format!("{service}-1"), "namespace": "shop",
                        "labels": {"kubernetes.io/service-name": service}},
           "ports": [{"name": "http", "port": 9080}], "endpoints": endpoints})
}

fn pod(name: &str, address: &str, account: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": name, "namespace": "shop", "labels": {"app": "x", "version": "v1"}},
           "spec": {"nodeName": "n1", "serviceAccountName": account, "containers": []},
           "status": {"podIP": address}})
}

fn istio(kind: &str, group: &str, namespace: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("{group}.istio.io/v1"), "kind": kind,
           "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

fn networking(kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    istio(kind, "networking", namespace, name, spec)
}

fn addresses(mesh: &Mesh, service: &str) -> Vec<String> {
    let key = ServiceKey::new(&format!("{service}.shop.svc.cluster.local"), "shop");
    let endpoints = mesh.endpoints.get(&key);
    endpoints
        .into_iter()
        .flat_map(|endpoints| &endpoints.groups)
        .flat_map(|group| &group.endpoints)
        .map(|e| e.address.to_string())
        .collect()
}

#[test]
fn an_endpoint_change_is_nothing_but_that() {
    let mut store =
        store(vec![service("reviews"), pod("pod-1", "10.1.0.1", "a"), pod("pod-2", "10.1.0.2", "a")]);
    apply(&mut store, slice("reviews", &["10.1.0.1"]));
    let before = store.mesh();
    let changes = apply(&mut store, slice("reviews", &["10.1.0.1", "10.1.0.2"]));
    assert!(changes.only_endpoints());
    assert!(!changes.endpoints.values().next().unwrap().accounts_changed());
    assert_eq!(addresses(&before, "reviews").len(), 1, "an older mesh stays as it was");
    assert_eq!(addresses(&store.mesh(), "reviews").len(), 2);
    let changes = apply(&mut store, slice("reviews", &["10.1.0.1", "10.1.0.2"]));
    assert!(changes.is_empty());
}

#[test]
fn an_endpoint_waits_for_its_pod_and_outlives_it() {
    let mut store = store(vec![service("reviews"), slice("reviews", &["10.1.0.1"])]);
    assert!(addresses(&store.mesh(), "reviews").is_empty());
    let changes = apply(&mut store, pod("pod-1", "10.1.0.1", "a"));
    assert!(changes.endpoints.values().next().unwrap().accounts_changed());
    assert_eq!(addresses(&store.mesh(), "reviews"), ["10.1.0.1"]);
    let changes = delete(&mut store, Kind::Pod, "shop", "pod-1");
    assert!(changes.endpoints.is_empty(), "until its slice drops it");
    apply(&mut store, pod("pod-2", "10.1.0.2", "a"));
    apply(&mut store, slice("reviews", &["10.1.0.1", "10.1.0.2"]));
    assert_eq!(addresses(&store.mesh(), "reviews"), ["10.1.0.1", "10.1.0.2"]);
    apply(&mut store, slice("reviews", &["10.1.0.2"]));
    assert_eq!(addresses(&store.mesh(), "reviews"), ["10.1.0.2"]);
}

#[test]
fn a_pod_that_changes_where_nobody_looks_changes_nothing() {
    let mut store = store(vec![pod("pod-1", "10.1.0.1", "a")]);
    let mut same = pod("pod-1", "10.1.0.1", "a");
    same["metadata"]["annotations"] = json!({"x": "y"});
    same["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    assert!(apply(&mut store, same).is_empty());
}

#[test]
fn a_node_gives_its_pods_a_locality() {
    let mut store =
        store(vec![service("reviews"), slice("reviews", &["10.1.0.1"]), pod("pod-1", "10.1.0.1", "a")]);
    let changes = apply(
        &mut store,
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {
            "topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "eu-1"}}}),
    );
    assert_eq!((changes.endpoints.len(), changes.workloads.len()), (1, 1));
    let mesh = store.mesh();
    let workload = mesh.workloads.values().next().unwrap();
    assert_eq!(&*workload.locality.zone, "eu-1");
}

#[test]
fn services_and_slices_come_in_any_order_and_go() {
    let mut store = store(vec![pod("pod-1", "10.1.0.1", "a"), slice("reviews", &["10.1.0.1"])]);
    assert!(addresses(&store.mesh(), "reviews").is_empty());
    let changes = apply(&mut store, service("reviews"));
    assert_eq!((changes.services.len(), changes.endpoints.len()), (1, 1));
    assert_eq!(addresses(&store.mesh(), "reviews"), ["10.1.0.1"]);
    delete(&mut store, Kind::Service, "shop", "reviews");
    let mesh = store.mesh();
    assert!(mesh.services.is_empty() && mesh.endpoints.is_empty());
    assert!(mesh.services_in.is_empty() && mesh.http_on.is_empty() && mesh.services_at.is_empty());
}

#[test]
fn a_virtual_service_moves_between_indexes() {
    let route = |hosts: Value, gateways: Value| {
        networking(
            "VirtualService",
            "shop",
            "v",
            json!({"hosts": hosts, "gateways": gateways,
            "http": [{"match": [{"sourceLabels": {"app": "x"}}], "route": [{"destination": {"host": "reviews"}}]}]}),
        )
    };
    let mut store = store(vec![route(json!(["reviews"]), json!([]))]);
    assert_eq!(store.mesh().mesh_routes.len(), 1);
    assert_eq!(store.mesh().sidecar_label_keys.len(), 1);
    let changes = apply(&mut store, route(json!(["ratings"]), json!(["front"])));
    let change = changes.virtual_services.values().next().unwrap();
    assert_eq!(change.both().count(), 2);
    assert!(store.mesh().mesh_routes.is_empty());
    assert!(store.mesh().gateway_routes.contains_key(&NamespacedName::new("shop", "front")));
    let changes = delete(&mut store, Kind::VirtualService, "shop", "v");
    assert!(changes.selector_keys);
    let mesh = store.mesh();
    assert!(
        mesh.gateway_routes.is_empty() && mesh.routes_to.is_empty() && mesh.sidecar_label_keys.is_empty()
    );
}

#[test]
fn a_burst_that_ends_where_it_began_is_no_change() {
    let mut store = store(vec![service("reviews")]);
    let mut changes = delete(&mut store, Kind::Service, "shop", "reviews");
    changes.merge(apply(&mut store, service("reviews")));
    assert!(changes.services.is_empty());
}

#[test]
fn destination_rules_of_one_host_are_merged_and_looked_up_by_client_service_and_root() {
    let rule =
        |namespace: &str, name: &str, spec: Value| networking("DestinationRule", namespace, name, spec);
    let host = "reviews.shop.svc.cluster.local";
    let mesh = store(vec![
        rule("shop", "a", json!({"host": "reviews", "subsets": [{"name": "v1"}]})),
        rule(
            "shop",
            "b",
            json!({"host": "reviews", "subsets": [{"name": "v1"}, {"name": "v2"}],
                                 "trafficPolicy": {"tls": {"mode": "DISABLE"}}}),
        ),
        rule("client", "c", json!({"host": "*.shop.svc.cluster.local", "exportTo": ["."]})),
        rule("istio-system", "d", json!({"host": "*.local"})),
        rule("shop", "hidden", json!({"host": "ratings", "exportTo": ["."]})),
    ])
    .mesh();
    let found = |client: &str, host: &str| {
        mesh.destination_rule(client, &Labels::default(), host, "shop")
            .map(|rule| rule.sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(found("other", host).as_deref(), Some("shop/a shop/b"));
    assert_eq!(found("client", host).as_deref(), Some("client/c"));
    assert_eq!(found("istio-system", host).as_deref(), Some("shop/a shop/b"));
    assert_eq!(found("other", "ratings.shop.svc.cluster.local").as_deref(), Some("istio-system/d"));
    assert_eq!(found("other", "example.com"), None);
    let merged = mesh.destination_rule("other", &Labels::default(), host, "shop").unwrap();
    assert_eq!(merged.subsets.len(), 2);
    assert!(merged.policy.is_some());
}

#[test]
fn the_most_specific_host_has_the_say_even_for_those_that_its_rules_are_not_for() {
    let rule = |namespace: &str, name: &str, export_to: Value, app: Option<&str>| {
        let host = match name {
            "wide" => "*.shop.svc.cluster.local",
            _ => "reviews.shop.svc.cluster.local",
        };
        let selector = app.map(|app| json!({"matchLabels": {"app": app}}));
        let spec = json!({"host": host, "exportTo": export_to, "workloadSelector": selector});
        networking("DestinationRule", namespace, name, spec)
    };
    let all = || json!([]);
    let own = || rule("shop", "own", json!(["."]), None);
    let to_bank = || rule("shop", "narrow", json!(["bank"]), None);
    let wide = |namespace| rule(namespace, "wide", all(), None);
    let some = |namespace, app| rule(namespace, "some", all(), Some(app));
    // The client has `app: a`.
    for (rules, client, expected) in [
        (vec![wide("shop"), to_bank()], "other", None),
        (vec![wide("shop"), to_bank()], "bank", Some("shop/narrow")),
        (vec![wide("shop"), to_bank(), wide("istio-system")], "other", Some("istio-system/wide")),
        (vec![wide("shop"), own()], "other", Some("shop/wide")),
        (vec![wide("shop"), own()], "shop", Some("shop/own")),
        (vec![wide("shop"), to_bank()], "shop", Some("shop/wide")),
        (vec![wide("shop"), rule("shop", "never", json!(["~"]), None)], "other", None),
        (vec![some("shop", "a"), wide("shop")], "other", Some("shop/wide")),
        (vec![some("shop", "a"), wide("shop")], "shop", Some("shop/some")),
        (vec![some("shop", "b"), wide("shop")], "shop", None),
        (vec![some("other", "b"), wide("shop")], "other", None),
        (vec![some("other", "a"), wide("shop")], "other", Some("other/some")),
        (vec![some("other", "b"), rule("other", "d", all(), None), wide("shop")], "other", Some("other/d")),
        (vec![some("istio-system", "a"), wide("istio-system")], "other", Some("istio-system/wide")),
        (vec![some("istio-system", "a"), wide("shop")], "istio-system", Some("istio-system/some")),
        (vec![some("istio-system", "b"), wide("shop")], "istio-system", None),
        (vec![rule("istio-system", "d", all(), None), wide("shop")], "istio-system", Some("shop/wide")),
        (
            vec![rule("istio-system", "d", json!(["."]), None), wide("shop")],
            "istio-system",
            Some("istio-system/d"),
        ),
    ] {
        let mesh = store(rules.clone()).mesh();
        let labels = Labels::new([("app", "a")]);
        let found = mesh.destination_rule(client, &labels, "reviews.shop.svc.cluster.local", "shop");
        let found = found.map(|rule| rule.sources[0].to_string());
        assert_eq!(found.as_deref(), expected, "{client}: {rules:?}");
    }
}

#[test]
fn peer_authentication_goes_by_port_workload_namespace_mesh() {
    let policy = |namespace: &str, name: &str, spec: Value| {
        istio("PeerAuthentication", "security", namespace, name, spec)
    };
    let mesh = store(vec![
        policy("istio-system", "mesh", json!({"mtls": {"mode": "STRICT"}})),
        policy("shop", "all", json!({"mtls": {"mode": "UNSET"}})),
        policy("lab", "all", json!({"mtls": {"mode": "DISABLE"}})),
        policy(
            "shop",
            "db",
            json!({"selector": {"matchLabels": {"app": "db"}}, "mtls": {"mode": "PERMISSIVE"},
                                    "portLevelMtls": {"3306": {"mode": "DISABLE"}, "80": {}}}),
        ),
        policy(
            "istio-system",
            "selected",
            json!({"selector": {"matchLabels": {"app": "x"}}, "mtls": {"mode": "DISABLE"}}),
        ),
    ])
    .mesh();
    let mode = |namespace: &str, app: &str, port| {
        format!("{:?}", mesh.mutual_tls(namespace, &Labels::new([("app", app)])).of_port(port))
    };
    for (namespace, app, port, expected) in [
        ("other", "x", 80, "Strict"),
        ("shop", "x", 80, "Strict"),
        ("lab", "x", 80, "Disable"),
        ("shop", "db", 3306, "Disable"),
        ("shop", "db", 80, "Permissive"),
        ("istio-system", "x", 80, "Strict"),
    ] {
        assert_eq!(mode(namespace, app, port), expected, "{namespace} {app} {port}");
    }
}

#[test]
fn a_sidecar_narrows_what_is_seen() {
    let other = |name: &str| {
        let mut service = service(name);
        service["metadata"]["namespace"] = json!("other");
        service
    };
    let store = store(vec![
        service("reviews"),
        service("ratings"),
        other("far"),
        networking("Sidecar", "shop", "narrow", json!({"egress": [{"hosts": ["./reviews", "other/*"]}]})),
        networking("Sidecar", "istio-system", "default", json!({"egress": [{"hosts": ["./*"]}]})),
    ]);
    let mesh = store.mesh();
    let seen = |namespace: &str| -> Vec<String> {
        let sidecar = mesh.sidecar_of(namespace, &Labels::default()).map(|sidecar| sidecar.meta.name.clone());
        let scope = Scope::new(&mesh, namespace, sidecar.as_ref());
        let seen = mesh.services.values().filter(|service| scope.sees(service, None));
        seen.map(|service| service.name.to_string()).collect()
    };
    assert_eq!(seen("shop"), ["far", "reviews"]);
    assert_eq!(seen("other"), ["far"], "`.` is the workload's namespace in the root namespace too");
}

#[test]
fn service_entries_list_or_select_their_endpoints() {
    let mut store = store(vec![
        pod("vm", "10.1.0.9", "a"),
        networking(
            "ServiceEntry",
            "shop",
            "selecting",
            json!({
            "hosts": ["vm.example.com"], "location": "MESH_INTERNAL", "resolution": "STATIC",
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080}],
            "workloadSelector": {"labels": {"app": "x"}}}),
        ),
        networking(
            "ServiceEntry",
            "shop",
            "listing",
            json!({
            "hosts": ["a.example.com", "b.example.com"], "resolution": "STATIC",
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "endpoints": [{"address": "192.0.2.1", "ports": {"http": 8081}}, {"address": "192.0.2.2"}]}),
        ),
    ]);
    let ports = |store: &Store, host: &str| -> Vec<String> {
        let mesh = store.mesh();
        let Some(endpoints) = mesh.endpoints.get(&ServiceKey::new(host, "shop")) else { return Vec::new() };
        endpoints.on_port("http").map(|(endpoint, port)| format!("{}:{port}", endpoint.address)).collect()
    };
    assert_eq!(ports(&store, "vm.example.com"), ["10.1.0.9:8080"]);
    assert_eq!(ports(&store, "b.example.com"), ["192.0.2.1:8081", "192.0.2.2:80"]);
    let machine = json!({"address": "10.9.9.9", "labels": {"app": "x"}, "ports": {"http": 7070}});
    apply(&mut store, networking("WorkloadEntry", "shop", "m", machine));
    assert_eq!(ports(&store, "vm.example.com"), ["10.1.0.9:8080", "10.9.9.9:7070"]);
    delete(&mut store, Kind::ServiceEntry, "shop", "listing");
    assert!(ports(&store, "b.example.com").is_empty());
}

#[test]
fn a_rule_waits_until_what_it_names_exists_in_whatever_order() {
    let rule = networking(
        "VirtualService",
        "shop",
        "v",
        json!({"hosts": ["reviews"],
        "http": [{"route": [{"destination": {"host": "reviews", "subset": "v1"}}]}]}),
    );
    let policy = networking(
        "DestinationRule",
        "shop",
        "d",
        json!({"host": "reviews",
        "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}),
    );
    let deployment = [service("reviews"), slice("reviews", &["10.1.0.1"]), pod("pod-1", "10.1.0.1", "a")];
    let in_effect = |store: &Store| store.mesh().mesh_routes.len() == 1;
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut store = store(Vec::new());
        drop(store.hold_rules(true));
        for (step, part) in order.into_iter().enumerate() {
            assert!(!in_effect(&store), "{order:?} {step}");
            match part {
                0 => drop(apply(&mut store, rule.clone())),
                1 => drop(apply(&mut store, policy.clone())),
                _ => deployment.iter().for_each(|object| drop(apply(&mut store, object.clone()))),
            }
        }
        assert!(in_effect(&store) && store.held().count() == 0, "{order:?}");
        // An edit that leads nowhere new takes effect even if the endpoints are gone by now.
        apply(&mut store, slice("reviews", &[]));
        let mut edited = rule.clone();
        edited["spec"]["http"][0]["timeout"] = json!("1s");
        assert_eq!(apply(&mut store, edited).virtual_services.len(), 1);
    }
}

#[test]
fn a_rule_that_has_waited_long_enough_is_released() {
    let mut store = store(vec![service("reviews")]);
    drop(store.hold_rules(true));
    let rule = |name: &str, host: &str| {
        networking(
            "VirtualService",
            "shop",
            name,
            json!({"hosts": ["reviews"],
        "http": [{"route": [{"destination": {"host": host, "subset": "v9"}}]}]}),
        )
    };
    assert!(apply(&mut store, rule("a", "reviews")).is_empty());
    assert!(apply(&mut store, rule("b", "nowhere")).is_empty());
    let reasons: Vec<String> =
        store.held().flat_map(|(_, missing)| missing).map(ToString::to_string).collect();
    assert_eq!(
        reasons,
        [
            "no DestinationRule for reviews.shop.svc.cluster.local has the subset v9",
            "no service has the host nowhere.shop.svc.cluster.local",
        ]
    );
    assert_eq!(store.release(&NamespacedName::new("shop", "a")).virtual_services.len(), 1);
    assert!(delete(&mut store, Kind::VirtualService, "shop", "b").is_empty());
    assert_eq!(store.held().count(), 0);
}
