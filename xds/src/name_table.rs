//! What a name means to the apps of a proxy, on the wire: the message of Istio's name discovery service (NDS).
//!
//! Istio sends one table with all names. Here each name is a resource of its own, a table with one entry, so that a new
//! service sends one name.

use std::collections::HashMap;
use std::net::IpAddr;

use prost::Message;

/// `istio.networking.nds.v1.NameTable`, of which only what a proxy answers is read and written.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct NameTable {
    /// What is known, by name: lower case, without a dot at its end, possibly `*.` in front.
    #[prost(map = "string, message", tag = "1")]
    pub table: HashMap<String, NameInfo>,
}

/// What one name means.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct NameInfo {
    /// Addresses of either family.
    #[prost(string, repeated, tag = "1")]
    pub ips: Vec<String>,
    /// Where it is from: `Kubernetes` or `External`.
    #[prost(string, tag = "2")]
    pub registry: String,
}

impl NameTable {
    /// A table with one name.
    pub fn of(name: &str, addresses: impl IntoIterator<Item = IpAddr>, registry: &str) -> Self {
        let ips = addresses.into_iter().map(|address| address.to_string()).collect();
        Self { table: HashMap::from([(name.to_owned(), NameInfo { ips, registry: registry.to_owned() })]) }
    }
}
