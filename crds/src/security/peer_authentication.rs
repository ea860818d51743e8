//! PeerAuthentication: whether a workload demands mutual TLS.

use std::collections::BTreeMap;

use crate::{
    macros::{keywords, kind, message},
    meta::IstioStatus,
    rules::cel,
    selector::WorkloadSelector,
};

kind! {
    /// Whether workloads demand mutual TLS of their clients.
    PeerAuthentication {
        spec: PeerAuthenticationSpec, status: IstioStatus, group: "security.istio.io", version: "v1",
        plural: "peerauthentications", scope: NamespaceResourceScope
    }
}

message! {
    /// Whether workloads demand mutual TLS of their clients.
    #[schemars(extend("x-kubernetes-validations" = cel(&[(
        "!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) \
         && self.selector.matchLabels.size() > 0)",
        "portLevelMtls needs a selector with matchLabels",
    )])))]
    pub struct PeerAuthenticationSpec {
        /// Workloads it is for; the whole namespace (or the mesh, in the root namespace) when absent.
        pub selector: Option<WorkloadSelector>,
        /// The mode of all ports.
        pub mtls: Option<MutualTls>,
        /// The mode of single workload ports.
        #[schemars(schema_with = "port_level_schema")]
        pub port_level_mtls: BTreeMap<u32, MutualTls>,
    }

    /// A mode of mutual TLS.
    pub struct MutualTls {
        /// The mode; inherited when absent or UNSET.
        pub mode: Option<MutualTlsMode>,
    }
}

fn port_level_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "minProperties": 1,
        "additionalProperties": generator.subschema_for::<MutualTls>(),
        "x-kubernetes-validations": cel(&[(
            "self.all(port, 0 < int(port) && int(port) <= 65535)", "a port is between 1 and 65535",
        )]),
    })
}

keywords! {
    /// Modes of mutual TLS.
    pub enum MutualTlsMode {
        /// Inherited from the namespace, then the mesh, then PERMISSIVE.
        Unset = "UNSET",
        /// Plain text only.
        Disable = "DISABLE",
        /// Plain text and mutual TLS.
        Permissive = "PERMISSIVE",
        /// Mutual TLS only.
        Strict = "STRICT",
    }
}
