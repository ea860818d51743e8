//! Environment of the proxy: who it is, where the control plane is, what its pod has.

use crds::mesh_config::InboundMode;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{names, proxy::Role, proxy_config, settings::Settings};

/// The variables, in Istio's order.
pub(super) fn variables(settings: &Settings<'_>, role: Role) -> Vec<EnvVar> {
    let global = &settings.values.global;
    let mut variables = vec![
        value("PILOT_CERT_PROVIDER", &global.pilot_cert_provider),
        value("CA_ADDR", &authority(settings)),
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        field("INSTANCE_IP", "status.podIP"),
        field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        field("HOST_IP", "status.hostIP"),
        resource("ISTIO_CPU_LIMIT", "limits.cpu"),
        value("PROXY_CONFIG", &proxy_config::to_json(&settings.proxy, settings.ctx)),
        value("ISTIO_META_POD_PORTS", &ports(settings)),
        value("ISTIO_META_APP_CONTAINERS", &settings.app_containers.join(",")),
        value("ISTIO_META_CLUSTER_ID", &cluster(settings)),
        field("ISTIO_META_NODE_NAME", "spec.nodeName"),
        value("ISTIO_META_INTERCEPTION_MODE", if settings.redirect { "REDIRECT" } else { "NONE" }),
    ];
    variables.extend(network(settings));
    variables.extend(workload(settings, role));
    let trust_domain = settings.mesh.trust_domain();
    let mesh_id = if global.mesh_id.is_empty() { trust_domain } else { &global.mesh_id };
    variables.push(value("ISTIO_META_MESH_ID", mesh_id));
    variables.push(value("TRUST_DOMAIN", trust_domain));
    if role == Role::Sidecar && probes_go_to_localhost(settings) {
        variables.push(value("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION", "true"));
    }
    for (name, text) in &settings.proxy.proxy_metadata {
        variables.retain(|variable| variable.name != *name);
        variables.push(value(name, text));
    }
    variables
}

/// A variable with a fixed value.
pub(super) fn value(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn field(name: &str, path: &str) -> EnvVar {
    let selector = ObjectFieldSelector { field_path: path.to_owned(), api_version: None };
    source(name, EnvVarSource { field_ref: Some(selector), ..Default::default() })
}

fn resource(name: &str, resource: &str) -> EnvVar {
    let selector = ResourceFieldSelector {
        resource: resource.to_owned(),
        divisor: Some(Quantity("1".to_owned())),
        container_name: None,
    };
    source(name, EnvVarSource { resource_field_ref: Some(selector), ..Default::default() })
}

fn source(name: &str, source: EnvVarSource) -> EnvVar {
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

fn authority(settings: &Settings<'_>) -> String {
    let global = &settings.values.global;
    if !global.ca_address.is_empty() {
        return global.ca_address.clone();
    }
    format!("{}.{}.svc:15012", settings.ctx.control_plane(), global.istio_namespace)
}

fn cluster(settings: &Settings<'_>) -> String {
    let name = &settings.values.global.multi_cluster.cluster_name;
    if name.is_empty() { "Kubernetes".to_owned() } else { name.clone() }
}

fn network(settings: &Settings<'_>) -> Option<EnvVar> {
    let network = settings.labels.get(names::NETWORK).unwrap_or(&settings.values.global.network);
    (!network.is_empty()).then(|| value("ISTIO_META_NETWORK", network))
}

fn workload(settings: &Settings<'_>, role: Role) -> Vec<EnvVar> {
    let workload = &settings.workload;
    let named = settings.labels.get(names::WORKLOAD_NAME).filter(|_| role == Role::Sidecar);
    let name = named.unwrap_or(&workload.name);
    let mut variables = Vec::new();
    if !name.is_empty() {
        variables.push(value("ISTIO_META_WORKLOAD_NAME", name));
    }
    if !workload.name.is_empty() {
        variables.push(value("ISTIO_META_OWNER", &workload.owner(&settings.namespace)));
    }
    variables
}

fn ports(settings: &Settings<'_>) -> String {
    serde_json::to_string(&settings.pod_ports).unwrap_or_else(|_| "[]".to_owned())
}

/// Where inbound traffic reaches applications on localhost, so must probes.
fn probes_go_to_localhost(settings: &Settings<'_>) -> bool {
    let policy = settings.mesh.inbound_traffic_policy.as_ref();
    policy.and_then(|policy| policy.mode).is_some_and(|mode| mode == InboundMode::Localhost)
}
