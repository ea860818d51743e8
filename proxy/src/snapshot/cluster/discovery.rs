//! Where a cluster's endpoints come from.

use std::{sync::Arc, time::Duration};

use ::http::HeaderName;

use super::endpoints::{EndpointMetadata, Locality};

/// Where a cluster's endpoints come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Discovery {
    /// Written in the cluster (`STATIC`).
    Static,
    /// ClusterLoadAssignments of this name.
    Eds(Arc<str>),
    /// Names that `upstream::dns` resolves over and over.
    Dns(Arc<Dns>),
    /// Where the client wanted to go. The cluster has no endpoints of its own (`PassthroughCluster`).
    OriginalDst(OriginalDst),
}

/// `ORIGINAL_DST`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OriginalDst {
    /// A request header that may name another destination.
    pub header: Option<HeaderName>,
    /// This port in place of the client's.
    pub port: Option<u16>,
}

/// `STRICT_DNS` and `LOGICAL_DNS`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dns {
    /// Every address is an endpoint. Otherwise there is one endpoint and each connection goes to the first address.
    pub strict: bool,
    /// Time between resolutions that worked.
    pub refresh: Duration,
    /// The answer's TTL in its place.
    pub respect_ttl: bool,
    /// Time between resolutions that failed: it grows from the first to the second.
    pub failure_refresh: (Duration, Duration),
    /// Kind of addresses.
    pub family: DnsFamily,
    /// The names.
    pub targets: Vec<DnsTarget>,
    /// Envoy's overprovisioning factor, in percent.
    pub overprovisioning: u32,
}

/// Kind of addresses that names are resolved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DnsFamily {
    /// IPv6, and IPv4 where there is none.
    #[default]
    Auto,
    /// IPv4 only.
    V4Only,
    /// IPv6 only.
    V6Only,
    /// IPv4, and IPv6 where there is none.
    V4Preferred,
    /// Both.
    All,
}

/// A name of a DNS cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct DnsTarget {
    /// The name, or an address.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
    /// The priority of its endpoints.
    pub priority: u32,
    /// Where they are.
    pub locality: Arc<Locality>,
    /// The weight of that locality; 0 is none given.
    pub locality_weight: u32,
    /// The weight of each endpoint.
    pub weight: u32,
    /// What is known of them.
    pub metadata: Arc<EndpointMetadata>,
}
