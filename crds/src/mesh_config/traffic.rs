//! Messages of MeshConfig about traffic, trust and visibility.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::{
    Duration,
    macros::{keywords, message},
    networking::{ClientTlsSettings, ConnectionPoolSettings, OutlierDetection},
};

message! {
    /// What happens to traffic for unknown destinations.
    pub struct MeshOutboundTrafficPolicy {
        /// Pass it or drop it.
        pub mode: Option<MeshOutboundMode>,
        /// TLS with destinations found by name (ALLOW_ANY_DYNAMIC_DNS).
        pub tls: Option<ClientTlsSettings>,
    }

    /// Where inbound traffic for unknown ports goes.
    pub struct InboundTrafficPolicy {
        /// To the pod's address, or to localhost.
        pub mode: Option<InboundMode>,
    }

    /// Further authorities.
    pub struct CertificateData {
        /// Certificates.
        pub pem: Option<String>,
        /// Where a SPIFFE bundle is fetched.
        pub spiffe_bundle_url: Option<String>,
        /// Kubernetes signers whose certificates these verify.
        pub cert_signers: Vec<String>,
        /// Trust domains whose identities these verify.
        pub trust_domains: Vec<String>,
    }

    /// An external certificate authority.
    pub struct CertificateAuthority {
        /// Its address.
        pub address: Option<String>,
        /// TLS with it.
        pub tls_settings: Option<ClientTlsSettings>,
        /// Time for one request.
        pub request_timeout: Option<Duration>,
        /// Whether the control plane talks to it, instead of the proxies.
        pub istiod_side: Option<bool>,
    }

    /// Settings of single services.
    pub struct ServiceSettings {
        /// The settings.
        pub settings: Option<ServiceSettingsValues>,
        /// The services, with `*` wildcards.
        pub hosts: Vec<String>,
    }

    /// Settings of a service.
    pub struct ServiceSettingsValues {
        /// Whether only endpoints of the own cluster are used.
        pub cluster_local: Option<bool>,
    }

    /// Which services other clusters see.
    pub struct ServiceScopeConfigs {
        /// Namespaces of the services.
        pub namespace_selector: Option<LabelSelector>,
        /// Labels of the services.
        pub services_selector: Option<LabelSelector>,
        /// Whether other clusters see them.
        pub scope: Option<ServiceScope>,
    }

    /// How paths are normalized.
    pub struct ProxyPathNormalization {
        /// The steps.
        pub normalization: Option<NormalizationType>,
    }

    /// Settings of TLS.
    pub struct TlsConfig {
        /// Lowest version; 1.2 when absent.
        pub min_protocol_version: Option<MeshTlsProtocol>,
        /// Curves, in order of preference.
        pub ecdh_curves: Vec<String>,
        /// Cipher suites for TLS 1.2.
        pub cipher_suites: Vec<String>,
    }

    /// Limits and outlier detection of hosts without DestinationRule.
    pub struct DefaultTrafficPolicy {
        /// Limits of connections and requests.
        pub connection_pool: Option<ConnectionPoolSettings>,
        /// When failing endpoints are set aside.
        pub outlier_detection: Option<OutlierDetection>,
    }
}

keywords! {
    /// What happens to traffic for unknown destinations.
    pub enum MeshOutboundMode {
        /// Only services of the registry are reached.
        RegistryOnly = "REGISTRY_ONLY",
        /// Everything is reached, by address.
        AllowAny = "ALLOW_ANY",
        /// Everything is reached, HTTP and TLS by name.
        AllowAnyDynamicDns = "ALLOW_ANY_DYNAMIC_DNS",
    }

    /// Where inbound traffic for unknown ports goes.
    pub enum InboundMode {
        /// To the pod's address.
        Passthrough = "PASSTHROUGH",
        /// To localhost.
        Localhost = "LOCALHOST",
    }

    /// Whether HTTP/1.1 is carried as HTTP/2.
    pub enum MeshH2UpgradePolicy {
        /// Not unless a DestinationRule says so.
        DoNotUpgrade = "DO_NOT_UPGRADE",
        /// Unless a DestinationRule says otherwise.
        Upgrade = "UPGRADE",
    }

    /// Whether other clusters see a service.
    pub enum ServiceScope {
        /// They don't.
        Local = "LOCAL",
        /// They do.
        Global = "GLOBAL",
    }

    /// Steps of path normalization.
    pub enum NormalizationType {
        /// As BASE.
        Default = "DEFAULT",
        /// None.
        None = "NONE",
        /// RFC 3986.
        Base = "BASE",
        /// BASE, then double slashes become one.
        MergeSlashes = "MERGE_SLASHES",
        /// Escaped slashes are decoded, then as MERGE_SLASHES.
        DecodeAndMergeSlashes = "DECODE_AND_MERGE_SLASHES",
    }

    /// Version of TLS.
    pub enum MeshTlsProtocol {
        /// The proxy's choice.
        TlsAuto = "TLS_AUTO",
        /// TLS 1.2.
        TlsV1_2 = "TLSV1_2",
        /// TLS 1.3.
        TlsV1_3 = "TLSV1_3",
    }
}
