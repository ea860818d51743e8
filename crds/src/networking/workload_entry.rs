//! WorkloadEntry: one endpoint outside of Kubernetes; also the form of a ServiceEntry's endpoints.

use std::collections::BTreeMap;

use crate::{
    macros::{kind, message},
    meta::IstioStatus,
    rules::cel,
};

kind! {
    /// One workload outside of Kubernetes.
    WorkloadEntry {
        spec: WorkloadEntrySpec, status: IstioStatus, group: "networking.istio.io", version: "v1",
        plural: "workloadentries", scope: NamespaceResourceScope
    }
}

message! {
    /// One workload outside of Kubernetes.
    #[schemars(extend("x-kubernetes-validations" = cel(&[
        ("has(self.address) || has(self.network)", "an address is needed, unless a network is given"),
        ("!has(self.address) || !self.address.startsWith('unix://') || !has(self.ports)",
         "a Unix socket has no ports"),
    ])))]
    pub struct WorkloadEntrySpec {
        /// IP address, name (with DNS resolution) or `unix:///path`.
        #[schemars(extend("maxLength" = 256, "x-kubernetes-validations" = cel(&[
            ("!self.startsWith('unix://') || self.startsWith('unix:///') || self.startsWith('unix://@')",
             "a Unix socket is an absolute path or an abstract name that begins with @"),
            ("!self.startsWith('unix://') || !self.endsWith('/')", "a Unix socket can't be a directory"),
        ])))]
        pub address: Option<String>,
        /// Ports by the name of the service's port, where they differ from it.
        #[schemars(schema_with = "ports_schema")]
        pub ports: BTreeMap<String, u32>,
        /// Labels, for subsets and selectors.
        #[schemars(extend("maxProperties" = 256))]
        pub labels: BTreeMap<String, String>,
        /// Network of the workload; reached through its gateway when not the own one.
        #[schemars(length(max = 2048))]
        pub network: Option<String>,
        /// `region/zone/subzone`.
        #[schemars(length(max = 2048))]
        pub locality: Option<String>,
        /// Share of traffic, relative to other endpoints.
        pub weight: Option<u32>,
        /// Service account whose identity the workload has.
        #[schemars(length(max = 253))]
        pub service_account: Option<String>,
    }
}

fn ports_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "maxProperties": 128,
        "additionalProperties": {
            "type": "integer", "minimum": 0, "maximum": u32::MAX,
            "x-kubernetes-validations": super::service_entry::port_rule(),
        },
        "x-kubernetes-validations": cel(&[(
            "self.all(name, size(name) < 63 && name.matches('^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$'))",
            "a port name has letters, digits and dashes, and fewer than 63 of them",
        )]),
    })
}
