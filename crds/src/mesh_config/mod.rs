//! MeshConfig: the mesh-wide settings in ConfigMap `istio`, key `mesh`, with Istio's names.
//!
//! The operator writes it, control plane and injector read it. Unknown fields are kept out of the way:
//! they never fail decoding, [`crate::check_part`] names them.

mod defaults;
mod providers;
mod proxy_config;
mod traffic;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Map, Value};

pub use self::{providers::*, proxy_config::*, traffic::*};
use crate::{
    Duration,
    macros::{keywords, message},
    networking::{HttpRetry, LocalityLoadBalancerSetting, TcpKeepalive, ZoneAwareLoadBalancerSetting},
};

message! {
    /// Mesh-wide settings. The methods named like fields answer with Istio's default where nothing is set.
    pub struct MeshConfig {
        /// Port of the proxies' outbound listener; 15001 when absent.
        pub proxy_listen_port: Option<i32>,
        /// Port of the proxies' inbound listener; 15006 when absent.
        pub proxy_inbound_listen_port: Option<i32>,
        /// Port of an explicit HTTP proxy listener; none when absent.
        pub proxy_http_port: Option<i32>,
        /// Time for a connection to be made; 10 s when absent.
        pub connect_timeout: Option<Duration>,
        /// Time to wait for the first bytes when a protocol is found out by looking; no limit when absent.
        pub protocol_detection_timeout: Option<Duration>,
        /// Keep-alive probes of all connections.
        pub tcp_keepalive: Option<TcpKeepalive>,
        /// Class of Kubernetes Ingress objects that are served.
        pub ingress_class: Option<String>,
        /// Service of the gateway that serves Ingress objects.
        pub ingress_service: Option<String>,
        /// Which Ingress objects are served.
        pub ingress_controller_mode: Option<IngressControllerMode>,
        /// Value of label `istio` of the gateway that serves Ingress objects.
        pub ingress_selector: Option<String>,
        /// Whether requests are traced.
        pub enable_tracing: Option<bool>,
        /// Where access logs go, `/dev/stdout`; nowhere when empty.
        pub access_log_file: Option<String>,
        /// Format of access log lines; Istio's default when empty.
        pub access_log_format: Option<String>,
        /// Text or JSON.
        pub access_log_encoding: Option<AccessLogEncoding>,
        /// Send access logs to a gRPC service.
        pub enable_envoy_access_log_service: Option<bool>,
        /// Don't log connections that no route took.
        pub disable_envoy_listener_log: Option<bool>,
        /// Settings of every proxy.
        pub default_config: Option<ProxyConfig>,
        /// What happens to traffic for unknown destinations.
        pub outbound_traffic_policy: Option<MeshOutboundTrafficPolicy>,
        /// Where inbound traffic for unknown ports goes.
        pub inbound_traffic_policy: Option<InboundTrafficPolicy>,
        /// Use mutual TLS with every endpoint that can; on when absent.
        pub enable_auto_mtls: Option<bool>,
        /// Trust domain of all identities.
        pub trust_domain: Option<String>,
        /// Trust domains whose identities count as the own.
        pub trust_domain_aliases: Vec<String>,
        /// Further authorities.
        pub ca_certificates: Vec<CertificateData>,
        /// An external certificate authority.
        pub ca: Option<CertificateAuthority>,
        /// Visibility of services without annotation.
        pub default_service_export_to: Vec<String>,
        /// Visibility of VirtualServices without exportTo.
        pub default_virtual_service_export_to: Vec<String>,
        /// Visibility of DestinationRules without exportTo.
        pub default_destination_rule_export_to: Vec<String>,
        /// Namespace whose policies are those of the mesh; that of the control plane when absent.
        pub root_namespace: Option<String>,
        /// Preference among localities.
        pub locality_lb_setting: Option<LocalityLoadBalancerSetting>,
        /// Preference for the own zone.
        pub zone_aware_lb_setting: Option<ZoneAwareLoadBalancerSetting>,
        /// How often names are looked up; 60 s when absent.
        pub dns_refresh_rate: Option<Duration>,
        /// Whether HTTP/1.1 is carried as HTTP/2.
        pub h2_upgrade_policy: Option<MeshH2UpgradePolicy>,
        /// Pattern of inbound clusters' names in statistics.
        pub inbound_cluster_stat_name: Option<String>,
        /// Pattern of outbound clusters' names in statistics.
        pub outbound_cluster_stat_name: Option<String>,
        /// Settings of single services.
        pub service_settings: Vec<ServiceSettings>,
        /// Which services other clusters see.
        pub service_scope_configs: Vec<ServiceScopeConfigs>,
        /// Offer the application's metrics with the proxy's; on when absent.
        pub enable_prometheus_merge: Option<bool>,
        /// Named backends for logs, traces and authorization.
        pub extension_providers: Vec<ExtensionProvider>,
        /// Backends used where no Telemetry object says otherwise.
        pub default_providers: Option<DefaultProviders>,
        /// Namespaces that the mesh looks at; all when empty.
        pub discovery_selectors: Vec<LabelSelector>,
        /// How paths are normalized before they are matched.
        pub path_normalization: Option<ProxyPathNormalization>,
        /// Retries of routes that don't say.
        pub default_http_retry_policy: Option<HttpRetry>,
        /// TLS among proxies.
        #[serde(rename = "meshMTLS")]
        pub mesh_mtls: Option<TlsConfig>,
        /// TLS with anything else.
        pub tls_defaults: Option<TlsConfig>,
        /// Limits and outlier detection of hosts without DestinationRule.
        pub default_traffic_policy: Option<DefaultTrafficPolicy>,
        /// How long connections to an ambient mesh may carry nothing.
        pub hbone_idle_timeout: Option<Duration>,
        /// Where configuration comes from besides Kubernetes.
        pub config_sources: Vec<Map<String, Value>>,
        /// Deprecated: whether servers outside of the mesh are verified.
        pub verify_certificate_at_client: Option<bool>,
        /// Which ServiceEntries are seen, whatever they say.
        pub service_entry_visibility: Option<Map<String, Value>>,
    }
}

keywords! {
    /// Which Ingress objects are served.
    pub enum IngressControllerMode {
        /// As STRICT.
        Unspecified = "UNSPECIFIED",
        /// None.
        Off = "OFF",
        /// Those of the class, and those without a class.
        Default = "DEFAULT",
        /// Those of the class.
        Strict = "STRICT",
    }

    /// Encoding of access logs.
    pub enum AccessLogEncoding {
        /// Lines of text.
        Text = "TEXT",
        /// One JSON object per line.
        Json = "JSON",
    }
}
