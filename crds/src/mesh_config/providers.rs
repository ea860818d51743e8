//! Named backends for logs, traces, metrics and authorization.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    Duration,
    macros::{keywords, message},
    rules::at_most_one,
};

message! {
    /// A named backend of one kind.
    #[schemars(extend("oneOf" = at_most_one(&[
        "envoyExtAuthzHttp", "envoyExtAuthzGrpc", "zipkin", "lightstep", "datadog", "stackdriver", "opencensus",
        "skywalking", "opentelemetry", "prometheus", "envoyFileAccessLog", "envoyHttpAls", "envoyTcpAls",
        "envoyOtelAls", "sds",
    ])))]
    pub struct ExtensionProvider {
        /// The name that Telemetry and AuthorizationPolicy use.
        pub name: Option<String>,
        /// Authorization by an HTTP service.
        pub envoy_ext_authz_http: Option<EnvoyExternalAuthorizationHttpProvider>,
        /// Authorization by a gRPC service.
        pub envoy_ext_authz_grpc: Option<EnvoyExternalAuthorizationGrpcProvider>,
        /// Traces to Zipkin.
        pub zipkin: Option<ZipkinTracingProvider>,
        /// Deprecated: traces to Lightstep.
        pub lightstep: Option<Map<String, Value>>,
        /// Traces to Datadog.
        pub datadog: Option<Map<String, Value>>,
        /// Traces and logs to Google Cloud.
        pub stackdriver: Option<Map<String, Value>>,
        /// Deprecated: traces to an OpenCensus agent.
        pub opencensus: Option<Map<String, Value>>,
        /// Traces to SkyWalking.
        pub skywalking: Option<Map<String, Value>>,
        /// Traces by OTLP.
        pub opentelemetry: Option<OpenTelemetryTracingProvider>,
        /// Metrics for Prometheus.
        pub prometheus: Option<Map<String, Value>>,
        /// Access logs to a file.
        pub envoy_file_access_log: Option<EnvoyFileAccessLogProvider>,
        /// Access logs of HTTP to a gRPC service.
        pub envoy_http_als: Option<EnvoyHttpGrpcV3LogProvider>,
        /// Access logs of TCP to a gRPC service.
        pub envoy_tcp_als: Option<EnvoyTcpGrpcV3LogProvider>,
        /// Access logs by OTLP.
        pub envoy_otel_als: Option<EnvoyOpenTelemetryLogProvider>,
        /// Certificates from another SDS server.
        pub sds: Option<SdsProvider>,
    }

    /// Backends used where no Telemetry object says otherwise.
    pub struct DefaultProviders {
        /// For traces.
        pub tracing: Vec<String>,
        /// For metrics.
        pub metrics: Vec<String>,
        /// For access logs.
        pub access_logging: Vec<String>,
    }

    /// The part of a request's body that is sent along for authorization.
    pub struct EnvoyExternalAuthorizationRequestBody {
        /// Most bytes sent.
        pub max_request_bytes: Option<u32>,
        /// Whether a longer body is cut instead of refused.
        pub allow_partial_message: Option<bool>,
        /// Whether it is sent as bytes instead of text.
        pub pack_as_bytes: Option<bool>,
    }

    /// Authorization by an HTTP service.
    pub struct EnvoyExternalAuthorizationHttpProvider {
        /// The service, as `namespace/host` or `host`.
        pub service: Option<String>,
        /// Its port.
        pub port: Option<u32>,
        /// Time for an answer.
        pub timeout: Option<Duration>,
        /// Put before the path.
        pub path_prefix: Option<String>,
        /// Let requests pass when the service fails.
        pub fail_open: Option<bool>,
        /// Choose the route anew after the answer.
        pub clear_route_cache: Option<bool>,
        /// Status code when the service fails; 403 when absent.
        pub status_on_error: Option<String>,
        /// Deprecated: use includeRequestHeadersInCheck.
        pub include_headers_in_check: Vec<String>,
        /// Headers of the request that are sent along.
        pub include_request_headers_in_check: Vec<String>,
        /// Headers that are added.
        pub include_additional_headers_in_check: BTreeMap<String, String>,
        /// Body that is sent along.
        pub include_request_body_in_check: Option<EnvoyExternalAuthorizationRequestBody>,
        /// Headers of an allowing answer that the destination gets.
        pub headers_to_upstream_on_allow: Vec<String>,
        /// Headers of a denying answer that the client gets.
        pub headers_to_downstream_on_deny: Vec<String>,
        /// Headers of an allowing answer that the client gets.
        pub headers_to_downstream_on_allow: Vec<String>,
    }

    /// Authorization by a gRPC service.
    pub struct EnvoyExternalAuthorizationGrpcProvider {
        /// The service, as `namespace/host` or `host`.
        pub service: Option<String>,
        /// Its port.
        pub port: Option<u32>,
        /// Time for an answer.
        pub timeout: Option<Duration>,
        /// Let requests pass when the service fails.
        pub fail_open: Option<bool>,
        /// Choose the route anew after the answer.
        pub clear_route_cache: Option<bool>,
        /// Status code when the service fails; 403 when absent.
        pub status_on_error: Option<String>,
        /// Body that is sent along.
        pub include_request_body_in_check: Option<EnvoyExternalAuthorizationRequestBody>,
    }

    /// Traces to Zipkin.
    pub struct ZipkinTracingProvider {
        /// The service, as `namespace/host` or `host`.
        pub service: Option<String>,
        /// Its port.
        pub port: Option<u32>,
        /// Longest path in a span; 256 when absent.
        pub max_tag_length: Option<u32>,
        /// Use short trace ids.
        pub enable_64bit_trace_id: Option<bool>,
        /// Path that spans are posted to; `/api/v2/spans` when absent.
        pub path: Option<String>,
        /// Headers that carry the trace.
        pub trace_context_option: Option<TraceContextOption>,
        /// Time for one post.
        pub timeout: Option<Duration>,
        /// Headers of each post.
        pub headers: Vec<HttpHeader>,
    }

    /// Traces by OTLP.
    pub struct OpenTelemetryTracingProvider {
        /// The service, as `namespace/host` or `host`.
        pub service: Option<String>,
        /// Its port.
        pub port: Option<u32>,
        /// Longest path in a span; 256 when absent.
        pub max_tag_length: Option<u32>,
        /// Use HTTP instead of gRPC.
        pub http: Option<HttpService>,
        /// Settings of gRPC.
        pub grpc: Option<GrpcService>,
        /// Where attributes of the resource come from.
        pub resource_detectors: Option<Map<String, Value>>,
        /// Names of the service's attributes.
        pub service_attribute_enrichment: Option<ServiceAttributeEnrichment>,
        /// Dynatrace's sampler.
        pub dynatrace_sampler: Option<Map<String, Value>>,
    }

    /// An HTTP endpoint for traces.
    pub struct HttpService {
        /// Its path.
        pub path: Option<String>,
        /// Time for one post.
        pub timeout: Option<Duration>,
        /// Headers of each post.
        pub headers: Vec<HttpHeader>,
    }

    /// A gRPC endpoint for traces.
    pub struct GrpcService {
        /// Time for one call.
        pub timeout: Option<Duration>,
        /// Metadata of each call.
        pub initial_metadata: Vec<HttpHeader>,
    }

    /// A header with a value, or the value of an environment variable.
    pub struct HttpHeader {
        /// Its name.
        pub name: Option<String>,
        /// Its value.
        pub value: Option<String>,
        /// The variable of the proxy that holds its value.
        pub env_name: Option<String>,
    }

    /// Access logs to a file.
    pub struct EnvoyFileAccessLogProvider {
        /// The file, `/dev/stdout`.
        pub path: Option<String>,
        /// Format of lines.
        pub log_format: Option<LogFormat>,
        /// Leave out fields without a value.
        pub omit_empty_values: Option<bool>,
    }

    /// Format of access logs.
    pub struct LogFormat {
        /// A line of text.
        pub text: Option<String>,
        /// Fields of a JSON object.
        pub labels: Option<Map<String, Value>>,
    }

    /// Access logs of HTTP to a gRPC service.
    pub struct EnvoyHttpGrpcV3LogProvider {
        /// The service, as `namespace/host` or `host`.
        pub service: Option<String>,
        /// Its port.
        pub port: Option<u32>,
        /// Name of the log.
        pub log_name: Option<String>,
        /// Objects of filters that are logged.
        pub filter_state_objects_to_log: Vec<String>,
        /// Headers of requests that are logged.
        pub additional_request_headers_to_log: Vec<String>,
        /// Headers of responses that are logged.
        pub additional_response_headers_to_log: Vec<String>,
        /// Trailers of responses that are logged.
        pub additional_response_trailers_to_log: Vec<String>,
    }

    /// Access logs of TCP to a gRPC service.
    pub struct EnvoyTcpGrpcV3LogProvider {
        /// The service, as `namespace/host` or `host`.
        pub service: Option<String>,
        /// Its port.
        pub port: Option<u32>,
        /// Name of the log.
        pub log_name: Option<String>,
        /// Objects of filters that are logged.
        pub filter_state_objects_to_log: Vec<String>,
    }

    /// Access logs by OTLP.
    pub struct EnvoyOpenTelemetryLogProvider {
        /// The service, as `namespace/host` or `host`.
        pub service: Option<String>,
        /// Its port.
        pub port: Option<u32>,
        /// Name of the log.
        pub log_name: Option<String>,
        /// Body and attributes of a record.
        pub log_format: Option<LogFormat>,
    }

    /// Certificates from another SDS server.
    pub struct SdsProvider {
        /// Name of the certificate.
        pub name: Option<String>,
        /// The service, as `namespace/host` or `host`.
        pub service: Option<String>,
        /// Its port.
        pub port: Option<u32>,
    }
}

keywords! {
    /// Headers that carry a trace.
    pub enum TraceContextOption {
        /// B3.
        UseB3 = "USE_B3",
        /// B3, and W3C where a request has it.
        UseB3WithW3cPropagation = "USE_B3_WITH_W3C_PROPAGATION",
    }

    /// Names of a service's attributes in traces.
    pub enum ServiceAttributeEnrichment {
        /// Istio's canonical name.
        IstioCanonical = "ISTIO_CANONICAL",
        /// OpenTelemetry's conventions for Kubernetes.
        OtelSemanticConventions = "OTEL_SEMANTIC_CONVENTIONS",
    }
}
