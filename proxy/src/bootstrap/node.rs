//! The node that we announce on xDS: id, metadata and locality, in the words that istiod reads.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{BootstrapError, Environment, Ports, ProxyArgs, ProxyConfig, addresses, downward};

/// Labels that hold a locality, `region/zone/subzone` with dots where a label allows no slash.
const LOCALITY_LABELS: [&str; 2] = ["topology.istio.io/locality", "istio-locality"];

/// Where the workload runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone.
    pub zone: String,
    /// Sub-zone.
    pub sub_zone: String,
}

/// Who we are on xDS.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeIdentity {
    /// `sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local`
    pub id: String,
    /// Name of the service cluster: `app.namespace` by convention.
    pub cluster: String,
    /// Metadata in istiod's words.
    pub metadata: Map<String, Value>,
    /// Where we run, if known.
    pub locality: Option<Locality>,
}

impl NodeIdentity {
    /// A text value of the metadata.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).and_then(Value::as_str)
    }

    /// A label of the pod.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.get("LABELS")?.get(key)?.as_str()
    }
}

/// What a node is made from.
pub(super) struct Inputs<'a> {
    pub(super) args: &'a ProxyArgs,
    pub(super) env: &'a Environment,
    pub(super) proxy_config: &'a ProxyConfig,
    pub(super) annotations: &'a BTreeMap<String, String>,
    pub(super) pod_name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) service_account: &'a str,
    pub(super) instance_ip: IpAddr,
    pub(super) ports: Ports,
    pub(super) exit_on_zero_connections: bool,
}

pub(super) fn build(inputs: Inputs<'_>) -> Result<NodeIdentity, BootstrapError> {
    let domain = match inputs.args.domain.as_str() {
        "" => format!("{}.svc.cluster.local", inputs.namespace),
        domain => domain.to_owned(),
    };
    let role = inputs.args.role.as_str();
    let id = format!("{role}~{}~{}.{}~{domain}", inputs.instance_ip, inputs.pod_name, inputs.namespace);
    let mut metadata = from_environment(&inputs)?;
    let mut labels = labels(&inputs, &metadata)?;
    let locality = locality(&mut labels);
    let cluster = format!("{}.{}", workload(&metadata, &labels, inputs.pod_name), inputs.namespace);
    let mut say = |key: &str, value: Value| metadata.insert(key.to_owned(), value);
    say("LABELS", json!(labels));
    if !inputs.annotations.is_empty() {
        say("ANNOTATIONS", json!(inputs.annotations));
    }
    say("NAME", json!(inputs.pod_name));
    say("NAMESPACE", json!(inputs.namespace));
    say("SERVICE_ACCOUNT", json!(inputs.service_account));
    say("INSTANCE_IPS", json!(instance_ips(inputs.instance_ip)));
    say("ENVOY_STATUS_PORT", json!(inputs.ports.health));
    say("ENVOY_PROMETHEUS_PORT", json!(inputs.ports.metrics));
    say("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", json!(inputs.exit_on_zero_connections.to_string()));
    say("PROXY_CONFIG", Value::Object(inputs.proxy_config.as_map().clone()));
    metadata.entry("ISTIO_VERSION").or_insert_with(|| json!(env!("CARGO_PKG_VERSION")));
    Ok(NodeIdentity { id, cluster, metadata, locality })
}

/// `ISTIO_META_X=v` is metadata `X: v`; `ISTIO_METAJSON_X={...}` adds the object's fields. The proxy configuration's
/// `proxyMetadata` may hold the former too.
fn from_environment(inputs: &Inputs<'_>) -> Result<Map<String, Value>, BootstrapError> {
    let mut metadata = Map::new();
    for (key, value) in inputs.proxy_config.proxy_metadata() {
        if let Some(name) = key.strip_prefix("ISTIO_META_") {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    for (name, value) in inputs.env.with_prefix("ISTIO_META_") {
        metadata.insert(name.to_owned(), typed(name, value));
    }
    for (name, value) in inputs.env.with_prefix("ISTIO_METAJSON_") {
        let object: Map<String, Value> = serde_json::from_str(value).map_err(|problem| {
            BootstrapError::Json { name: format!("ISTIO_METAJSON_{name}"), problem: problem.to_string() }
        })?;
        if name == "LABELS" {
            metadata.insert("STATIC_LABELS".to_owned(), Value::Object(object));
        } else {
            metadata.extend(object);
        }
    }
    Ok(metadata)
}

/// Values are text, except the list of ports, which istiod reads as JSON either way.
fn typed(name: &str, value: &str) -> Value {
    match name {
        "POD_PORTS" => serde_json::from_str(value).unwrap_or_else(|_| json!(value)),
        _ => json!(value),
    }
}

fn labels(
    inputs: &Inputs<'_>,
    metadata: &Map<String, Value>,
) -> Result<BTreeMap<String, String>, BootstrapError> {
    let fixed = metadata.get("STATIC_LABELS").and_then(Value::as_object);
    let mut labels: BTreeMap<String, String> = fixed
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    labels.extend(downward::read(inputs.env, downward::LABELS_PATH)?);
    // differs between the pods of one workload and says nothing
    labels.remove("pod-template-hash");
    Ok(labels)
}

fn locality(labels: &mut BTreeMap<String, String>) -> Option<Locality> {
    let name = LOCALITY_LABELS.into_iter().find(|name| labels.contains_key(*name))?;
    let label = labels.get_mut(name)?;
    if !label.contains('/') {
        *label = label.replace('.', "/");
    }
    let mut parts = label.splitn(3, '/').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    Some(Locality { region: part(), zone: part(), sub_zone: part() })
}

fn workload(metadata: &Map<String, Value>, labels: &BTreeMap<String, String>, pod_name: &str) -> String {
    let by_label = || ["app", "app.kubernetes.io/name"].iter().find_map(|name| labels.get(*name).cloned());
    let by_owner = || metadata.get("WORKLOAD_NAME").and_then(Value::as_str).map(str::to_owned);
    by_label().or_else(by_owner).unwrap_or_else(|| pod_name.to_owned())
}

/// Our address first: the control plane takes the first one as the pod's.
fn instance_ips(instance_ip: IpAddr) -> String {
    let others = addresses::interface_addresses().into_iter().filter(|address| *address != instance_ip);
    let all: Vec<String> = std::iter::once(instance_ip).chain(others).map(|ip| ip.to_string()).collect();
    all.join(",")
}
