//! `/debug/...`: what istioctl, trysailctl and Kiali ask an istiod, in istiod's shapes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use model::Mesh;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use translate::Resources;
use xds::ResourceType;

use super::dump;
use crate::ads::{Connection, Connections};
use crate::source::Problems;

/// What the pages read.
pub(crate) struct Debug {
    pub(crate) mesh: Arc<ArcSwap<Mesh>>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) problems: Arc<Problems>,
}

const PAGES: [(&str, &str); 8] = [
    ("/debug/syncz", "Which proxies hold what was last sent"),
    ("/debug/adsz", "Connected proxies"),
    ("/debug/config_dump", "What a proxy was sent: ?proxyID=pod.namespace"),
    ("/debug/ndsz", "Names that a proxy answers its app for: ?proxyID=pod.namespace"),
    ("/debug/registryz", "Services"),
    ("/debug/endpointz", "Endpoints of services"),
    ("/debug/mesh", "Mesh-wide settings"),
    ("/debug/problemz", "Objects that are ignored, and why"),
];

pub(super) fn router(debug: Arc<Debug>) -> Router {
    Router::new()
        .route("/debug", get(index))
        .route("/debug/list", get(index))
        .route("/debug/syncz", get(syncz))
        .route("/debug/adsz", get(adsz))
        .route("/debug/connections", get(adsz))
        .route("/debug/config_dump", get(config_dump))
        .route("/debug/ndsz", get(ndsz))
        .route("/debug/registryz", get(registryz))
        .route("/debug/endpointz", get(endpointz))
        .route("/debug/endpointShardz", get(endpointz))
        .route("/debug/mesh", get(mesh))
        .route("/debug/problemz", get(problemz))
        .with_state(debug)
}

#[derive(Debug, Default, Deserialize)]
struct Which {
    #[serde(default, rename = "proxyID")]
    proxy_id: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
}

async fn index() -> Json<Value> {
    Json(
        PAGES
            .into_iter()
            .map(|(path, help)| (path.to_owned(), Value::from(help)))
            .collect::<Map<_, _>>()
            .into(),
    )
}

async fn syncz(State(debug): State<Arc<Debug>>, Query(which): Query<Which>) -> Json<Vec<Value>> {
    let all = debug.connections.all();
    let wanted = |one: &&Arc<Connection>| {
        which.namespace.as_deref().is_none_or(|name| name.is_empty() || name == one.namespace)
    };
    Json(all.iter().filter(wanted).map(|connection| sync_status(connection)).collect())
}

/// istiod's `SyncStatus`: the nonces of each type under the type's old name, and by type URL.
fn sync_status(connection: &Connection) -> Value {
    let mut status = json!({
        "cluster_id": connection.cluster_id,
        "proxy": connection.proxy,
        "proxy_type": connection.role,
        "proxy_version": connection.version,
        "istio_version": connection.version,
    });
    let mut resources = Map::new();
    for kind in ResourceType::ALL {
        let one = connection.of(kind);
        let (sent, acknowledged) =
            (one.sent.load(Ordering::Relaxed), one.acknowledged.load(Ordering::Relaxed));
        if sent == 0 {
            continue;
        }
        let nonce = |nonce: u64| if nonce == 0 { String::new() } else { format!("{nonce:x}") };
        if let Some(name) = old_name(kind) {
            status[format!("{name}_sent")] = nonce(sent).into();
            status[format!("{name}_acked")] = nonce(acknowledged).into();
        }
        let rejected = one.rejected.lock().clone();
        let entry = json!({ "sent": nonce(sent), "acked": nonce(acknowledged), "last_error": rejected });
        resources.insert(kind.url().to_owned(), entry);
    }
    status["resources"] = resources.into();
    status
}

fn old_name(kind: ResourceType) -> Option<&'static str> {
    match kind {
        ResourceType::Cluster => Some("cluster"),
        ResourceType::Listener => Some("listener"),
        ResourceType::Route => Some("route"),
        ResourceType::Endpoints => Some("endpoint"),
        ResourceType::VirtualHost | ResourceType::Secret | ResourceType::NameTable => None,
    }
}

async fn adsz(State(debug): State<Arc<Debug>>) -> Json<Value> {
    let connected: Vec<Value> = debug.connections.all().iter().map(|one| client(one)).collect();
    Json(json!({ "totalClients": connected.len(), "clients": connected }))
}

fn client(connection: &Connection) -> Value {
    let snapshot = connection.slot.get();
    let count = |kind: ResourceType| (kind.short().to_owned(), Value::from(snapshot.resources().len(kind)));
    json!({
        "connectionId": connection.id(),
        "node": connection.node,
        "connectedAt": connection.connected.to_string(),
        "address": connection.address.to_string(),
        "version": connection.version,
        "resources": ResourceType::ALL.into_iter().map(count).collect::<Map<_, _>>(),
    })
}

async fn config_dump(State(debug): State<Arc<Debug>>, Query(which): Query<Which>) -> Response {
    about_proxy(&debug, which, dump::config_dump)
}

async fn ndsz(State(debug): State<Arc<Debug>>, Query(which): Query<Which>) -> Response {
    about_proxy(&debug, which, dump::name_table)
}

/// A page about what one proxy was sent.
fn about_proxy(debug: &Debug, which: Which, page: fn(&Resources) -> Value) -> Response {
    let Some(name) = which.proxy_id.filter(|name| !name.is_empty()) else {
        return (StatusCode::BAD_REQUEST, "say which proxy: ?proxyID=pod.namespace\n").into_response();
    };
    let Some(connection) = debug.connections.find(&name) else {
        let message =
            "Proxy not connected to this Pilot instance. It may be connected to another instance.\n";
        return (StatusCode::NOT_FOUND, message).into_response();
    };
    let snapshot = connection.slot.get();
    Json(page(snapshot.resources())).into_response()
}

async fn registryz(State(debug): State<Arc<Debug>>) -> Json<Vec<Value>> {
    let mesh = debug.mesh.load_full();
    let service = |service: &Arc<model::Service>| {
        let ports = service.ports.iter().map(
            |port| json!({ "name": &*port.name, "port": port.number, "protocol": format!("{:?}", port.protocol).to_uppercase() }),
        );
        json!({
            "hostname": &*service.key.host,
            "ports": ports.collect::<Vec<_>>(),
            "Attributes": { "Name": &*service.name, "Namespace": &*service.key.namespace },
        })
    };
    Json(mesh.services.values().map(service).collect())
}

async fn endpointz(State(debug): State<Arc<Debug>>) -> Json<Value> {
    let mesh = debug.mesh.load_full();
    let all =
        mesh.endpoints.iter().map(|(key, endpoints)| (key.host.to_string(), dump::endpoints(endpoints)));
    Json(all.collect::<Map<_, _>>().into())
}

async fn mesh(State(debug): State<Arc<Debug>>) -> Response {
    let mesh = debug.mesh.load_full();
    match serde_json::to_value(&mesh.settings.config) {
        Ok(value) => Json(value).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn problemz(State(debug): State<Arc<Debug>>) -> Json<BTreeMap<String, String>> {
    Json(debug.problems.all())
}
