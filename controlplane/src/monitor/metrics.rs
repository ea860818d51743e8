//! The control plane's metrics, under istiod's names.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use xds::ResourceType;

use super::count::Count;
use super::process::Process;

/// Label `type`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct OfType {
    r#type: &'static str,
}

/// Labels `type` and `event`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct OfEvent {
    r#type: &'static str,
    event: &'static str,
}

/// Label `version`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfVersion {
    version: &'static str,
}

/// Buckets of a histogram.
#[derive(Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

const PUSH_TIME: Buckets = Buckets(&[0.01, 0.1, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0]);
const CONVERGENCE: Buckets = Buckets(&[0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0]);
const SIZE: Buckets = Buckets(&[1.0, 10_000.0, 1_000_000.0, 4_000_000.0, 10_000_000.0, 40_000_000.0]);

/// Metrics of one resource type, looked up once.
#[derive(Debug)]
pub(crate) struct TypeMetrics {
    pub(crate) pushes: Count,
    pub(crate) push_time: Histogram,
    pub(crate) size: Histogram,
    pub(crate) rejects: Count,
    pub(crate) expired_nonces: Count,
}

/// All of them, and the registry that prints them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    types: Vec<TypeMetrics>,
    triggers: Family<OfType, Count>,
    registry_events: Family<OfEvent, Count>,
    config_events: Family<OfEvent, Count>,
    pub(crate) convergence: Histogram,
    pub(crate) services: Gauge,
    pub(crate) streams: Gauge,
    pub(crate) internal_errors: Count,
    pub(crate) csr_count: Count,
    pub(crate) csr_authentication_failures: Count,
    pub(crate) csr_parse_errors: Count,
    pub(crate) csr_id_errors: Count,
    pub(crate) csr_sign_errors: Count,
    pub(crate) certificates_issued: Count,
    pub(crate) root_expiry: Gauge,
    pub(crate) webhook: webhook::Metrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let types = types(&mut registry);
        let mut count = |name: &str, help: &str| {
            let count = Count::default();
            registry.register(name, help, count.clone());
            count
        };
        let internal_errors = count("pilot_total_xds_internal_errors", "Internal XDS errors");
        let csr_count = count("citadel_server_csr_count", "CSRs received");
        let csr_authentication_failures = count(
            "citadel_server_authentication_failure_count",
            "CSRs whose sender could not be authenticated",
        );
        let csr_parse_errors = count("citadel_server_csr_parsing_err_count", "CSRs that could not be used");
        let csr_id_errors =
            count("citadel_server_id_extraction_err_count", "CSRs for somebody else's identity");
        let csr_sign_errors = count("citadel_server_csr_sign_err_count", "CSRs that could not be signed");
        let certificates_issued = count("citadel_server_success_cert_issuance_count", "Certificates issued");
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let root_expiry =
            gauge("citadel_server_root_cert_expiry_timestamp", "Unix time at which the CA certificate ends");
        let services = gauge("pilot_services", "Services known");
        let (streams, info) = (Family::<OfVersion, Gauge>::default(), Family::<OfVersion, Gauge>::default());
        registry.register("pilot_xds", "Proxies connected to this replica", streams.clone());
        registry.register("pilot_info", "Version of the control plane", info.clone());
        let version = OfVersion { version: env!("CARGO_PKG_VERSION") };
        info.get_or_create(&version).set(1);
        let streams = streams.get_or_create(&version).clone();
        let convergence = CONVERGENCE.new_metric();
        registry.register(
            "pilot_proxy_convergence_time",
            "Seconds from a change to the moment a proxy is sent it",
            convergence.clone(),
        );
        let triggers = Family::default();
        registry.register(
            "pilot_push_triggers",
            "Changes that led to a push, by what changed",
            triggers.clone(),
        );
        let registry_events = Family::default();
        registry.register("pilot_k8s_reg_events", "Events of Kubernetes' own kinds", registry_events.clone());
        let config_events = Family::default();
        registry.register("pilot_k8s_cfg_events", "Events of Istio's kinds", config_events.clone());
        registry.register_collector(Box::new(Process));
        let webhook = webhook::Metrics::register(&mut registry);
        Self {
            registry,
            types,
            triggers,
            registry_events,
            config_events,
            convergence,
            services,
            streams,
            internal_errors,
            csr_count,
            csr_authentication_failures,
            csr_parse_errors,
            csr_id_errors,
            csr_sign_errors,
            certificates_issued,
            root_expiry,
            webhook,
        }
    }
}

impl Metrics {
    pub(crate) fn of(&self, kind: ResourceType) -> &TypeMetrics {
        &self.types[kind as usize]
    }

    pub(crate) fn triggered(&self, what: &'static str) {
        self.triggers.get_or_create(&OfType { r#type: what }).inc();
    }

    /// An object came, changed or went.
    pub(crate) fn object_event(&self, kind: model::Kind, event: &'static str) {
        use model::Kind::{
            DestinationRule, Gateway, PeerAuthentication, ServiceEntry, Sidecar, VirtualService,
            WorkloadEntry,
        };
        let istio = [
            DestinationRule,
            Gateway,
            PeerAuthentication,
            ServiceEntry,
            Sidecar,
            VirtualService,
            WorkloadEntry,
        ];
        let (family, name) = match kind {
            kind if istio.contains(&kind) => (&self.config_events, kind.as_str()),
            // istiod's words.
            model::Kind::Namespace => (&self.registry_events, "Namespaces"),
            model::Kind::Node => (&self.registry_events, "Nodes"),
            model::Kind::Pod => (&self.registry_events, "Pods"),
            model::Kind::Service => (&self.registry_events, "Services"),
            kind => (&self.registry_events, kind.as_str()),
        };
        family.get_or_create(&OfEvent { r#type: name, event }).inc();
    }

    /// The text that Prometheus scrapes, without the mark at its end, so that others' metrics can follow.
    pub(crate) fn encode(&self) -> String {
        let mut out = String::new();
        if text::encode_registry(&mut out, &self.registry).is_err() {
            tracing::error!("metrics could not be printed");
        }
        out
    }
}

fn types(registry: &mut Registry) -> Vec<TypeMetrics> {
    let (pushes, rejects, expired) = (
        Family::<OfType, Count>::default(),
        Family::<OfType, Count>::default(),
        Family::<OfType, Count>::default(),
    );
    let times = Family::<OfType, Histogram, Buckets>::new_with_constructor(PUSH_TIME);
    let sizes = Family::<OfType, Histogram, Buckets>::new_with_constructor(SIZE);
    registry.register("pilot_xds_pushes", "Responses sent, by type", pushes.clone());
    registry.register(
        "pilot_xds_push_time",
        "Seconds from planning a response to having encoded it",
        times.clone(),
    );
    registry.register("pilot_xds_config_size_bytes", "Size of responses", sizes.clone());
    registry.register("pilot_total_xds_rejects", "Responses that a proxy rejected", rejects.clone());
    registry.register(
        "pilot_xds_expired_nonce",
        "Answers to responses that are not the last one",
        expired.clone(),
    );
    let of = |kind: ResourceType| {
        let label = OfType { r#type: kind.short() };
        TypeMetrics {
            pushes: pushes.get_or_create(&label).clone(),
            push_time: times.get_or_create(&label).clone(),
            size: sizes.get_or_create(&label).clone(),
            rejects: rejects.get_or_create(&label).clone(),
            expired_nonces: expired.get_or_create(&label).clone(),
        }
    };
    ResourceType::ALL.map(of).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_istiods() {
        let metrics = Metrics::default();
        metrics.of(ResourceType::Endpoints).pushes.inc();
        metrics.of(ResourceType::Cluster).rejects.add(2);
        metrics.triggered("endpoint");
        metrics.object_event(model::Kind::VirtualService, "update");
        metrics.object_event(model::Kind::Pod, "add");
        metrics.object_event(model::Kind::EndpointSlice, "update");
        let text = metrics.encode();
        for line in [
            "pilot_xds_pushes{type=\"eds\"} 1\n",
            "pilot_total_xds_rejects{type=\"cds\"} 2\n",
            "pilot_push_triggers{type=\"endpoint\"} 1\n",
            "pilot_k8s_cfg_events{type=\"VirtualService\",event=\"update\"} 1\n",
            "pilot_k8s_reg_events{type=\"Pods\",event=\"add\"} 1\n",
            "pilot_k8s_reg_events{type=\"EndpointSlice\",event=\"update\"} 1\n",
            "citadel_server_csr_count 0\n",
            "pilot_services 0\n",
            "pilot_xds{version=",
            "pilot_info{version=",
            "pilot_proxy_convergence_time_bucket{le=\"0.1\"} 0\n",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "process_start_time_seconds ",
            "process_max_fds ",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
