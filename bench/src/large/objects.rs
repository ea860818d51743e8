//! The configurations.

use serde_json::{Value, json};

/// One host with `count` routes by prefix, `/r0/` first.
pub(super) fn many_routes(host: &str, count: usize) -> Value {
    let rule = |index: usize| {
        json!({
            "match": [{ "uri": { "prefix": format!("/r{index}/") } }],
            "route": [{ "destination": { "host": host } }],
        })
    };
    istio(
        "VirtualService",
        "many-routes",
        &json!({
            "hosts": [host], "http": (0..count).map(rule).collect::<Vec<_>>(),
        }),
    )
}

/// A Gateway for every host below `example.com`, on the gateway's port 80.
pub(super) fn gateway() -> Value {
    istio(
        "Gateway",
        "wide",
        &json!({
            "selector": { "istio": "ingressgateway" },
            "servers": [{ "port": { "number": 80, "name": "http", "protocol": "HTTP" }, "hosts": ["*.example.com"] }],
        }),
    )
}

/// The host of a virtual host.
pub(super) fn host(index: usize) -> String {
    format!("shop-{index}.example.com")
}

/// One of many virtual hosts at that Gateway: two routes to one service.
pub(super) fn virtual_host(index: usize, to: &str) -> Value {
    istio(
        "VirtualService",
        &format!("shop-{index}"),
        &json!({
            "hosts": [host(index)], "gateways": ["wide"], "http": [
                { "match": [{ "uri": { "prefix": "/api/" } }], "timeout": "5s", "route": [{ "destination": { "host": to } }] },
                { "route": [{ "destination": { "host": to } }] },
            ],
        }),
    )
}

/// A Service whose endpoints are written by us.
pub(super) fn service(index: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": format!("many-{index}"), "namespace": "default" },
        "spec": { "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] },
    })
}

/// Its ten endpoints; `round` moves the last one.
pub(super) fn endpoints(index: usize, round: usize) -> Value {
    let name = format!("many-{index}");
    let address = |endpoint: usize| {
        let last = if endpoint == 9 { 100 + round % 100 } else { endpoint + 1 };
        let address = format!("10.{}.{}.{last}", 128 + index / 250, index % 250);
        json!({ "addresses": [address], "conditions": { "ready": true } })
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": format!("{name}-a"), "namespace": "default", "labels": { "kubernetes.io/service-name": name },
        },
        "endpoints": (0..10).map(address).collect::<Vec<_>>(),
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
    })
}

fn istio(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": kind,
        "metadata": { "name": name, "namespace": "default" }, "spec": spec,
    })
}
