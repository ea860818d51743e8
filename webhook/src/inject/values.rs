//! Key `values` of ConfigMap `istio-sidecar-injector`: Istio's Helm values, those that injection reads.
//! What is absent has Istio's default.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Lifecycle, PodSecurityContext, ResourceRequirements, SeccompProfile};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Helm values.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Values {
    /// Values for all components.
    pub global: Global,
    /// Values of the injector.
    pub sidecar_injector_webhook: Webhook,
    /// Revision of the control plane; empty for the default one.
    pub revision: String,
    /// Values of the control plane.
    pub pilot: Pilot,
    /// Values of gateways.
    pub gateways: Gateways,
}

/// Values for all components.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Global {
    /// Registry and path of images.
    pub hub: String,
    /// Tag of images.
    #[serde(deserialize_with = "text")]
    pub tag: String,
    /// Variant of images, such as `debug`.
    pub variant: String,
    /// When images are pulled.
    pub image_pull_policy: String,
    /// Secrets that images are pulled with.
    pub image_pull_secrets: Vec<String>,
    /// Namespace of the control plane.
    pub istio_namespace: String,
    /// Address of the certificate authority, when it isn't the control plane.
    pub ca_address: String,
    /// Who signs the control plane's certificate.
    pub pilot_cert_provider: String,
    /// Name of the ConfigMap with the root certificate.
    pub trust_bundle_name: String,
    /// Name of the mesh.
    #[serde(rename = "meshID")]
    pub mesh_id: String,
    /// Network of the cluster.
    pub network: String,
    /// Whether components log JSON.
    pub log_as_json: bool,
    /// Log levels of the agent.
    pub logging: Logging,
    /// The cluster among several.
    pub multi_cluster: MultiCluster,
    /// The token that proxies show.
    pub sds: Sds,
    /// The proxy.
    pub proxy: Proxy,
    /// The init step.
    #[serde(rename = "proxy_init")]
    pub proxy_init: ProxyInit,
}

/// Log levels of the agent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// As `scope:level`, comma separated.
    pub level: String,
}

/// The cluster among several.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MultiCluster {
    /// Its name.
    pub cluster_name: String,
}

/// The token that proxies show.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Sds {
    /// The token.
    pub token: Token,
}

/// The token that proxies show.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Token {
    /// Its audience.
    pub aud: String,
}

/// Values of the proxy.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Proxy {
    /// Name of the image, or all of it when it contains a slash.
    pub image: String,
    /// Policy of pods that say nothing.
    pub auto_inject: String,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Level of the proxy's log.
    pub log_level: String,
    /// Levels of single components.
    pub component_log_level: String,
    /// Destinations to capture.
    #[serde(rename = "includeIPRanges")]
    pub include_ip_ranges: String,
    /// Destinations to leave alone.
    #[serde(rename = "excludeIPRanges")]
    pub exclude_ip_ranges: String,
    /// Inbound ports to capture.
    #[serde(deserialize_with = "text")]
    pub include_inbound_ports: String,
    /// Inbound ports to leave alone.
    #[serde(deserialize_with = "text")]
    pub exclude_inbound_ports: String,
    /// Outbound ports to capture whatever the ranges say.
    #[serde(deserialize_with = "text")]
    pub include_outbound_ports: String,
    /// Outbound ports to leave alone.
    #[serde(deserialize_with = "text")]
    pub exclude_outbound_ports: String,
    /// Port for health and merged metrics.
    #[serde(deserialize_with = "text")]
    pub status_port: String,
    /// Delay of the first readiness probe.
    pub readiness_initial_delay_seconds: i32,
    /// Time between readiness probes.
    pub readiness_period_seconds: i32,
    /// Failed readiness probes until the pod isn't ready.
    pub readiness_failure_threshold: i32,
    /// Probe that the start waits for.
    pub startup_probe: StartupProbe,
    /// Resources of proxy and init step.
    pub resources: Option<ResourceRequirements>,
    /// Hooks of the proxy's container.
    pub lifecycle: Option<Lifecycle>,
    /// Start the application only when the proxy is ready.
    pub hold_application_until_proxy_starts: bool,
    /// Run privileged.
    pub privileged: bool,
    /// Filter of system calls.
    pub seccomp_profile: Option<SeccompProfile>,
}

/// Probe that the start waits for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StartupProbe {
    /// Whether there is one.
    pub enabled: bool,
    /// Failures, one per second, until the container is started anew.
    pub failure_threshold: i32,
}

/// Values of the init step.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct ProxyInit {
    /// Name of the image, or all of it when it contains a slash.
    pub image: String,
}

/// Values of the injector.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Webhook {
    /// Whether probes of applications go through the proxy.
    #[serde(rename = "rewriteAppHTTPProbe")]
    pub rewrite_app_http_probe: bool,
}

/// Values of the control plane.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pilot {
    /// Its environment; `ENABLE_NATIVE_SIDECARS` is read.
    pub env: BTreeMap<String, Value>,
}

/// Values of gateways.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gateways {
    /// Security context of injected gateway pods.
    pub security_context: Option<PodSecurityContext>,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            hub: crds::mesh::DEFAULT_HUB.to_owned(),
            tag: env!("CARGO_PKG_VERSION").to_owned(),
            variant: String::new(),
            image_pull_policy: "IfNotPresent".to_owned(),
            image_pull_secrets: Vec::new(),
            istio_namespace: crds::mesh::DEFAULT_NAMESPACE.to_owned(),
            ca_address: String::new(),
            pilot_cert_provider: "istiod".to_owned(),
            trust_bundle_name: "istio-ca-root-cert".to_owned(),
            mesh_id: String::new(),
            network: String::new(),
            log_as_json: false,
            logging: Logging::default(),
            multi_cluster: MultiCluster::default(),
            sds: Sds::default(),
            proxy: Proxy::default(),
            proxy_init: ProxyInit::default(),
        }
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self { level: "default:info".to_owned() }
    }
}

impl Default for Token {
    fn default() -> Self {
        Self { aud: "istio-ca".to_owned() }
    }
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            image: "proxyv2".to_owned(),
            auto_inject: "enabled".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            log_level: "warning".to_owned(),
            component_log_level: "misc:error".to_owned(),
            include_ip_ranges: "*".to_owned(),
            exclude_ip_ranges: String::new(),
            include_inbound_ports: "*".to_owned(),
            exclude_inbound_ports: String::new(),
            include_outbound_ports: String::new(),
            exclude_outbound_ports: String::new(),
            status_port: "15020".to_owned(),
            readiness_initial_delay_seconds: 0,
            readiness_period_seconds: 15,
            readiness_failure_threshold: 4,
            startup_probe: StartupProbe::default(),
            resources: None,
            lifecycle: None,
            hold_application_until_proxy_starts: false,
            privileged: false,
            seccomp_profile: None,
        }
    }
}

impl Default for StartupProbe {
    fn default() -> Self {
        Self { enabled: true, failure_threshold: 600 }
    }
}

impl Default for ProxyInit {
    fn default() -> Self {
        Self { image: "proxyv2".to_owned() }
    }
}

impl Default for Webhook {
    fn default() -> Self {
        Self { rewrite_app_http_probe: true }
    }
}

/// Tags and ports are often written as numbers.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    })
}
