//! A large mesh as a folder of YAML: 1000 services of 10 endpoints in 20 namespaces, a VirtualService and a
//! DestinationRule for every tenth.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// How large the mesh is.
pub(crate) const SERVICES: usize = 1000;
const NAMESPACES: usize = 20;
const ENDPOINTS: usize = 10;

/// Writes everything.
pub(crate) fn write(folder: &Path) -> Result<()> {
    for namespace in 0..NAMESPACES {
        let name = format!("ns{namespace}");
        put(folder, &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))?;
    }
    for index in 0..SERVICES {
        put(folder, &service(index))?;
        put(folder, &endpoints(index, 0))?;
        if index % 10 == 0 {
            put(folder, &virtual_service(index, 0))?;
            put(folder, &destination_rule(index))?;
        }
    }
    Ok(())
}

/// Replaces the endpoints of a service: `round` moves the last one.
pub(crate) fn change_endpoint(folder: &Path, index: usize, round: usize) -> Result<()> {
    put(folder, &endpoints(index, round))
}

/// Replaces a VirtualService: `round` changes a timeout.
pub(crate) fn change_route(folder: &Path, index: usize, round: usize) -> Result<()> {
    put(folder, &virtual_service(index, round))
}

fn namespace(index: usize) -> String {
    format!("ns{}", index % NAMESPACES)
}

fn service(index: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": format!("svc{index}"), "namespace": namespace(index), "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": {
            "clusterIP": format!("10.96.{}.{}", index / 250, index % 250 + 1),
            "selector": { "app": format!("svc{index}") },
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }],
        },
    })
}

fn endpoints(index: usize, round: usize) -> Value {
    let address = |endpoint: usize| {
        let last = if endpoint + 1 == ENDPOINTS { 100 + round % 100 } else { endpoint + 1 };
        json!({ "addresses": [format!("10.{}.{}.{last}", 128 + index / 250, index % 250)], "conditions": { "ready": true } })
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": format!("svc{index}-a"), "namespace": namespace(index),
            "labels": { "kubernetes.io/service-name": format!("svc{index}") },
        },
        "endpoints": (0..ENDPOINTS).map(address).collect::<Vec<_>>(),
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
    })
}

fn host(index: usize) -> String {
    format!("svc{index}.{}.svc.cluster.local", namespace(index))
}

fn virtual_service(index: usize, round: usize) -> Value {
    let host = host(index);
    let destination =
        |weight: u32| json!({ "destination": { "host": host, "subset": "v1" }, "weight": weight });
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": { "name": format!("svc{index}"), "namespace": namespace(index), "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "hosts": [host], "http": [
            { "match": [{ "uri": { "prefix": "/api" } }], "timeout": format!("{}s", 1 + round % 50), "route": [destination(100)] },
            { "route": [destination(100)] },
        ] },
    })
}

fn destination_rule(index: usize) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": { "name": format!("svc{index}"), "namespace": namespace(index), "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "host": host(index), "subsets": [{ "name": "v1", "labels": { "app": format!("svc{index}") } }] },
    })
}

/// Writes an object whole, then renames it into place.
fn put(folder: &Path, object: &Value) -> Result<()> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let name = format!("{}.{}.{}", text("/kind"), text("/metadata/namespace"), text("/metadata/name"));
    let path: PathBuf = folder.join(name.to_lowercase() + ".yaml");
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, object.to_string())?;
    std::fs::rename(&unfinished, &path).with_context(|| format!("writing {}", path.display()))
}
