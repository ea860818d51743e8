//! ServiceEntry: a service that Kubernetes doesn't know.

use super::{WorkloadEntrySpec, WorkloadSelector};
use crate::{
    macros::{keywords, kind, message},
    meta::{AnalysisMessageBase, Int64, IstioCondition},
    rules::cel,
};

kind! {
    /// A service that Kubernetes doesn't know.
    ServiceEntry {
        spec: ServiceEntrySpec, status: ServiceEntryStatus, group: "networking.istio.io", version: "v1",
        plural: "serviceentries", scope: NamespaceResourceScope
    }
}

message! {
    /// A service that Kubernetes doesn't know.
    #[schemars(extend("required" = ["hosts"], "x-kubernetes-validations" = cel(&[
        ("!has(self.workloadSelector) || !has(self.endpoints)",
         "workloadSelector and endpoints exclude each other"),
        ("!(has(self.resolution) && self.resolution in ['DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS']) \
          || !has(self.addresses) || !self.addresses.exists(a, a.contains('/'))",
         "networks are allowed as addresses only with resolution NONE or STATIC"),
        ("(has(self.resolution) && self.resolution != 'NONE') || !has(self.endpoints)",
         "resolution NONE can't have endpoints"),
        ("!has(self.resolution) || self.resolution != 'DNS_ROUND_ROBIN' || !has(self.endpoints) \
          || self.endpoints.size() <= 1",
         "resolution DNS_ROUND_ROBIN can't have several endpoints"),
    ])))]
    pub struct ServiceEntrySpec {
        /// Names of the service.
        #[schemars(schema_with = "hosts_schema")]
        pub hosts: Vec<String>,
        /// Virtual addresses or networks of the service.
        #[schemars(length(max = 256), inner(length(max = 64)))]
        pub addresses: Vec<String>,
        /// Ports of the service.
        #[schemars(extend(
            "maxItems" = 256,
            "x-kubernetes-list-type" = "map",
            "x-kubernetes-list-map-keys" = ["name"],
            "x-kubernetes-validations" = cel(&[
                ("self.all(a, self.exists_one(b, a.number == b.number))", "each port number may occur once"),
            ])
        ))]
        pub ports: Vec<ServicePort>,
        /// Whether the service belongs to the mesh.
        pub location: Option<ServiceEntryLocation>,
        /// How its endpoints are found.
        pub resolution: Option<ServiceEntryResolution>,
        /// Its endpoints.
        #[schemars(length(max = 4096))]
        pub endpoints: Vec<WorkloadEntrySpec>,
        /// Pods and WorkloadEntries of the namespace that are its endpoints.
        pub workload_selector: Option<WorkloadSelector>,
        /// Namespaces that see this object: `.` its own, `*` all.
        pub export_to: Vec<String>,
        /// Names of which the certificate of an endpoint must bear one.
        pub subject_alt_names: Vec<String>,
    }

    /// A port of a service.
    #[schemars(extend("required" = ["number", "name"]))]
    pub struct ServicePort {
        /// Its number.
        #[schemars(extend("x-kubernetes-validations" = port_rule()))]
        pub number: u32,
        /// HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP, TLS; found out by looking when absent.
        #[schemars(length(max = 256))]
        pub protocol: Option<String>,
        /// Its name.
        #[schemars(length(max = 256))]
        pub name: String,
        /// Port of the endpoints, when it differs.
        #[schemars(extend("x-kubernetes-validations" = port_rule()))]
        pub target_port: Option<u32>,
    }

    /// What the mesh made of a ServiceEntry.
    #[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
    pub struct ServiceEntryStatus {
        /// Conditions.
        pub conditions: Vec<IstioCondition>,
        /// Findings of the analysis.
        pub validation_messages: Vec<AnalysisMessageBase>,
        /// Generation of the spec that this status is about.
        pub observed_generation: Option<Int64>,
        /// Addresses that the mesh assigned.
        pub addresses: Vec<ServiceEntryAddress>,
    }

    /// An address that the mesh assigned to a host.
    pub struct ServiceEntryAddress {
        /// The address.
        pub value: Option<String>,
        /// The host.
        pub host: Option<String>,
    }
}

/// The rule that a number is a port.
pub(super) fn port_rule() -> serde_json::Value {
    cel(&[("0 < self && self <= 65535", "a port is between 1 and 65535")])
}

fn hosts_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array", "minItems": 1, "maxItems": 256,
        "items": {
            "type": "string",
            "x-kubernetes-validations": cel(&[("self != '*'", "a host can't be the bare wildcard *")]),
        },
    })
}

keywords! {
    /// Whether a service belongs to the mesh.
    pub enum ServiceEntryLocation {
        /// It doesn't; no mutual TLS with it.
        MeshExternal = "MESH_EXTERNAL",
        /// It does.
        MeshInternal = "MESH_INTERNAL",
    }

    /// How endpoints of a service are found.
    pub enum ServiceEntryResolution {
        /// The address the client asked for.
        None = "NONE",
        /// The endpoints listed.
        Static = "STATIC",
        /// All addresses of the name.
        Dns = "DNS",
        /// The first address of the name, anew for each connection.
        DnsRoundRobin = "DNS_ROUND_ROBIN",
        /// The name of each request, for wildcard hosts.
        DynamicDns = "DYNAMIC_DNS",
    }
}
