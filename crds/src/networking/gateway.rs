//! Gateway: ports that a gateway proxy opens, and the hosts served on them.

use std::collections::BTreeMap;

use super::ServerTlsSettings;
use crate::{
    macros::{kind, message},
    meta::IstioStatus,
};

kind! {
    /// Ports that gateway proxies open, and the hosts served on them.
    Gateway {
        spec: GatewaySpec, status: IstioStatus, group: "networking.istio.io", version: "v1",
        plural: "gateways", scope: NamespaceResourceScope
    }
}

message! {
    /// Ports that gateway proxies open, and the hosts served on them.
    pub struct GatewaySpec {
        /// The ports.
        pub servers: Vec<Server>,
        /// Labels of the gateway pods that serve them, in any namespace.
        pub selector: BTreeMap<String, String>,
    }

    /// One port of a gateway.
    #[schemars(extend("required" = ["port", "hosts"]))]
    pub struct Server {
        /// The port that is opened.
        pub port: Port,
        /// Address or Unix socket to listen on; all addresses when absent.
        pub bind: Option<String>,
        /// Hosts, optionally as `namespace/host`; `.` is the own and `*` any namespace.
        pub hosts: Vec<String>,
        /// TLS of the port.
        pub tls: Option<ServerTlsSettings>,
        /// Has no effect in Istio's gateways either.
        pub default_endpoint: Option<String>,
        /// Name of the server, unique in the object.
        pub name: Option<String>,
    }

    /// A port that is opened.
    #[schemars(extend("required" = ["number", "protocol", "name"]))]
    pub struct Port {
        /// Its number.
        pub number: u32,
        /// HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP, TLS and others.
        pub protocol: String,
        /// Its name.
        pub name: String,
        /// Deprecated and without effect.
        pub target_port: Option<u32>,
    }
}
