use std::slice::from_ref;

use super::*;

#[test]
fn a_format_of_access_logs_that_proxies_refuse_is_named() {
    let settings = |mesh: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"},
               "data": {"mesh": mesh}})
    };
    let found = |mesh: &str| all_findings(&with(shop(), &[settings(mesh)]).mesh()).collect::<Vec<_>>();
    assert_eq!(found("accessLogFormat: '%DURATION% 100%%'"), []);
    let broken = found("accessLogFormat: '%DURATION% %NOPE%'");
    let [(key, findings)] = &broken[..] else { panic!("{broken:?}") };
    assert_eq!(key.to_string(), "MeshConfig mesh");
    expect("the mesh's settings", findings, &[(Ignored, Error, "accessLogFormat", "%NOPE% is no operator")]);
    assert!(
        found("{accessLogFormat: '%DURATION%', accessLogEncoding: JSON}")[0].1[0]
            .message
            .contains("not JSON")
    );
}

#[test]
fn sidecars_select_workloads_and_reach_hosts_that_exist() {
    let sidecar = |name: &str, spec: Value| istio("Sidecar", name, spec);
    let reach = |host: &str| sidecar("s", json!({"egress": [{"hosts": [host]}]}));
    let at = "spec.egress[0].hosts[0]";
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let others = [namespace("shop"), namespace("store"), namespace("empty")];
    for (host, message) in [
        ("./revews.shop.svc.cluster.local", "did you mean reviews.shop.svc.cluster.local?"),
        ("store/reviews.shop.svc.cluster.local", "no service in namespace store"),
        ("stroe/*", "there is no namespace stroe; did you mean store?"),
        ("*/api.example.org", "no service has a host like api.example.org"),
    ] {
        beside(&others, &reach(host), &[(UnresolvedReference, Warning, at, message)]);
    }
    for host in
        ["./*", "*/*", "~/*", "empty/*", "store/stock.store.svc.cluster.local", "*/*.shop.svc.cluster.local"]
    {
        beside(&others, &reach(host), &[]);
    }
    let selecting = |name: &str, app: &str| {
        sidecar(name, json!({"workloadSelector": {"labels": {"app": app}}, "egress": [{"hosts": ["./*"]}]}))
    };
    let at = "spec.workloadSelector";
    about(&selecting("s", "nobody"), &[(Empty, Warning, at, "app=nobody")]);
    beside(
        &[selecting("first", "reviews")],
        &later(selecting("second", "reviews")),
        &[(Conflict, Error, at, "first is older and selects")],
    );
    let mut plain = reach("./*");
    plain["metadata"]["name"] = "first".into();
    beside(
        &[plain],
        &later(reach("./*")),
        &[(Conflict, Error, at, "first is older and has no selector either")],
    );
}

fn entry(name: &str, host: &str, spec: Value) -> Value {
    let mut whole = json!({"hosts": [host], "resolution": "DNS", "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    istio("ServiceEntry", name, whole)
}

#[test]
fn entries_need_endpoints() {
    let endpoints = (Empty, Error, "spec.endpoints", "resolution STATIC finds no others");
    about(&entry("e", "a.org", json!({"resolution": "STATIC"})), &[endpoints]);
    let selecting = |app: &str| {
        entry("e", "a.org", json!({"resolution": "STATIC", "workloadSelector": {"labels": {"app": app}}}))
    };
    about(&selecting("nobody"), &[(Empty, Warning, "spec.workloadSelector", "app=nobody")]);
    about(&selecting("reviews"), &[]);
    let machine = istio("WorkloadEntry", "m", json!({"address": "10.2.0.1", "labels": {"app": "vm"}}));
    beside(from_ref(&machine), &selecting("vm"), &[]);
    beside(&[selecting("vm")], &machine, &[]);
    about(
        &machine,
        &[(Empty, Warning, "spec.labels", "no ServiceEntry or Service of namespace shop selects it")],
    );
    about(&istio("WorkloadEntry", "m", json!({"address": "10.2.0.1", "labels": {"app": "reviews"}})), &[]);
}

#[test]
fn several_entries_for_a_host() {
    let first = entry("first", "a.org", json!({}));
    let host = "spec.hosts[0]";
    let second = |spec| later(entry("second", "a.org", spec));
    beside(
        from_ref(&first),
        &second(json!({"ports": [{"number": 81, "name": "more", "protocol": "HTTP"}]})),
        &[(Conflict, Info, host, "merged with ServiceEntry shop/first")],
    );
    beside(
        from_ref(&first),
        &second(json!({"resolution": "NONE"})),
        &[(Conflict, Error, host, "shop/first for the same host is older and has another resolution")],
    );
    let other = second(json!({"ports": [{"number": 80, "name": "tcp", "protocol": "TCP"}]}));
    beside(
        from_ref(&first),
        &other,
        &[(Conflict, Error, "spec.ports", "port 80 with another name or protocol")],
    );
    beside(
        from_ref(&first),
        &later(entry("store/second", "a.org", json!({}))),
        &[(Conflict, Warning, host, "first in namespace shop declares the host too")],
    );
    beside(
        &[first],
        &later(entry("store/second", "a.org", json!({"exportTo": ["."]}))),
        &[(Conflict, Warning, host, "first in namespace shop")],
    );
    beside(
        &[entry("wide", "*.org", json!({"resolution": "NONE"}))],
        &entry("e", "a.org", json!({})),
        &[(Conflict, Info, host, "declares *.org; for a.org this entry counts")],
    );
    about(
        &entry("e", "reviews.shop.svc.cluster.local", json!({})),
        &[(Conflict, Error, host, "Service reviews of Kubernetes has this host")],
    );
}

#[test]
fn ports_of_services_should_say_their_protocol() {
    let mut odd = service("shop", "odd", "http", &[80, 81]);
    odd["spec"]["ports"] =
        json!([{"port": 80}, {"port": 81, "name": "web-x"}, {"port": 82, "name": "http-y"}]);
    let store = with(shop(), &[odd]);
    expect(
        "odd",
        &said(&store, Kind::Service, "odd"),
        &[
            (Ignored, Info, "spec.ports[0].name", "port 80 has no name, which says no protocol"),
            (Ignored, Info, "spec.ports[1].name", "port 81 has the name web-x"),
            (Empty, Info, "spec.selector", "no endpoint now"),
        ],
    );
}

fn gateway(name: &str, port: u32, protocol: &str, host: &str, tls: Value) -> Value {
    let mut server = json!({"port": {"number": port, "name": "p", "protocol": protocol}, "hosts": [host]});
    if !tls.is_null() {
        server["tls"] = tls;
    }
    istio("Gateway", name, json!({"selector": {"istio": "gw"}, "servers": [server]}))
}

fn proxies() -> Vec<Value> {
    let mut service = service("edge", "gw", "http", &[80, 443]);
    service["spec"]["selector"] = json!({"istio": "gw"});
    vec![service, pod("edge", "gw-1", "10.1.0.9", json!({"istio": "gw"}))]
}

const UNBOUND: Row = (Empty, Info, "spec", "no VirtualService is bound to it");

#[test]
fn gateways_need_pods_and_their_service_a_port() {
    about(
        &gateway("g", 80, "HTTP", "*", Value::Null),
        &[(Empty, Warning, "spec.selector", "no workload has the labels istio=gw"), UNBOUND],
    );
    let port = (
        UnresolvedReference,
        Warning,
        "spec.servers[0].port.number",
        "Service edge/gw in front of the gateway has no port 81, only 80, 443",
    );
    beside(&proxies(), &gateway("g", 81, "HTTP", "*", Value::Null), &[port, UNBOUND]);
    beside(&proxies(), &gateway("g", 8080, "HTTP", "*", Value::Null), &[UNBOUND]);
}

#[test]
fn two_gateways_on_one_port() {
    let simple = json!({"mode": "SIMPLE", "credentialName": "c"});
    let mut others = proxies();
    others.push(gateway("first", 443, "HTTPS", "a.org", simple.clone()));
    let hosts = "spec.servers[0].hosts";
    let port = "spec.servers[0].port";
    beside(
        &others,
        &later(gateway("g", 443, "HTTPS", "a.org", simple.clone())),
        &[(Conflict, Error, hosts, "shop/first is older and serves a.org on port 443"), UNBOUND],
    );
    beside(&others, &later(gateway("g", 443, "HTTPS", "b.org", simple.clone())), &[UNBOUND]);
    beside(
        &others,
        &later(gateway("g", 443, "HTTP", "a.org", Value::Null)),
        &[(Conflict, Error, port, "Gateway shop/first has port 443 as HTTPS and this one as HTTP"), UNBOUND],
    );
    others.push(gateway("plain", 80, "HTTP", "a.org", Value::Null));
    beside(
        &others,
        &later(gateway("g", 80, "HTTP", "a.org", Value::Null)),
        &[(Conflict, Info, hosts, "routes of both are merged"), UNBOUND],
    );
    others.push(gateway("bytes", 8080, "TCP", "*", Value::Null));
    beside(
        &others,
        &later(gateway("g", 8080, "TCP", "*", Value::Null)),
        &[(Conflict, Error, port, "takes every connection to port 8080"), UNBOUND],
    );
}

#[test]
fn secrets_of_servers_must_be_where_the_pods_are() {
    let secret = |namespace: &str, name: &str, data: Value| {
        json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace}, "stringData": data})
    };
    let pair = json!({"tls.crt": "c", "tls.key": "k"});
    let mut documents = shop();
    documents.extend(proxies());
    documents.extend([
        secret("edge", "good", pair.clone()),
        secret("edge", "with-ca", json!({"tls.crt": "c", "tls.key": "k", "ca.crt": "a"})),
        secret("edge", "only-ca", json!({"ca.crt": "a"})),
        secret("edge", "empty", json!({"x": "y"})),
        secret("shop", "elsewhere", pair),
    ]);
    let found = |tls: Value, known: bool| {
        let mut store = store(&documents);
        if known {
            store.know_secrets("edge");
        }
        let object = gateway("g", 443, "HTTPS", "*", tls);
        let mut found = findings_if_applied(&store.mesh(), Object::from_json(object).unwrap().unwrap());
        found.pop();
        found
    };
    let at = "spec.servers[0].tls.credentialName";
    for (mode, name, message) in [
        ("SIMPLE", "godo", "did you mean good?"),
        (
            "SIMPLE",
            "elsewhere",
            "shop/elsewhere is in another namespace than the gateway's pods; copy it to edge",
        ),
        ("SIMPLE", "only-ca", "it has no certificate with key"),
        ("SIMPLE", "empty", "or it has no tls.crt and tls.key"),
        ("SIMPLE", "shop/elsewhere", "in another namespace than the gateway's pods, edge"),
        ("MUTUAL", "good", "no Secret good-cacert or good of namespace edge has authorities"),
    ] {
        let tls = json!({"mode": mode, "credentialName": name});
        expect(name, &found(tls.clone(), true), &[(UnresolvedReference, Error, at, message)]);
        assert_eq!(found(tls, false), [], "{name}: nobody has read the Secrets of edge");
    }
    assert_eq!(found(json!({"mode": "SIMPLE", "credentialName": "good"}), true), []);
    assert_eq!(found(json!({"mode": "MUTUAL", "credentialName": "with-ca"}), true), []);
    let split = json!({"mode": "MUTUAL", "credentialName": "good", "caCertCredentialName": "only-ca"});
    assert_eq!(found(split, true), []);
}

#[test]
fn ingresses_name_services_ports_and_secrets_that_exist() {
    let ingress = |spec: Value| {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
               "metadata": {"name": "i", "namespace": "shop", "annotations": {"kubernetes.io/ingress.class": "istio"}},
               "spec": spec})
    };
    let to = |service: &str, port: Value| json!({"service": {"name": service, "port": port}});
    let rules = |backend: Value| json!([{"http": {"paths": [{"pathType": "Prefix", "path": "/", "backend": backend}]}}]);
    let edge = pod("istio-system", "gw-1", "10.1.0.9", json!({"istio": "ingressgateway"}));
    let found = |spec: Value, pods: &[Value]| {
        let mut store = with(shop(), pods);
        store.know_secrets("istio-system");
        store.apply(Object::from_json(ingress(spec)).unwrap().unwrap().into());
        said(&store, Kind::Ingress, "i")
    };
    let pods = [edge];
    let backend = "spec.rules[0].http.paths[0].backend";
    for (wanted, kind, field, message) in [
        (
            to("revews", json!({"number": 80})),
            UnresolvedReference,
            "service.name",
            "did you mean reviews.shop",
        ),
        (to("stock", json!({"number": 80})), Misplaced, "service.name", "did you mean stock.store"),
        (
            to("reviews", json!({"number": 81})),
            UnresolvedReference,
            "service.port",
            "no port 81; its ports are 80 (http-80)",
        ),
        (to("reviews", json!({"name": "web"})), UnresolvedReference, "service.port", "no port web"),
    ] {
        let rows = found(json!({"rules": rules(wanted)}), &pods);
        let [one] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((one.kind, one.field.clone()), (kind, format!("{backend}.{field}")));
        assert!(one.message.contains(message), "{one:?}");
    }
    let bucket = json!({"resource": {"kind": "Bucket", "name": "b"}});
    expect(
        "bucket",
        &found(json!({"defaultBackend": bucket}), &pods),
        &[(Ignored, Error, "spec.defaultBackend", "only services")],
    );
    let good = rules(to("reviews", json!({"name": "http-80"})));
    expect("good", &found(json!({"rules": good}), &pods), &[]);
    let tls = json!({"rules": good, "tls": [{"secretName": "nobody"}, {"hosts": ["a.org"]}]});
    expect(
        "tls",
        &found(tls, &pods),
        &[
            (UnresolvedReference, Error, "spec.tls[0].secretName", "Secret istio-system/nobody"),
            (Ignored, Warning, "spec.tls[1].secretName", "name a Secret"),
        ],
    );
    expect(
        "nobody",
        &found(json!({"rules": good}), &[]),
        &[(Empty, Warning, "spec", "istio=ingressgateway")],
    );
}
