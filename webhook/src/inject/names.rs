//! Names that users, dashboards and other tools know: containers, labels, annotations, ports.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

/// The proxy's container.
pub const PROXY_CONTAINER: &str = "istio-proxy";
/// The init container that writes the redirect rules.
pub const INIT_CONTAINER: &str = "istio-init";

pub(super) const PROXY_UID: i64 = 1337;
pub(super) const HEALTH_PORT: i32 = 15021;
pub(super) const METRICS_PORT: i32 = 15090;

pub(super) const INJECT: &str = "sidecar.istio.io/inject";
pub(super) const REVISION: &str = "istio.io/rev";
pub(super) const NAMESPACE_INJECTION: &str = "istio-injection";
pub(super) const STATUS: &str = "sidecar.istio.io/status";
pub(super) const OVERRIDES: &str = "proxy.istio.io/overrides";
pub(super) const TEMPLATES: &str = "inject.istio.io/templates";
pub(super) const PROXY_CONFIG: &str = "proxy.istio.io/config";
pub(super) const NATIVE_SIDECAR: &str = "sidecar.istio.io/nativeSidecar";
pub(super) const INTERCEPTION_MODE: &str = "sidecar.istio.io/interceptionMode";
pub(super) const REWRITE_PROBES: &str = "sidecar.istio.io/rewriteAppHTTPProbers";
pub(super) const PROXY_IMAGE: &str = "sidecar.istio.io/proxyImage";
pub(super) const PROXY_IMAGE_TYPE: &str = "sidecar.istio.io/proxyImageType";
pub(super) const PROXY_CPU: &str = "sidecar.istio.io/proxyCPU";
pub(super) const PROXY_CPU_LIMIT: &str = "sidecar.istio.io/proxyCPULimit";
pub(super) const PROXY_MEMORY: &str = "sidecar.istio.io/proxyMemory";
pub(super) const PROXY_MEMORY_LIMIT: &str = "sidecar.istio.io/proxyMemoryLimit";
pub(super) const LOG_LEVEL: &str = "sidecar.istio.io/logLevel";
pub(super) const COMPONENT_LOG_LEVEL: &str = "sidecar.istio.io/componentLogLevel";
pub(super) const AGENT_LOG_LEVEL: &str = "sidecar.istio.io/agentLogLevel";
pub(super) const USER_VOLUME: &str = "sidecar.istio.io/userVolume";
pub(super) const USER_VOLUME_MOUNT: &str = "sidecar.istio.io/userVolumeMount";
pub(super) const BOOTSTRAP_OVERRIDE: &str = "sidecar.istio.io/bootstrapOverride";
pub(super) const EXTRA_STAT_TAGS: &str = "sidecar.istio.io/extraStatTags";
pub(super) const STATUS_PORT: &str = "status.sidecar.istio.io/port";
pub(super) const READINESS_INITIAL_DELAY: &str = "readiness.status.sidecar.istio.io/initialDelaySeconds";
pub(super) const READINESS_PERIOD: &str = "readiness.status.sidecar.istio.io/periodSeconds";
pub(super) const READINESS_FAILURES: &str = "readiness.status.sidecar.istio.io/failureThreshold";
pub(super) const INCLUDE_OUTBOUND_RANGES: &str = "traffic.sidecar.istio.io/includeOutboundIPRanges";
pub(super) const EXCLUDE_OUTBOUND_RANGES: &str = "traffic.sidecar.istio.io/excludeOutboundIPRanges";
pub(super) const INCLUDE_INBOUND_PORTS: &str = "traffic.sidecar.istio.io/includeInboundPorts";
pub(super) const EXCLUDE_INBOUND_PORTS: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
pub(super) const INCLUDE_OUTBOUND_PORTS: &str = "traffic.sidecar.istio.io/includeOutboundPorts";
pub(super) const EXCLUDE_OUTBOUND_PORTS: &str = "traffic.sidecar.istio.io/excludeOutboundPorts";
pub(super) const EXCLUDE_INTERFACES: &str = "traffic.sidecar.istio.io/excludeInterfaces";
pub(super) const KUBEVIRT_INTERFACES: &str = "traffic.sidecar.istio.io/kubevirtInterfaces";
pub(super) const REROUTE_INTERFACES: &str = "istio.io/reroute-virtual-interfaces";
pub(super) const MERGE_METRICS: &str = "prometheus.istio.io/merge-metrics";
pub(super) const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
pub(super) const DEFAULT_LOGS_CONTAINER: &str = "kubectl.kubernetes.io/default-logs-container";
pub(super) const TLS_MODE: &str = "security.istio.io/tlsMode";
pub(super) const CANONICAL_NAME: &str = "service.istio.io/canonical-name";
pub(super) const CANONICAL_REVISION: &str = "service.istio.io/canonical-revision";
pub(super) const WORKLOAD_NAME: &str = "service.istio.io/workload-name";
pub(super) const NETWORK: &str = "topology.istio.io/network";

pub(super) const APP_PROBERS: &str = "ISTIO_KUBE_APP_PROBERS";
pub(super) const PROMETHEUS_ANNOTATIONS: &str = "ISTIO_PROMETHEUS_ANNOTATIONS";

/// The containers, and the init containers, as lists that exist.
pub(super) fn all_containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

/// As [`all_containers`], to change them.
pub(super) fn all_containers_mut(pod: &mut Pod) -> impl Iterator<Item = &mut Container> {
    pod.spec
        .iter_mut()
        .flat_map(|spec| spec.init_containers.iter_mut().flatten().chain(spec.containers.iter_mut()))
}

/// The proxy's container, wherever it is.
pub(super) fn proxy_mut(pod: &mut Pod) -> Option<&mut Container> {
    all_containers_mut(pod).find(|container| container.name == PROXY_CONTAINER)
}

/// An annotation of a pod.
pub(super) fn annotation<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// A label of a pod.
pub(super) fn label<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(name).map(String::as_str)
}

/// The annotations of a pod, to change them.
pub(super) fn annotations_mut(pod: &mut Pod) -> &mut BTreeMap<String, String> {
    pod.metadata.annotations.get_or_insert_default()
}

/// `Pod shop/web`, for messages; a pod that a controller makes has only the start of a name.
pub(super) fn describe(pod: &Pod) -> String {
    let meta = &pod.metadata;
    let name = match (&meta.name, &meta.generate_name) {
        (Some(name), _) if !name.is_empty() => name.clone(),
        (_, Some(start)) => format!("{start}*"),
        _ => "(unnamed)".to_owned(),
    };
    match &meta.namespace {
        Some(namespace) => format!("Pod {namespace}/{name}"),
        None => format!("Pod {name}"),
    }
}
