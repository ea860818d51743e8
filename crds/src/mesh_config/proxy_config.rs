//! ProxyConfig: settings of proxies, from `meshConfig.defaultConfig` and annotation `proxy.istio.io/config`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    Duration,
    macros::{keywords, message},
    networking::{ClientTlsSettings, TcpKeepalive},
};

message! {
    /// Settings of a proxy.
    pub struct ProxyConfig {
        /// Folder of generated configuration.
        pub config_path: Option<String>,
        /// The proxy's program.
        pub binary_path: Option<String>,
        /// Name of the proxy's service in traces.
        pub service_cluster: Option<String>,
        /// How that name is found.
        pub tracing_service_name: Option<TracingServiceName>,
        /// Time for connections to end when a listener goes; 45 s when absent.
        pub drain_duration: Option<Duration>,
        /// Where the control plane is.
        pub discovery_address: Option<String>,
        /// Address of a statsd server.
        pub statsd_udp_address: Option<String>,
        /// Port of the admin endpoint; 15000 when absent.
        pub proxy_admin_port: Option<i32>,
        /// Worker threads; as many as the CPU limit when absent, all cores when 0.
        pub concurrency: Option<i32>,
        /// How traffic is redirected to the proxy.
        pub interception_mode: Option<InboundInterceptionMode>,
        /// Settings of tracing.
        pub tracing: Option<Tracing>,
        /// Where access logs are sent by gRPC.
        pub envoy_access_log_service: Option<RemoteService>,
        /// Where metrics are sent by gRPC.
        pub envoy_metrics_service: Option<RemoteService>,
        /// Environment variables of the proxy.
        pub proxy_metadata: BTreeMap<String, String>,
        /// Values of Envoy's runtime.
        pub runtime_values: BTreeMap<String, String>,
        /// Port for health and merged metrics; 15020 when absent.
        pub status_port: Option<i32>,
        /// Further labels of metrics.
        pub extra_stat_tags: Vec<String>,
        /// What is in front of gateways.
        pub gateway_topology: Option<Topology>,
        /// Time for connections to end when the pod goes; 5 s when absent.
        pub termination_drain_duration: Option<Duration>,
        /// Name of the mesh.
        pub mesh_id: Option<String>,
        /// Probe that decides on the health of a workload outside of Kubernetes.
        pub readiness_probe: Option<Map<String, Value>>,
        /// Statistics that are kept besides the standard ones.
        pub proxy_stats_matcher: Option<ProxyStatsMatcher>,
        /// Start the application only when the proxy is ready.
        pub hold_application_until_proxy_starts: Option<bool>,
        /// Further authorities, as PEM.
        pub ca_certificates_pem: Vec<String>,
        /// Which image is injected.
        pub image: Option<ProxyImage>,
        /// Where private keys are used by hardware.
        pub private_key_provider: Option<Map<String, Value>>,
        /// Headers that the proxy adds.
        pub proxy_headers: Option<ProxyHeaders>,
        /// How often access logs are flushed.
        pub file_flush_interval: Option<Duration>,
        /// How much of an access log is buffered.
        pub file_flush_min_size_kb: Option<u32>,
        /// Compress answers to Prometheus; on when absent.
        pub stats_compression: Option<bool>,
        /// Limits of downstream connections.
        pub connection_settings: Option<Map<String, Value>>,
    }

    /// Settings of tracing.
    pub struct Tracing {
        /// Traces to Zipkin.
        pub zipkin: Option<TracingZipkin>,
        /// Traces to Lightstep.
        pub lightstep: Option<Map<String, Value>>,
        /// Traces to Datadog.
        pub datadog: Option<Map<String, Value>>,
        /// Traces to Google Cloud.
        pub stackdriver: Option<Map<String, Value>>,
        /// Traces to an OpenCensus agent.
        pub open_census_agent: Option<Map<String, Value>>,
        /// Further tags of spans.
        pub custom_tags: BTreeMap<String, CustomTag>,
        /// Longest path in a span; 256 when absent.
        pub max_path_tag_length: Option<u32>,
        /// Share of requests that is traced, in percent; 1 when absent.
        pub sampling: Option<f64>,
        /// TLS with the backend.
        pub tls_settings: Option<ClientTlsSettings>,
        /// Add Istio's own tags; on when absent.
        pub enable_istio_tags: Option<bool>,
    }

    /// A Zipkin collector.
    pub struct TracingZipkin {
        /// Its address, `host:port`.
        pub address: Option<String>,
    }

    /// A tag of spans.
    pub struct CustomTag {
        /// A fixed value.
        pub literal: Option<TagLiteral>,
        /// The value of an environment variable.
        pub environment: Option<TagSource>,
        /// The value of a request's header.
        pub header: Option<TagSource>,
    }

    /// A fixed value.
    pub struct TagLiteral {
        /// The value.
        pub value: Option<String>,
    }

    /// A named value.
    pub struct TagSource {
        /// Its name.
        pub name: Option<String>,
        /// The value where there is none.
        pub default_value: Option<String>,
    }

    /// A gRPC service.
    pub struct RemoteService {
        /// Its address, `host:port`.
        pub address: Option<String>,
        /// TLS with it.
        pub tls_settings: Option<ClientTlsSettings>,
        /// Keep-alive probes.
        pub tcp_keepalive: Option<TcpKeepalive>,
    }

    /// What is in front of gateways.
    pub struct Topology {
        /// Proxies whose X-Forwarded-For is believed; 0 when absent.
        pub num_trusted_proxies: Option<u32>,
        /// What happens to X-Forwarded-Client-Cert.
        pub forward_client_cert_details: Option<ForwardClientCertDetails>,
        /// Expect a PROXY protocol header.
        pub proxy_protocol: Option<Map<String, Value>>,
    }

    /// Statistics that are kept besides the standard ones.
    pub struct ProxyStatsMatcher {
        /// How their names begin.
        pub inclusion_prefixes: Vec<String>,
        /// How their names end.
        pub inclusion_suffixes: Vec<String>,
        /// Expressions that match their whole names.
        pub inclusion_regexps: Vec<String>,
    }

    /// Which image is injected.
    pub struct ProxyImage {
        /// default, debug or distroless.
        pub image_type: Option<String>,
    }

    /// Headers that the proxy adds.
    pub struct ProxyHeaders {
        /// What happens to X-Forwarded-Client-Cert.
        pub forwarded_client_cert: Option<ForwardClientCertDetails>,
        /// Parts of the client's certificate that are forwarded.
        pub set_current_client_cert_details: Option<SetCurrentClientCertDetails>,
        /// X-Request-Id.
        pub request_id: Option<HeaderSwitch>,
        /// Server.
        pub server: Option<ServerHeader>,
        /// X-Envoy-Attempt-Count.
        pub attempt_count: Option<HeaderSwitch>,
        /// X-Envoy-* for debugging.
        pub envoy_debug_headers: Option<HeaderSwitch>,
        /// Headers that exchange metadata of peers.
        pub metadata_exchange_headers: Option<MetadataExchangeHeaders>,
        /// Keep the case of HTTP/1.1 headers.
        pub preserve_http1_header_case: Option<bool>,
        /// X-Forwarded-Host.
        pub x_forwarded_host: Option<HeaderOptIn>,
        /// X-Forwarded-Port.
        pub x_forwarded_port: Option<HeaderOptIn>,
    }

    /// A header that is on unless switched off.
    pub struct HeaderSwitch {
        /// Switches it off.
        pub disabled: Option<bool>,
    }

    /// A header that is off unless switched on.
    pub struct HeaderOptIn {
        /// Switches it on.
        pub enabled: Option<bool>,
    }

    /// The Server header.
    pub struct ServerHeader {
        /// Switches it off.
        pub disabled: Option<bool>,
        /// Its value; `istio-envoy` when absent.
        pub value: Option<String>,
    }

    /// Headers that exchange metadata of peers.
    pub struct MetadataExchangeHeaders {
        /// With whom they are exchanged.
        pub mode: Option<MetadataExchangeMode>,
    }

    /// Parts of the client's certificate that are forwarded.
    pub struct SetCurrentClientCertDetails {
        /// Its subject.
        pub subject: Option<bool>,
        /// The certificate.
        pub cert: Option<bool>,
        /// The chain.
        pub chain: Option<bool>,
        /// Its DNS names.
        pub dns: Option<bool>,
        /// Its URIs.
        pub uri: Option<bool>,
    }
}

keywords! {
    /// How the name of a proxy's service in traces is found.
    pub enum TracingServiceName {
        /// Label `app` and namespace.
        AppLabelAndNamespace = "APP_LABEL_AND_NAMESPACE",
        /// Canonical name.
        CanonicalNameOnly = "CANONICAL_NAME_ONLY",
        /// Canonical name and namespace.
        CanonicalNameAndNamespace = "CANONICAL_NAME_AND_NAMESPACE",
    }

    /// How traffic is redirected to the proxy.
    pub enum InboundInterceptionMode {
        /// Redirected; the client's address is lost.
        Redirect = "REDIRECT",
        /// Passed transparently; the client's address is kept.
        Tproxy = "TPROXY",
        /// Not at all.
        None = "NONE",
    }

    /// What happens to X-Forwarded-Client-Cert.
    pub enum ForwardClientCertDetails {
        /// As the kind of proxy does.
        Undefined = "UNDEFINED",
        /// Removed.
        Sanitize = "SANITIZE",
        /// Forwarded.
        ForwardOnly = "FORWARD_ONLY",
        /// Forwarded, and the client's added.
        AppendForward = "APPEND_FORWARD",
        /// Replaced by the client's.
        SanitizeSet = "SANITIZE_SET",
        /// Forwarded, even without mutual TLS.
        AlwaysForwardOnly = "ALWAYS_FORWARD_ONLY",
    }

    /// With whom metadata is exchanged.
    pub enum MetadataExchangeMode {
        /// Everyone.
        Undefined = "UNDEFINED",
        /// Members of the mesh.
        InMesh = "IN_MESH",
    }
}
