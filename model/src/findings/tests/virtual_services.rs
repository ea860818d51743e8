use std::slice::from_ref;

use super::*;

const HOST: &str = "spec.http[0].route[0].destination.host";
const SUBSET: &str = "spec.http[0].route[0].destination.subset";

#[test]
fn header_changes_that_proxies_refuse_are_named() {
    let mut object = istio("VirtualService", "r", to_subset("v1"));
    object["spec"]["http"][0]["headers"] = json!({
        "request": {"set": {"x-a": "%FOO%", "x-b": "100%% of %REQ(x)%", "host": "%FOO%"}, "add": {"a b": "c"}},
        "response": {"add": {"x-c": "50% off"}, "remove": ["x-d", "a,b"]},
    });
    object["spec"]["http"][0]["route"][0]["headers"] = json!({"request": {"set": {"x-e": "%DURATION(a)%"}}});
    let rule = json!({"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]});
    beside(
        &[istio("DestinationRule", "r", rule)],
        &object,
        &[
            (
                Ignored,
                Error,
                "spec.http[0].headers.request.set[x-a]",
                "%FOO% is no operator that proxies know; write %%",
            ),
            (
                Ignored,
                Error,
                "spec.http[0].headers.request.add[a b]",
                "not a header's name; this change is left out",
            ),
            (Ignored, Error, "spec.http[0].headers.response.add[x-c]", "lone %"),
            (Ignored, Error, "spec.http[0].headers.response.remove[1]", "not a header's name"),
            (Ignored, Error, "spec.http[0].route[0].headers.request.set[x-e]", "it takes no argument"),
        ],
    );
}

#[test]
fn destinations_that_no_service_has_are_told_with_what_was_meant() {
    for (host, kind, message) in [
        ("revews", UnresolvedReference, "did you mean reviews.shop.svc.cluster.local?"),
        ("reviews.shop", UnresolvedReference, "did you mean reviews.shop.svc.cluster.local?"),
        ("reviews.shop.svc", UnresolvedReference, "Only names without a dot are completed"),
        ("stock", Misplaced, "did you mean stock.store.svc.cluster.local? A name without a dot means"),
        ("reviews.shpo.svc.cluster.local", Misplaced, "did you mean reviews.shop.svc.cluster.local?"),
        ("nothing-like-it", UnresolvedReference, "create the Service"),
        ("example.com", UnresolvedReference, "add a ServiceEntry for it"),
        ("api.exmaple.org", UnresolvedReference, "did you mean api.example.org?"),
        ("a.wild.org", UnresolvedReference, "a ServiceEntry has *.wild.org"),
    ] {
        let entry = json!({"hosts": ["api.example.org", "*.wild.org"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]});
        let others = [istio("ServiceEntry", "e", entry)];
        beside(&others, &istio("VirtualService", "r", route_to(host)), &[(kind, Error, HOST, message)]);
    }
}

#[test]
fn a_destination_must_be_exported_to_the_rule_s_namespace() {
    let mut hidden = service("store", "hidden", "http", &[80]);
    hidden["metadata"]["annotations"] = json!({"networking.istio.io/exportTo": "."});
    let object = istio("VirtualService", "r", route_to("hidden.store.svc.cluster.local"));
    beside(&[hidden], &object, &[(UnresolvedReference, Error, HOST, "does not export it to namespace shop")]);
}

#[test]
fn subsets_must_be_in_the_rule_that_clients_use() {
    let rule = |name: &str, host: &str, subset: &str| {
        istio(
            "DestinationRule",
            name,
            json!({"host": host, "subsets": [{"name": subset, "labels": {"version": subset}}]}),
        )
    };
    let host = "reviews.shop.svc.cluster.local";
    let object = istio("VirtualService", "r", to_subset("v1"));
    for (others, kind, severity, message) in [
        (
            vec![],
            UnresolvedReference,
            Error,
            "no DestinationRule for reviews.shop.svc.cluster.local defines the subset v1",
        ),
        (
            vec![rule("d", "reviews", "v2")],
            UnresolvedReference,
            Error,
            "shop/d has no subset v1; it has v2; add it there",
        ),
        (vec![rule("store/d", host, "v1")], Misplaced, Error, "move it to shop"),
        (
            vec![rule("store/d", host, "v1"), rule("d", "reviews", "v2")],
            Misplaced,
            Error,
            "which has no subset v1; store/d has it",
        ),
    ] {
        beside(&others, &object, &[(kind, severity, SUBSET, message)]);
    }
    let stable = istio("VirtualService", "r", to_subset("stabel"));
    beside(
        &[rule("d", "reviews", "stable")],
        &stable,
        &[(UnresolvedReference, Error, SUBSET, "did you mean stable?")],
    );
    let gone = istio("VirtualService", "r", to_subset("v3"));
    beside(
        &[rule("d", "reviews", "v3")],
        &gone,
        &[(Empty, Warning, SUBSET, "has the labels of subset v3, version=v3")],
    );
}

#[test]
fn ports_must_be_the_service_s() {
    let to = |port: Value| {
        let mut destination = json!({"host": "two"});
        if !port.is_null() {
            destination["port"] = json!({"number": port});
        }
        istio(
            "VirtualService",
            "r",
            json!({"hosts": ["ratings"], "http": [{"route": [{"destination": destination}]}]}),
        )
    };
    let two = [service("shop", "two", "http", &[80, 81])];
    let empty = (Empty, Warning, HOST, "has no endpoint now");
    let port = "spec.http[0].route[0].destination.port.number";
    beside(
        &two,
        &to(json!(82)),
        &[(UnresolvedReference, Error, port, "no port 82; its ports are 80, 81"), empty],
    );
    let which = (UnresolvedReference, Warning, "spec.http[0].route[0].destination", "add port.number");
    beside(&two, &to(Value::Null), &[which, empty]);
    beside(&two, &to(json!(81)), &[empty]);
}

#[test]
fn a_host_on_sidecars_is_the_oldest_object_s() {
    let first = istio("VirtualService", "first", route_to("reviews"));
    let second = later(istio("VirtualService", "second", route_to("reviews")));
    beside(
        from_ref(&first),
        &second,
        &[(Conflict, Error, "spec.hosts[0]", "VirtualService shop/first is older")],
    );
    beside(
        from_ref(&second),
        &first,
        &[(Conflict, Info, "spec.hosts[0]", "VirtualService shop/second speaks for")],
    );
    // Whom nobody sees together does not disturb.
    let mut hidden = second;
    hidden["metadata"]["namespace"] = "store".into();
    hidden["spec"]["hosts"] = json!(["ratings.shop.svc.cluster.local"]);
    hidden["spec"]["http"][0]["route"][0]["destination"]["host"] = "stock".into();
    hidden["spec"]["exportTo"] = json!(["."]);
    let mut own = first;
    own["spec"]["exportTo"] = json!(["."]);
    beside(&[own], &hidden, &[]);
}

#[test]
fn the_more_specific_of_two_hosts_wins() {
    let wide = istio(
        "VirtualService",
        "wide",
        json!({"hosts": ["*.example.com"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]}),
    );
    let narrow = istio(
        "VirtualService",
        "narrow",
        json!({"hosts": ["a.example.com"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]}),
    );
    beside(
        &[wide],
        &narrow,
        &[(
            Conflict,
            Info,
            "spec.hosts[0]",
            "shop/wide speaks for *.example.com; for a.example.com only the rules here count",
        )],
    );
}

#[test]
fn hosts_of_kubernetes_must_exist() {
    let object = |host: &str| {
        istio(
            "VirtualService",
            "r",
            json!({"hosts": [host], "http": [{"route": [{"destination": {"host": "reviews"}}]}]}),
        )
    };
    about(
        &object("ratigns"),
        &[(UnresolvedReference, Warning, "spec.hosts[0]", "did you mean ratings.shop")],
    );
    about(&object("stock"), &[(Misplaced, Warning, "spec.hosts[0]", "did you mean stock.store")]);
    about(&object("www.example.com"), &[]);
}

fn gateway(hosts: Value) -> Value {
    istio(
        "Gateway",
        "front",
        json!({"selector": {"istio": "ingressgateway"},
        "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": hosts}]}),
    )
}

fn bound(name: &str, gateway: &str, host: &str) -> Value {
    istio(
        "VirtualService",
        name,
        json!({"hosts": [host], "gateways": [gateway],
        "http": [{"route": [{"destination": {"host": "reviews"}}]}]}),
    )
}

#[test]
fn gateways_must_exist_and_serve_the_hosts() {
    let others = [
        gateway(json!(["*.example.com", "store/a.org"])),
        istio("Gateway", "store/back", json!({"servers": []})),
    ];
    for (object, kind, severity, field, message) in [
        (
            bound("r", "frnot", "a.example.com"),
            UnresolvedReference,
            Error,
            "spec.gateways",
            "no Gateway shop/frnot; did you mean shop/front?",
        ),
        (bound("r", "back", "a.example.com"), Misplaced, Error, "spec.gateways", "did you mean store/back?"),
        (
            bound("r", "front", "b.org"),
            Ignored,
            Warning,
            "spec.hosts[0]",
            "b.org is none of the hosts that Gateway shop/front serves",
        ),
        (bound("r", "front", "a.org"), Ignored, Warning, "spec.hosts[0]", "serves to namespace shop"),
    ] {
        beside(&others, &object, &[(kind, severity, field, message)]);
    }
    beside(&others, &bound("r", "front", "a.example.com"), &[]);
}

#[test]
fn gateways_merge_what_is_for_one_host() {
    let others = [gateway(json!(["*"])), bound("first", "front", "a.example.com")];
    let second = later(bound("second", "front", "a.example.com"));
    beside(
        &others,
        &second,
        &[(Conflict, Warning, "spec.hosts[0]", "shop/first is older, is bound to Gateway shop/front")],
    );
    let mut particular = second;
    particular["spec"]["http"][0]["match"] = json!([{"uri": {"prefix": "/a"}}]);
    beside(
        &others,
        &particular,
        &[(Conflict, Info, "spec.hosts[0]", "merged with those of VirtualService shop/first")],
    );
}

#[test]
fn conditions_on_gateways_need_the_object_to_be_bound_there() {
    let mut object = istio("VirtualService", "r", route_to("reviews"));
    object["spec"]["http"][0]["match"] = json!([{"gateways": ["front"]}, {"gateways": ["mesh"]}]);
    about(
        &object,
        &[(Ignored, Warning, "spec.http[0].match[0].gateways", "shop/front is not in spec.gateways")],
    );
}

#[test]
fn http_rules_need_http() {
    let passing = istio(
        "Gateway",
        "tls",
        json!({"selector": {}, "servers": [
        {"port": {"number": 443, "name": "tls", "protocol": "TLS"}, "hosts": ["*"], "tls": {"mode": "PASSTHROUGH"}}]}),
    );
    beside(
        &[passing],
        &bound("r", "tls", "a.org"),
        &[(Ignored, Warning, "spec.http", "pass TLS or bytes through unopened")],
    );
    let database = service("shop", "db", "tcp", &[5432]);
    let object = istio(
        "VirtualService",
        "r",
        json!({"hosts": ["db"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]}),
    );
    beside(
        &[database],
        &object,
        &[(Ignored, Warning, "spec.hosts[0]", "no port of db.shop.svc.cluster.local is declared to be HTTP")],
    );
}

#[test]
fn delegates_must_exist_and_not_delegate_further() {
    let delegating = |to: Value| {
        istio(
            "VirtualService",
            "root",
            json!({"hosts": ["reviews"], "http": [{"match": [{"uri": {"prefix": "/a"}}], "delegate": to}]}),
        )
    };
    let rules = json!({"http": [{"match": [{"uri": {"prefix": "/a/b"}}], "route": [{"destination": {"host": "reviews"}}]},
                                {"match": [{"uri": {"prefix": "/c"}}], "route": [{"destination": {"host": "reviews"}}]}]});
    let at = "spec.http[0].delegate";
    let delegate = istio("VirtualService", "part", rules.clone());
    let mut hidden = istio("VirtualService", "store/hidden", rules);
    hidden["spec"]["exportTo"] = json!(["."]);
    let whole = istio("VirtualService", "whole", route_to("reviews"));
    let others = [delegate, hidden, whole];
    for (to, kind, severity, message) in [
        (
            json!({"name": "prat"}),
            UnresolvedReference,
            Error,
            "no VirtualService shop/prat; did you mean shop/part?",
        ),
        (
            json!({"name": "hidden"}),
            UnresolvedReference,
            Error,
            "did you mean store/hidden? Say its namespace",
        ),
        (
            json!({"name": "hidden", "namespace": "store"}),
            UnresolvedReference,
            Error,
            "not exported to namespace shop",
        ),
        (json!({"name": "whole"}), UnresolvedReference, Error, "has hosts, so it is no delegate"),
        (json!({"name": "root"}), UnresolvedReference, Error, "delegates to itself"),
        (
            json!({"name": "part"}),
            Ignored,
            Warning,
            "1 of the 2 rules of VirtualService shop/part are not used",
        ),
    ] {
        beside(&others, &delegating(to), &[(kind, severity, at, message)]);
    }
    let unused =
        istio("VirtualService", "lone", json!({"http": [{"route": [{"destination": {"host": "reviews"}}]}]}));
    about(&unused, &[(Ignored, Warning, "spec.hosts", "no VirtualService delegates to this one")]);
}

#[test]
fn delegates_in_a_circle_are_told_to_be() {
    let delegate =
        |name: &str, to: &str| istio("VirtualService", name, json!({"http": [{"delegate": {"name": to}}]}));
    let root =
        istio("VirtualService", "root", json!({"hosts": ["reviews"], "http": [{"delegate": {"name": "a"}}]}));
    let store = with(shop(), &[root, delegate("a", "b"), delegate("b", "a")]);
    let row = (
        Ignored,
        Error,
        "spec.http[0].delegate",
        "delegates cannot delegate further: this one would lead back to itself",
    );
    expect("a", &said(&store, Kind::VirtualService, "a"), &[row]);
    let roots = [
        istio(
            "VirtualService",
            "one",
            json!({"hosts": ["reviews"], "http": [{"delegate": {"name": "two"}}]}),
        ),
        istio(
            "VirtualService",
            "two",
            json!({"hosts": ["ratings"], "http": [{"delegate": {"name": "one"}}]}),
        ),
    ];
    let row = (UnresolvedReference, Error, "spec.http[0].delegate", "it also delegates back to this one");
    expect("one", &said(&with(shop(), &roots), Kind::VirtualService, "one"), &[row]);
}

#[test]
fn rules_that_are_never_reached_are_told() {
    let mut object = istio("VirtualService", "r", route_to("reviews"));
    let rule = object["spec"]["http"][0].clone();
    object["spec"]["http"] = json!([rule, rule]);
    about(&object, &[(Unreachable, Warning, "spec.http[1]", "http[0] before it takes everything")]);
}

#[test]
fn mirrors_and_tcp_and_tls_routes_are_looked_at_too() {
    let to = |host: &str| json!([{"destination": {"host": host}}]);
    let mut object = istio("VirtualService", "r", route_to("reviews"));
    object["spec"]["http"][0]["mirror"] = json!({"host": "x1"});
    object["spec"]["http"][0]["mirrors"] = json!([{"destination": {"host": "x2"}}]);
    object["spec"]["tls"] = json!([{"match": [{"sniHosts": ["ratings"]}], "route": to("x3")}]);
    object["spec"]["tcp"] = json!([{"route": to("x4")}]);
    let row = |field| (UnresolvedReference, Error, field, "no service has the host x");
    about(
        &object,
        &[
            row("spec.http[0].mirror.host"),
            row("spec.http[0].mirrors[0].destination.host"),
            row("spec.tls[0].route[0].destination.host"),
            row("spec.tcp[0].route[0].destination.host"),
        ],
    );
}

#[test]
fn export_to_names_namespaces_that_exist() {
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let mut object = istio("VirtualService", "r", route_to("reviews"));
    object["spec"]["exportTo"] = json!(["stroe", "shop"]);
    let others = [namespace("shop"), namespace("store")];
    beside(
        &others,
        &object,
        &[(Ignored, Warning, "spec.exportTo", "there is no namespace stroe; did you mean store?")],
    );
}
