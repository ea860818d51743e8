//! Sidecar: what a workload's proxy listens on and which services it knows.

use std::collections::BTreeMap;

use super::{ConnectionPoolSettings, Destination, ServerTlsSettings};
use crate::{
    macros::{keywords, kind, message},
    meta::IstioStatus,
    rules::cel,
};

kind! {
    /// What a workload's proxy listens on and which services it knows.
    Sidecar {
        spec: SidecarSpec, status: IstioStatus, group: "networking.istio.io", version: "v1",
        plural: "sidecars", scope: NamespaceResourceScope
    }
}

message! {
    /// What a workload's proxy listens on and which services it knows.
    pub struct SidecarSpec {
        /// Workloads it is for; the whole namespace when absent.
        pub workload_selector: Option<WorkloadSelector>,
        /// Inbound ports; found from services when empty.
        pub ingress: Vec<IstioIngressListener>,
        /// Services that are known, by port.
        pub egress: Vec<IstioEgressListener>,
        /// Limits of inbound connections.
        pub inbound_connection_pool: Option<ConnectionPoolSettings>,
        /// What happens to traffic for unknown destinations.
        pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
    }

    /// An inbound port.
    #[schemars(extend("required" = ["port"]))]
    pub struct IstioIngressListener {
        /// The port.
        pub port: SidecarPort,
        /// Address to listen on.
        pub bind: Option<String>,
        /// How traffic reaches the listener.
        pub capture_mode: Option<CaptureMode>,
        /// Where traffic goes: `127.0.0.1:PORT`, `0.0.0.0:PORT` (the pod's address) or `unix:///path`.
        pub default_endpoint: Option<String>,
        /// TLS of the port; only where mutual TLS of the mesh is off.
        pub tls: Option<ServerTlsSettings>,
        /// Limits of connections to the port.
        pub connection_pool: Option<ConnectionPoolSettings>,
    }

    /// Services that are known on one port, or on all.
    #[schemars(extend("required" = ["hosts"]))]
    pub struct IstioEgressListener {
        /// The port; all ports that no other listener names when absent.
        pub port: Option<SidecarPort>,
        /// Address or Unix socket to listen on.
        pub bind: Option<String>,
        /// How traffic reaches the listener.
        pub capture_mode: Option<CaptureMode>,
        /// `namespace/dnsName`; namespace may be `*`, `.` (own) or `~` (none), dnsName may have a wildcard.
        pub hosts: Vec<String>,
    }

    /// Workloads by label.
    pub struct WorkloadSelector {
        /// Labels that the pods must have.
        #[schemars(schema_with = "selector_labels_schema")]
        pub labels: BTreeMap<String, String>,
    }

    /// What happens to traffic for unknown destinations.
    pub struct OutboundTrafficPolicy {
        /// Pass it or drop it.
        pub mode: Option<OutboundTrafficPolicyMode>,
        /// Send it to this service instead.
        pub egress_proxy: Option<Destination>,
    }

    /// A port of a sidecar's listener.
    pub struct SidecarPort {
        /// Its number.
        pub number: Option<u32>,
        /// HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP, TLS.
        pub protocol: Option<String>,
        /// Its name.
        pub name: Option<String>,
        /// Deprecated and without effect.
        pub target_port: Option<u32>,
    }
}

fn selector_labels_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "maxProperties": 256,
        "additionalProperties": {
            "type": "string", "maxLength": 63,
            "x-kubernetes-validations": cel(&[("!self.contains('*')", "a selector can't have wildcards")]),
        },
    })
}

keywords! {
    /// What happens to traffic for unknown destinations.
    pub enum OutboundTrafficPolicyMode {
        /// Only services of the registry are reached.
        RegistryOnly = "REGISTRY_ONLY",
        /// Everything is reached.
        AllowAny = "ALLOW_ANY",
    }

    /// How traffic reaches a listener.
    pub enum CaptureMode {
        /// As the sidecar is set up.
        Default = "DEFAULT",
        /// Redirected by the kernel.
        Iptables = "IPTABLES",
        /// Only when addressed directly.
        None = "NONE",
    }
}
