//! Rules for TLS that isn't terminated, and for plain TCP.

use std::collections::BTreeMap;

use super::RouteDestination;
use crate::macros::message;

message! {
    /// A rule for TLS connections, by server name.
    #[schemars(extend("required" = ["match"]))]
    pub struct TlsRoute {
        /// Conditions of which one must hold.
        #[serde(rename = "match")]
        pub matches: Vec<TlsMatchAttributes>,
        /// Weighted destinations.
        pub route: Vec<RouteDestination>,
    }

    /// A rule for TCP connections.
    pub struct TcpRoute {
        /// Conditions of which one must hold; none means all connections.
        #[serde(rename = "match")]
        pub matches: Vec<L4MatchAttributes>,
        /// Weighted destinations.
        pub route: Vec<RouteDestination>,
    }

    /// Conditions that must all hold for a TCP connection.
    pub struct L4MatchAttributes {
        /// Destination addresses or networks.
        pub destination_subnets: Vec<String>,
        /// Destination port.
        pub port: Option<u32>,
        /// Has no effect in Istio either.
        pub source_subnet: Option<String>,
        /// Labels of the calling workload.
        pub source_labels: BTreeMap<String, String>,
        /// Gateways to which the condition is limited.
        pub gateways: Vec<String>,
        /// Namespace of the calling workload.
        pub source_namespace: Option<String>,
    }

    /// Conditions that must all hold for a TLS connection.
    #[schemars(extend("required" = ["sniHosts"]))]
    pub struct TlsMatchAttributes {
        /// Server names; each must belong to a host of the VirtualService.
        pub sni_hosts: Vec<String>,
        /// Destination addresses or networks.
        pub destination_subnets: Vec<String>,
        /// Destination port.
        pub port: Option<u32>,
        /// Labels of the calling workload.
        pub source_labels: BTreeMap<String, String>,
        /// Gateways to which the condition is limited.
        pub gateways: Vec<String>,
        /// Namespace of the calling workload.
        pub source_namespace: Option<String>,
    }
}
