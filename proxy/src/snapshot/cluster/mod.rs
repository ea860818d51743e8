//! Clusters: where requests and connections can go, and how they get there.
//!
//! `config/` builds [`Cluster`]s from Cluster and ClusterLoadAssignment resources, `upstream` picks endpoints from them
//! and connects. Everything here is immutable; what changes with traffic (use of the limits, health, ejections) is in
//! [`ClusterState`] and [`EndpointState`], which a [`Registry`] keeps by name, so a new configuration resets none of it.

mod balancing;
mod discovery;
mod endpoints;
mod http;
mod protection;
mod transport;

use std::{net::IpAddr, sync::Arc, time::Duration};

pub use self::{
    balancing::{Balancing, Policy, SlowStart},
    discovery::{Discovery, Dns, DnsFamily, DnsTarget, OriginalDst},
    endpoints::{
        Endpoint, EndpointMetadata, Endpoints, Health, Locality, LocalityEndpoints, Priority, Workload,
    },
    http::{Http2Keepalive, HttpOptions, UpstreamProtocol},
    protection::{Limits, OutlierDetection, RetryBudget},
    transport::{TcpKeepalive, Transport, TransportCriteria, Transports, UpstreamTls},
};
pub use crate::proxy_protocol::Version;
pub use crate::upstream::state::{ClusterState, EndpointState, Place, Registry};

/// Envoy's Cluster, with its endpoints.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name.
    pub name: Arc<str>,
    /// How it is used.
    pub config: Arc<ClusterConfig>,
    /// Its endpoints at present. Empty for [`Discovery::OriginalDst`].
    pub endpoints: Arc<Endpoints>,
    /// What traffic has made of it.
    pub state: Arc<ClusterState>,
}

impl Cluster {
    /// The name under which it is counted, which is also what Envoy's `%UPSTREAM_CLUSTER%` says.
    pub fn observed_name(&self) -> &Arc<str> {
        self.config.stat_name.as_ref().unwrap_or(&self.name)
    }

    /// A cluster, with the state that it had under this name.
    pub fn new(
        name: impl Into<Arc<str>>,
        config: ClusterConfig,
        endpoints: Arc<Endpoints>,
        registry: &Registry,
    ) -> Self {
        let name = name.into();
        Self { state: registry.cluster(&name), name, config: Arc::new(config), endpoints }
    }

    /// Which objects of the user's it comes from.
    pub fn origin(&self) -> &ClusterOrigin {
        &self.config.origin
    }

    /// The same cluster with other endpoints.
    pub fn with_endpoints(&self, endpoints: Arc<Endpoints>) -> Self {
        Self { endpoints, ..self.clone() }
    }
}

/// How a cluster is used.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConfig {
    /// Where the endpoints come from.
    pub discovery: Discovery,
    /// How one is chosen.
    pub balancing: Balancing,
    /// Time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Limits of the circuit breaker (`DEFAULT` priority).
    pub limits: Limits,
    /// When endpoints are ejected. `None`: never.
    pub outlier: Option<OutlierDetection>,
    /// HTTP towards the endpoints.
    pub http: HttpOptions,
    /// What carries the bytes to an endpoint.
    pub transports: Transports,
    /// The source address of connections: 127.0.0.6 towards the workload that we stand before.
    pub bind: Option<IpAddr>,
    /// TCP keep-alive probes.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Which objects of the user's it comes from.
    pub origin: ClusterOrigin,
    /// The name under which it is counted, where that isn't its own (`alt_stat_name`).
    pub stat_name: Option<Arc<str>>,
}

impl ClusterConfig {
    /// A plaintext cluster with Envoy's defaults and no limits.
    pub fn new(discovery: Discovery) -> Self {
        Self {
            discovery,
            balancing: Balancing::default(),
            connect_timeout: Duration::from_secs(5),
            limits: Limits::default(),
            outlier: None,
            http: HttpOptions::default(),
            transports: Transports::default(),
            bind: None,
            tcp_keepalive: None,
            origin: ClusterOrigin::default(),
            stat_name: None,
        }
    }
}

/// Which objects of the user's a cluster comes from: `filter_metadata["istio"]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterOrigin {
    /// The object: `/apis/networking.istio.io/v1/namespaces/default/destination-rule/reviews`.
    pub config: Option<Arc<str>>,
    /// The services whose endpoints it has.
    pub services: Vec<ServiceRef>,
    /// The subset.
    pub subset: Option<Arc<str>>,
    /// The service port.
    pub default_original_port: Option<u16>,
    /// The service is outside of the mesh: its endpoints aren't told who we are.
    pub external: bool,
}

/// A service, as metrics name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRef {
    /// `reviews.default.svc.cluster.local`.
    pub host: Arc<str>,
    /// `reviews`.
    pub name: Arc<str>,
    /// `default`.
    pub namespace: Arc<str>,
}
