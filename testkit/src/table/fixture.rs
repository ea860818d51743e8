//! The pods that all rows share, and what every row has of its own.

use anyhow::Result;
use serde_json::{Value, json};

use super::{PLANES, row::File};
use crate::LocalMesh;

/// Where the clients are.
pub(super) const CLIENTS: &str = "table";
/// What the access log says of a request; the first field is the request's id.
const LOG_FORMAT: &str = "TABLE|%REQ(X-TABLE)%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%UPSTREAM_CLUSTER_RAW%\t%ROUTE_NAME%\t%RESPONSE_CODE_DETAILS%\n";
/// Versions of the server that answers all rows.
pub(super) const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];

/// Settings of the mesh: the access log that the table reads, and what the file adds.
pub(super) fn settings(file: &File) -> Result<Value> {
    let mut mesh = json!({
        "accessLogFile": "/dev/stdout",
        "accessLogFormat": LOG_FORMAT,
        "defaultConfig": { "discoveryAddress": "istiod.istio-system.svc:15012" },
    });
    for (name, value) in file.mesh.iter().filter_map(Value::as_object).flatten() {
        mesh[name] = value.clone();
    }
    Ok(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "istio", "namespace": "istio-system" },
        "data": { "mesh": serde_json::to_string(&mesh)? },
    }))
}

/// The servers, without sidecars.
pub(super) fn servers() -> String {
    let server = |version: &&str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": version, "namespace": "servers", "labels": { "sidecar.istio.io/inject": "false" },
            },
            "spec": { "containers": [{
                "name": "echo", "image": "echo",
                "env": [{ "name": "SERVICE_VERSION", "value": version }, { "name": "POD_NAME", "value": version }],
            }] },
        })
    };
    documents(VERSIONS.iter().map(server))
}

/// The clients and gateways of both data planes, and a client outside of the mesh.
pub(super) fn clients() -> String {
    let asleep = json!([{ "name": "app", "image": "echo", "command": ["sleep", "infinity"] }]);
    let pod = |name: String, namespace: &str, labels: Value, annotations: Value, containers: &Value| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": namespace, "labels": labels, "annotations": annotations,
            },
            "spec": { "containers": containers },
        })
    };
    let of_plane = |plane: &str| {
        let annotations = json!({ "testkit.trysail.dev/data-plane": plane });
        let labels = |app: &str| json!({ "app": app, "sidecar.istio.io/inject": "true" });
        let mut gateway_annotations = annotations.clone();
        gateway_annotations["inject.istio.io/templates"] = json!("gateway");
        let mut gateway_labels = labels("istio-ingressgateway");
        gateway_labels["istio"] = json!("ingressgateway");
        let gateway = json!([{ "name": "istio-proxy", "image": "auto" }]);
        [
            pod(format!("client-{plane}"), CLIENTS, labels("client"), annotations.clone(), &asleep),
            pod(format!("other-{plane}"), "elsewhere", labels("other"), annotations, &asleep),
            pod(format!("gateway-{plane}"), "istio-system", gateway_labels, gateway_annotations, &gateway),
        ]
    };
    let outside =
        pod("outside".to_owned(), CLIENTS, json!({ "sidecar.istio.io/inject": "false" }), json!({}), &asleep);
    let namespaces = [CLIENTS, "elsewhere"]
        .map(|name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
    documents(namespaces.into_iter().chain(PLANES.into_iter().flat_map(of_plane)).chain([outside]))
}

/// The gateways' Service.
pub(super) fn gateway_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "istio-ingressgateway", "namespace": "istio-system" },
        "spec": { "selector": { "istio": "ingressgateway" }, "ports": [
            { "name": "http2", "port": 80, "targetPort": 8080 },
            { "name": "https", "port": 443, "targetPort": 8443 },
            { "name": "tcp", "port": 31400 },
            { "name": "tls", "port": 15443 },
        ] },
    })
}

/// What a row has besides its own objects: a namespace, and the Service `echo` with a pod of each version, all of which
/// are the shared servers.
pub(super) fn of_row(mesh: &LocalMesh, namespace: &str) -> Result<Vec<Value>> {
    let mut objects = vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "echo", "namespace": namespace },
            "spec": { "selector": { "app": "echo" }, "ports": [
                { "name": "http", "port": 80, "targetPort": 8080 },
                { "name": "http2", "port": 8081 },
                { "name": "grpc", "port": 7070 },
                { "name": "https", "port": 443, "targetPort": 8443 },
                { "name": "tcp", "port": 9000 },
            ] },
        }),
    ];
    for version in VERSIONS {
        let address = mesh.pod("servers", version)?.address();
        objects.push(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("echo-{version}"), "namespace": namespace,
                "labels": { "app": "echo", "version": version },
            },
            "spec": { "containers": [], "nodeName": "node" },
            "status": { "podIP": address, "phase": "Running" },
        }));
    }
    Ok(objects)
}

/// A host that both data planes answer once they have everything that was applied before it.
pub(super) fn sentinel() -> Vec<Value> {
    let meta = json!({ "name": "sentinel", "namespace": "sentinel" });
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "sentinel" } }),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": { "ports": [{ "name": "http", "port": 80 }] } }),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": meta,
            "spec": { "selector": { "istio": "ingressgateway" }, "servers": [
                { "port": { "number": 80, "name": "http", "protocol": "HTTP" }, "hosts": ["sentinel.sentinel"] },
            ] },
        }),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta,
            "spec": {
                "hosts": ["sentinel.sentinel.svc.cluster.local", "sentinel.sentinel"], "gateways": ["mesh", "sentinel"],
                "exportTo": ["*"],
                "http": [{ "directResponse": { "status": 200, "body": { "string": "there" } } }],
            },
        }),
    ]
}

fn documents(objects: impl Iterator<Item = Value>) -> String {
    objects.map(|object| object.to_string()).collect::<Vec<_>>().join("\n---\n")
}
