use std::slice::from_ref;

use super::*;

#[test]
fn a_rule_needs_a_host_and_a_place_where_clients_look() {
    let rule = |name: &str, host: &str| {
        istio(
            "DestinationRule",
            name,
            json!({"host": host, "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}),
        )
    };
    let reviews = "reviews.shop.svc.cluster.local";
    for (object, kind, severity, message) in [
        (rule("d", "revews"), UnresolvedReference, Warning, "did you mean reviews.shop.svc.cluster.local?"),
        (rule("store/d", "reviews"), Misplaced, Warning, "did you mean reviews.shop.svc.cluster.local?"),
        (rule("d", "*.nowhere.org"), Empty, Warning, "no service has a host like *.nowhere.org"),
        (rule("store/d", reviews), Misplaced, Info, "only clients in namespace store use it"),
        (rule("void/d", reviews), Misplaced, Warning, "nobody uses it"),
    ] {
        about(&object, &[(kind, severity, "spec.host", message)]);
    }
    about(&rule("istio-system/d", reviews), &[]);
    about(&rule("d", "*.shop.svc.cluster.local"), &[]);
}

#[test]
fn of_several_rules_for_a_host_the_oldest_policy_and_subset_count() {
    let rule = |name: &str, subset: &str| {
        istio(
            "DestinationRule",
            name,
            json!({"host": "reviews", "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}},
            "subsets": [{"name": subset, "labels": {"version": "v1"}}]}),
        )
    };
    let first = rule("first", "v1");
    beside(
        from_ref(&first),
        &later(rule("second", "v1")),
        &[
            (Conflict, Error, "spec.trafficPolicy", "DestinationRule shop/first for the same host is older"),
            (Conflict, Error, "spec.subsets[0].name", "has a subset v1 too, which counts"),
        ],
    );
    beside(
        &[later(rule("second", "v2"))],
        &first,
        &[(Conflict, Info, "spec.host", "merged with DestinationRule shop/second")],
    );
    let wide = istio("DestinationRule", "wide", json!({"host": "*.shop.svc.cluster.local"}));
    beside(
        &[wide],
        &first,
        &[(Conflict, Info, "spec.host", "DestinationRule shop/wide is for *.shop.svc.cluster.local")],
    );
}

#[test]
fn rules_that_are_exported_otherwise_are_not_merged() {
    let rule = |name: &str, export_to: Value| {
        istio("DestinationRule", name, json!({"host": "reviews", "exportTo": export_to}))
    };
    let alone = "shop/second for the same host is younger and exported to others";
    for (first, second, expected) in [
        (json!([]), json!(["."]), Some((Warning, alone))),
        (json!(["shop", "store"]), json!(["store"]), Some((Warning, alone))),
        (
            json!(["store"]),
            json!(["shop", "store"]),
            Some((Info, "shop/second for the same host, exported to more")),
        ),
        (json!(["store"]), json!(["bank"]), None),
    ] {
        let mut second = later(rule("second", second));
        let expected = expected.map(|(severity, message)| (Conflict, severity, "spec.host", message));
        beside(from_ref(&second), &rule("first", first.clone()), expected.as_slice());
        second["spec"]["workloadSelector"] = json!({"matchLabels": {"app": "reviews"}});
        second["spec"]["exportTo"] = json!([]);
        let own = first.as_array().unwrap().contains(&json!("shop"));
        let said = if own {
            "shop/first for the same host is merged in"
        } else {
            "use nothing of DestinationRule shop/first"
        };
        beside(&[rule("first", first)], &second, &[(Conflict, Info, "spec.host", said)]);
    }
}

#[test]
fn a_rule_for_certain_workloads_may_take_a_rule_from_others() {
    let some = istio(
        "DestinationRule",
        "store/some",
        json!({"host": "reviews.shop.svc.cluster.local", "workloadSelector": {"matchLabels": {"app": "store"}}}),
    );
    let mut general = istio("DestinationRule", "d", json!({"host": "reviews"}));
    let misplaced = (Misplaced, Info, "spec.host", "only clients in namespace store use it");
    let taken = (
        Conflict,
        Warning,
        "spec.workloadSelector",
        "use no rule for reviews.shop.svc.cluster.local, not even DestinationRule shop/d",
    );
    let empty =
        (Empty, Warning, "spec.workloadSelector", "no workload of namespace store has the labels app=store");
    beside(from_ref(&general), &some, &[misplaced, taken, empty]);
    general["spec"]["exportTo"] = json!(["bank"]);
    beside(&[general], &some, &[misplaced, empty]);
}

#[test]
fn ports_subsets_and_selectors_must_mean_something() {
    let object = istio(
        "DestinationRule",
        "d",
        json!({"host": "reviews",
        "workloadSelector": {"matchLabels": {"app": "nobody"}},
        "trafficPolicy": {"portLevelSettings": [{"port": {"number": 81}, "loadBalancer": {"simple": "RANDOM"}}]},
        "subsets": [{"name": "v9", "labels": {"version": "v9"}, "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}]}),
    );
    about(
        &object,
        &[
            (
                UnresolvedReference,
                Warning,
                "spec.trafficPolicy.portLevelSettings[0].port.number",
                "no port 81; its ports are 80",
            ),
            (Empty, Warning, "spec.subsets[0].labels", "has the labels version=v9"),
            (
                Ignored,
                Info,
                "spec.subsets[0].trafficPolicy",
                "no VirtualService sends requests to the subset v9",
            ),
            (
                Empty,
                Warning,
                "spec.workloadSelector",
                "no workload of namespace shop has the labels app=nobody",
            ),
        ],
    );
}

#[test]
fn what_clients_speak_must_be_what_servers_accept() {
    let policy = |mode: &str| istio("PeerAuthentication", "p", json!({"mtls": {"mode": mode}}));
    let rule = |mode: &str| {
        istio("DestinationRule", "d", json!({"host": "reviews", "trafficPolicy": {"tls": {"mode": mode}}}))
    };
    let at = "spec.trafficPolicy.tls.mode";
    for (accepts, speaks, message) in [
        ("STRICT", "DISABLE", "PeerAuthentication shop/p demands the mesh's mutual TLS of shop/reviews-v1"),
        ("STRICT", "SIMPLE", "with SIMPLE fail"),
        ("DISABLE", "ISTIO_MUTUAL", "switches mutual TLS of shop/reviews-v1 off"),
    ] {
        beside(&[policy(accepts)], &rule(speaks), &[(Conflict, Error, at, message)]);
    }
    beside(&[policy("STRICT")], &rule("ISTIO_MUTUAL"), &[]);
    beside(&[policy("PERMISSIVE")], &rule("DISABLE"), &[]);
    // A port's own settings stand for themselves.
    let mut object = rule("DISABLE");
    object["spec"]["trafficPolicy"]["portLevelSettings"] =
        json!([{"port": {"number": 80}, "tls": {"mode": "ISTIO_MUTUAL"}}]);
    beside(&[policy("STRICT")], &object, &[]);
    let mut plain = pod("shop", "ratings-v1", "10.1.0.3", json!({"app": "ratings"}));
    plain["metadata"]["labels"] = json!({"app": "ratings"});
    let object = istio(
        "DestinationRule",
        "d",
        json!({"host": "ratings", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}),
    );
    beside(
        &[plain],
        &object,
        &[(Conflict, Error, at, "needs a sidecar at the other end, which shop/ratings-v1 does not have")],
    );
}

#[test]
fn of_several_policies_for_a_workload_the_oldest_counts() {
    let policy = |name: &str, selector: Value| {
        istio(
            "PeerAuthentication",
            name,
            json!({"selector": {"matchLabels": selector}, "mtls": {"mode": "STRICT"}}),
        )
    };
    let plain = |name: &str| istio("PeerAuthentication", name, json!({"mtls": {"mode": "STRICT"}}));
    let at = "spec.selector";
    beside(
        &[plain("first")],
        &later(plain("second")),
        &[(Conflict, Error, at, "first is older and has no selector either")],
    );
    let first = policy("first", json!({"app": "reviews"}));
    beside(
        from_ref(&first),
        &later(policy("second", json!({"version": "v1"}))),
        &[(Conflict, Error, at, "some of the same workloads, such as shop/reviews-v1")],
    );
    beside(&[first], &later(policy("second", json!({"app": "ratings"}))), &[]);
    about(&policy("p", json!({"app": "nobody"})), &[(Empty, Warning, at, "app=nobody")]);
    about(
        &policy("istio-system/p", json!({"app": "reviews"})),
        &[(Ignored, Error, at, "for the whole mesh")],
    );
}
