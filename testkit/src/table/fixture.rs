//! The pods that all rows share, and what every row has of its own.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::{PLANES, row::File};
use crate::LocalMesh;

/// Where the clients are.
pub(super) const CLIENTS: &str = "table";
/// Where the gateways are.
pub(super) const GATEWAYS: &str = "istio-system";
/// What the access log says of a request; the first field is the request's id.
const LOG_FORMAT: &str = "TABLE|%REQ(X-TABLE)%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%UPSTREAM_CLUSTER_RAW%\t%ROUTE_NAME%\t%RESPONSE_CODE_DETAILS%\n";
/// The ConfigMap with certificates for proxies.
const FILES: &str = "table-files";
/// Where the clients of namespace `table` are: region, zone and subzone.
const LOCALITY: &str = "here.one.a";
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

/// The certificates of a file, for proxies that read them from files: `/etc/table/SECRET.KEY`.
pub(super) fn files(file: &File) -> [Value; 2] {
    [CLIENTS, GATEWAYS].map(|namespace| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": FILES, "namespace": namespace },
            "data": file.files(),
        })
    })
}

/// Path of the Unix socket that a server listens on, too.
pub(super) fn socket(folder: &Path, server: &str) -> String {
    folder.join(format!("{server}.sock")).to_string_lossy().into_owned()
}

/// The servers, without sidecars.
pub(super) fn servers(sockets: &Path) -> String {
    let server = |version: &&str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": version, "namespace": "servers", "labels": { "sidecar.istio.io/inject": "false" },
            },
            "spec": { "containers": [{
                "name": "echo", "image": "echo", "args": ["--socket", socket(sockets, version)],
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
        let mut names_of_the_mesh = annotations.clone();
        names_of_the_mesh["proxy.istio.io/config"] = json!("proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}");
        let mut with_files = annotations;
        with_files["sidecar.istio.io/userVolume"] =
            json!(json!({ FILES: { "configMap": { "name": FILES, "optional": true } } }).to_string());
        with_files["sidecar.istio.io/userVolumeMount"] =
            json!(json!({ FILES: { "mountPath": "/etc/table", "readOnly": true } }).to_string());
        let mut client_labels = labels("client");
        client_labels["plane"] = json!(plane);
        client_labels["istio-locality"] = json!(LOCALITY);
        let mut gateway_annotations = with_files.clone();
        gateway_annotations["inject.istio.io/templates"] = json!("gateway");
        let mut gateway_labels = labels("istio-ingressgateway");
        gateway_labels["istio"] = json!("ingressgateway");
        let gateway = json!([{ "name": "istio-proxy", "image": "auto" }]);
        let mut client = pod(format!("client-{plane}"), CLIENTS, client_labels, with_files, &asleep);
        client["spec"]["nodeName"] = json!("node");
        [
            client,
            pod(format!("other-{plane}"), "elsewhere", labels("other"), names_of_the_mesh, &asleep),
            pod(format!("gateway-{plane}"), GATEWAYS, gateway_labels, gateway_annotations, &gateway),
        ]
    };
    let outside =
        pod("outside".to_owned(), CLIENTS, json!({ "sidecar.istio.io/inject": "false" }), json!({}), &asleep);
    let namespaces = [CLIENTS, "elsewhere"].map(namespace);
    documents(namespaces.into_iter().chain(PLANES.into_iter().flat_map(of_plane)).chain([outside]))
}

/// The gateways' Service.
pub(super) fn gateway_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "istio-ingressgateway", "namespace": GATEWAYS },
        "spec": { "selector": { "istio": "ingressgateway" }, "ports": [
            { "name": "http2", "port": 80, "targetPort": 8080 },
            { "name": "https", "port": 443, "targetPort": 8443 },
            { "name": "tcp", "port": 31400 },
            { "name": "tls", "port": 15443 },
        ] },
    })
}

/// Servers with sidecars, one for each data plane: a client's requests go to that of its own.
pub(super) fn meshed(sockets: &Path) -> String {
    let pod = |plane: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("meshed-{plane}"), "namespace": CLIENTS,
                "labels": { "app": "meshed", "plane": plane, "sidecar.istio.io/inject": "true" },
                "annotations": { "testkit.trysail.dev/data-plane": plane },
            },
            "spec": { "containers": [{
                "name": "echo", "image": "echo", "args": ["--socket", socket(sockets, &format!("meshed-{plane}"))],
                "env": [{ "name": "SERVICE_VERSION", "value": "meshed" }, { "name": "POD_NAME", "value": "meshed" }],
            }] },
        })
    };
    documents([namespace(CLIENTS)].into_iter().chain(PLANES.into_iter().map(pod)))
}

/// Where the one on our own data plane is.
pub(super) fn meshed_address(mesh: &LocalMesh) -> Result<String> {
    Ok(mesh.pod(CLIENTS, &format!("meshed-{}", PLANES[0]))?.address().to_owned())
}

/// The Service of the servers with sidecars, and the rules that lead to that of the client's data plane.
pub(super) fn meshed_routes() -> Vec<Value> {
    let meta = json!({ "name": "meshed", "namespace": CLIENTS });
    let subsets: Vec<_> =
        PLANES.iter().map(|plane| json!({ "name": plane, "labels": { "plane": plane } })).collect();
    let rules: Vec<Value> = {
        let rule = |plane: &&str| {
            let mut rule = json!({ "route": [{ "destination": { "host": "meshed", "subset": plane } }] });
            let condition = json!({ "sourceLabels": { "plane": plane } });
            rule["match"] = json!([condition]);
            rule
        };
        PLANES.iter().map(rule).collect()
    };
    vec![
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": meta,
            "spec": { "selector": { "app": "meshed" }, "ports": [
                { "name": "http", "port": 80, "targetPort": 8080 },
                { "name": "http2", "port": 8081 },
                { "name": "grpc", "port": 7070 },
                { "name": "tcp", "port": 9000 },
                { "name": "tcp-greeting", "port": 9001 },
                { "name": "http-declared", "port": 8888 },
            ] },
        }),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": meta,
            "spec": { "host": "meshed", "subsets": subsets },
        }),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta,
            "spec": { "hosts": ["meshed"], "http": rules, "tcp": rules },
        }),
    ]
}

/// What a row has besides its own objects: a namespace, and the Service `echo` with a pod of each version, all of which
/// are the shared servers.
pub(super) fn of_row(mesh: &LocalMesh, namespace: &str) -> Result<Vec<Value>> {
    let mut objects = vec![
        self::namespace(namespace),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "echo", "namespace": namespace },
            "spec": { "selector": { "app": "echo" }, "ports": [
                { "name": "http", "port": 80, "targetPort": 8080 },
                { "name": "http2", "port": 8081 },
                { "name": "grpc", "port": 7070 },
                { "name": "https", "port": 443, "targetPort": 8443 },
                { "name": "tcp", "port": 9000 },
                { "name": "tcp-greeting", "port": 9001 },
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
    let mut everybodys = meta.clone();
    everybodys["annotations"] = json!({ "networking.istio.io/exportTo": "*" });
    vec![
        namespace("sentinel"),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": everybodys, "spec": { "ports": [{ "name": "http", "port": 80 }] } }),
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

fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

fn documents(objects: impl Iterator<Item = Value>) -> String {
    objects.map(|object| object.to_string()).collect::<Vec<_>>().join("\n---\n")
}
