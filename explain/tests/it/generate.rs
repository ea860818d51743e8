//! Configurations by chance. Names, paths and values come from small sets, so that rules and requests meet often, and
//! meet at their edges.

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::rule::rule;

/// Hosts as people write them in VirtualServices for sidecars.
const MESH_HOSTS: [&str; 14] = [
    "reviews",
    "ratings",
    "auto",
    "pods",
    "reviews.shop.svc.cluster.local",
    "reviews.other.svc.cluster.local",
    "*.shop.svc.cluster.local",
    "*.cluster.local",
    "*",
    "www.example.com",
    "*.example.com",
    "new.example.com",
    "ratings.shop",
    "details.other.svc.cluster.local",
];
const GATEWAY_HOSTS: [&str; 6] =
    ["www.example.com", "*.example.com", "*", "new.example.com", "a.b.example.com", "WWW.example.com"];
const NAMESPACES: [&str; 3] = ["shop", "other", "istio-system"];

/// A whole configuration: rules for the services of `world`.
pub(crate) fn configuration(dice: &mut Dice) -> Vec<Value> {
    let mut all = Vec::new();
    for number in 0..dice.between(0, 3) {
        all.push(destination_rule(dice, number));
    }
    for number in 0..dice.between(1, 5) {
        all.push(virtual_service(dice, number));
    }
    for number in 0..dice.below(3) {
        all.push(delegate(dice, number));
    }
    if dice.percent(30) {
        all.push(gateway(dice, "front", "istio-system"));
        if dice.percent(40) {
            all.push(gateway(dice, "side", "shop"));
        }
    }
    if dice.percent(15) {
        all.push(sidecar(dice));
    }
    for _ in 0..dice.below(3) {
        let namespace = dice.one(&NAMESPACES);
        let selector = if dice.percent(40) { json!({"matchLabels": {"version": "v1"}}) } else { Value::Null };
        let ports = if selector.is_null() || dice.percent(50) {
            Value::Null
        } else {
            json!({"9080": {"mode": mode(dice)}})
        };
        let spec = json!({"selector": selector, "mtls": {"mode": mode(dice)}, "portLevelMtls": ports});
        let name = format!("p{}", dice.below(3));
        all.push(object(dice, "security.istio.io/v1", "PeerAuthentication", namespace, &name, spec));
    }
    if dice.percent(15) {
        let mut mesh = json!({});
        if dice.percent(50) {
            mesh["outboundTrafficPolicy"] = json!({"mode": "REGISTRY_ONLY"});
        }
        if dice.percent(50) {
            mesh["defaultHttpRetryPolicy"] = json!({"attempts": dice.below(4)});
        }
        if dice.percent(50) {
            let steps = dice.one(&["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]);
            mesh["pathNormalization"] = json!({"normalization": steps});
        }
        if dice.percent(30) {
            mesh["defaultVirtualServiceExportTo"] = json!(["."]);
        }
        if dice.percent(30) {
            mesh["defaultDestinationRuleExportTo"] = json!(["."]);
        }
        all.push(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": mesh.to_string()}}));
    }
    all.iter_mut().for_each(crds::drop_nulls);
    all
}

fn mode(dice: &mut Dice) -> &'static str {
    dice.one(&["STRICT", "PERMISSIVE", "DISABLE", "UNSET"])
}

fn object(dice: &mut Dice, api: &str, kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    let day = dice.between(1, 4);
    json!({"apiVersion": api, "kind": kind, "spec": spec, "metadata": {
        "name": name, "namespace": namespace, "creationTimestamp": format!("2024-01-0{day}T00:00:00Z")}})
}

fn networking(dice: &mut Dice, kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    object(dice, "networking.istio.io/v1", kind, namespace, name, spec)
}

fn export_to(dice: &mut Dice) -> Value {
    match dice.below(10) {
        0 => json!(["."]),
        1 => json!(["other"]),
        2 => json!(["shop", "istio-system"]),
        3 => json!(["*"]),
        _ => Value::Null,
    }
}

fn destination_rule(dice: &mut Dice, number: usize) -> Value {
    let namespace = dice.one(&NAMESPACES);
    let host = dice.one(&[
        "reviews",
        "ratings",
        "reviews.shop.svc.cluster.local",
        "reviews.other.svc.cluster.local",
        "*.shop.svc.cluster.local",
        "*.local",
        "*",
        "www.example.com",
        "details.other.svc.cluster.local",
    ]);
    let subsets: Vec<Value> = ["v1", "v2", "v3"]
        .into_iter()
        .filter(|_| dice.percent(60))
        .map(|name| json!({"name": name, "labels": {"version": name}}))
        .collect();
    let selector = if dice.percent(15) { json!({"matchLabels": {"version": "v1"}}) } else { Value::Null };
    let policy = if dice.percent(30) { json!({"loadBalancer": {"simple": "RANDOM"}}) } else { Value::Null };
    let spec = json!({"host": host, "subsets": subsets, "exportTo": export_to(dice), "workloadSelector": selector,
        "trafficPolicy": policy});
    networking(dice, "DestinationRule", namespace, &format!("d{number}"), spec)
}

fn virtual_service(dice: &mut Dice, number: usize) -> Value {
    let namespace = dice.one(&["shop", "shop", "other", "istio-system"]);
    let gateways = match dice.below(10) {
        0 => json!(["mesh"]),
        1 | 2 => json!(["istio-system/front"]),
        3 => json!(["mesh", "istio-system/front", "shop/side"]),
        _ => Value::Null,
    };
    let pool: &[&str] = if gateways.as_array().is_some_and(|all| !all.contains(&json!("mesh"))) {
        &GATEWAY_HOSTS
    } else {
        &MESH_HOSTS
    };
    let hosts: Vec<&str> = (0..dice.between(1, 2)).map(|_| pool[dice.below(pool.len())]).collect();
    let rules: Vec<Value> = (0..dice.between(1, 4)).map(|_| rule(dice, true)).collect();
    let spec = json!({"hosts": hosts, "gateways": gateways, "exportTo": export_to(dice), "http": rules});
    networking(dice, "VirtualService", namespace, &format!("v{number}"), spec)
}

fn delegate(dice: &mut Dice, number: usize) -> Value {
    let rules: Vec<Value> = (0..dice.between(1, 3)).map(|_| rule(dice, false)).collect();
    let spec = json!({"exportTo": export_to(dice), "http": rules});
    networking(dice, "VirtualService", "shop", &format!("part{number}"), spec)
}

fn gateway(dice: &mut Dice, name: &str, namespace: &str) -> Value {
    let hosts = |dice: &mut Dice| match dice.below(5) {
        0 => json!(["*.example.com"]),
        1 => json!(["www.example.com", "shop/*"]),
        2 => json!(["./new.example.com", "*.example.com"]),
        _ => json!(["*"]),
    };
    let redirect = if dice.percent(10) { json!({"httpsRedirect": true}) } else { Value::Null };
    let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": [
        {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": hosts(dice), "tls": redirect},
        {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": hosts(dice),
         "tls": {"mode": "SIMPLE", "credentialName": "cert"}}]});
    networking(dice, "Gateway", namespace, name, spec)
}

fn sidecar(dice: &mut Dice) -> Value {
    let hosts = match dice.below(3) {
        0 => json!(["./*"]),
        1 => json!(["./*", "other/*"]),
        _ => json!(["*/reviews.shop.svc.cluster.local", "*/*.example.com"]),
    };
    let mode = if dice.percent(30) { json!({"mode": "REGISTRY_ONLY"}) } else { Value::Null };
    let spec = json!({"egress": [{"hosts": hosts}], "outboundTrafficPolicy": mode});
    networking(dice, "Sidecar", "shop", "s", spec)
}
