//! Clusters: where requests and connections can go, and how they get there.
//!
//! `config/` builds [`Cluster`]s from Cluster and ClusterLoadAssignment resources, `upstream` picks endpoints from them
//! and connects. Everything here is immutable; what changes with traffic (use of the limits, health, ejections) is in
//! [`ClusterState`] and [`EndpointState`], which a [`Registry`] keeps by name, so a new configuration resets none of it.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use ::http::HeaderName;

use super::listener::TlsVersion;
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

/// How an endpoint is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Balancing {
    /// Among the endpoints of a locality.
    pub policy: Policy,
    /// If fewer percent than this are healthy, health is ignored. Istio sets 0: never.
    pub panic_threshold: f64,
    /// Localities get traffic by their weights (`locality_weighted_lb_config`).
    pub locality_weighted: bool,
    /// New endpoints get traffic little by little.
    pub slow_start: Option<SlowStart>,
    /// Hash the endpoint's host name instead of its address.
    pub hash_hostname: bool,
}

impl Default for Balancing {
    fn default() -> Self {
        Self {
            policy: Policy::RoundRobin,
            panic_threshold: 50.0,
            locality_weighted: false,
            slow_start: None,
            hash_hostname: false,
        }
    }
}

/// Envoy's `lb_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Policy {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The least busy of two drawn by lot; by weight and load where weights differ.
    LeastRequest {
        /// How many are drawn; 2 in Envoy.
        choices: u32,
    },
    /// By lot.
    Random,
    /// Ketama ring.
    RingHash {
        /// The fewest entries; 1024 in Envoy.
        min_size: u64,
        /// The most entries; 8388608 in Envoy.
        max_size: u64,
    },
    /// Maglev table.
    Maglev {
        /// Its size, a prime; 65537 in Envoy.
        table_size: u64,
    },
}

/// Envoy's `SlowStartConfig`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowStart {
    /// How long an endpoint counts as new.
    pub window: Duration,
    /// 1 is linear, more begins faster.
    pub aggression: f64,
    /// The percentage of its weight that it begins with.
    pub min_weight_percent: f64,
}

/// Limits of the circuit breaker. Istio's default is no limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Connections.
    pub max_connections: u32,
    /// Requests that wait for a connection.
    pub max_pending_requests: u32,
    /// Requests under way.
    pub max_requests: u32,
    /// Retries under way.
    pub max_retries: u32,
    /// Retries under way as a share of the requests, in place of `max_retries`.
    pub retry_budget: Option<RetryBudget>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: u32::MAX,
            max_pending_requests: u32::MAX,
            max_requests: u32::MAX,
            max_retries: u32::MAX,
            retry_budget: None,
        }
    }
}

impl Limits {
    /// Whether it matters how many connections there are, or how many requests wait for one.
    pub fn count_connections(&self) -> bool {
        self.max_connections != u32::MAX || self.max_pending_requests != u32::MAX
    }
}

/// Envoy's `RetryBudget`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    /// Percent of the requests under way; 20 in Envoy.
    pub percent: f64,
    /// As many are always allowed; 3 in Envoy.
    pub min_concurrency: u32,
}

/// When endpoints are ejected. `None` in a count switches that detection off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlierDetection {
    /// So many answers of class 5xx (or of `error_codes`) in a row.
    pub consecutive_5xx: Option<NonZeroU32>,
    /// So many 502, 503, 504 in a row.
    pub consecutive_gateway: Option<NonZeroU32>,
    /// So many failures to connect and the like in a row; only with `split_local_origin`.
    pub consecutive_local_origin: Option<NonZeroU32>,
    /// Failures to connect count for themselves and not as 5xx.
    pub split_local_origin: bool,
    /// Time between checks whether an ejection is over.
    pub interval: Duration,
    /// An ejection lasts this long, times how often the endpoint was ejected.
    pub base_ejection: Duration,
    /// The longest ejection.
    pub max_ejection: Duration,
    /// At most so many percent of the endpoints are ejected.
    pub max_ejection_percent: u32,
    /// One endpoint may be ejected even if that is more than `max_ejection_percent`.
    pub always_eject_one: bool,
    /// Codes that count as errors in place of 5xx (`outlierDetectionHttpErrorCodes`). Empty: 5xx.
    pub error_codes: Vec<u16>,
}

impl Default for OutlierDetection {
    /// What Istio writes for an empty block.
    fn default() -> Self {
        Self {
            consecutive_5xx: NonZeroU32::new(5),
            consecutive_gateway: None,
            consecutive_local_origin: NonZeroU32::new(5),
            split_local_origin: false,
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_mins(5),
            max_ejection_percent: 10,
            always_eject_one: false,
            error_codes: Vec::new(),
        }
    }
}

/// Which HTTP version is spoken to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// What the client speaks (`use_downstream_protocol_config`).
    UseDownstream,
    /// What ALPN agrees on (`auto_config`); HTTP/1.1 in plaintext.
    Auto,
}

/// HTTP towards endpoints: `HttpProtocolOptions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpOptions {
    /// The version.
    pub protocol: UpstreamProtocol,
    /// Closes a connection that has had no request for this long. `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Closes a connection that has lasted this long.
    pub max_connection_duration: Option<Duration>,
    /// Closes a connection after so many requests.
    pub max_requests_per_connection: Option<NonZeroU32>,
    /// Streams on one HTTP/2 connection. `None` is ours.
    pub max_concurrent_streams: Option<NonZeroU32>,
    /// HTTP/2 flow-control window of a stream. `None` is ours.
    pub stream_window: Option<u32>,
    /// HTTP/2 flow-control window of a connection. `None` is ours.
    pub connection_window: Option<u32>,
    /// HTTP/2 PINGs.
    pub keepalive: Option<Http2Keepalive>,
    /// The SNI is the request's authority (`auto_sni`).
    pub auto_sni: bool,
    /// The endpoint's certificate must have the request's authority as a name (`auto_san_validation`).
    pub auto_san: bool,
    /// Header names are written in Title-Case to HTTP/1.1 endpoints.
    pub title_case: bool,
    /// Header names keep the case in which they came.
    pub preserve_case: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            protocol: UpstreamProtocol::Http1,
            idle_timeout: Some(Duration::from_hours(1)),
            max_connection_duration: None,
            max_requests_per_connection: None,
            max_concurrent_streams: None,
            stream_window: None,
            connection_window: None,
            keepalive: None,
            auto_sni: false,
            auto_san: false,
            title_case: false,
            preserve_case: false,
        }
    }
}

/// HTTP/2 PINGs that find dead connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2Keepalive {
    /// Between PINGs.
    pub interval: Duration,
    /// Time for an answer.
    pub timeout: Duration,
}

/// What carries the bytes: the first transport whose criteria an endpoint's metadata has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transports {
    /// Conditions on `envoy.transport_socket_match` and the transport for such endpoints, in order.
    pub matches: Vec<(TransportCriteria, Transport)>,
    /// For all others.
    pub default: Transport,
    /// Each connection begins with a PROXY header of this version.
    pub announce: Option<Version>,
}

impl Default for Transports {
    fn default() -> Self {
        Self { matches: Vec::new(), default: Transport::Raw, announce: None }
    }
}

/// Keys and values that must all be in an endpoint's `envoy.transport_socket_match`.
pub type TransportCriteria = Vec<(Box<str>, Box<str>)>;

impl Transports {
    /// The transport for endpoints with this metadata.
    pub fn for_endpoint(&self, metadata: &EndpointMetadata) -> &Transport {
        let fits = |criteria: &TransportCriteria| {
            criteria.iter().all(|want| metadata.transport_match.iter().any(|have| have == want))
        };
        self.matches.iter().find(|(criteria, _)| fits(criteria)).map_or(&self.default, |(_, chosen)| chosen)
    }
}

/// What carries the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Plaintext.
    Raw,
    /// TLS.
    Tls(Arc<UpstreamTls>),
}

/// TLS towards endpoints: `UpstreamTlsContext`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// The SNI. Without, none is sent (unless `auto_sni`).
    pub sni: Option<Box<str>>,
    /// The protocols that are offered, best first. With `istio` among them, `upstream` offers what fits the request.
    pub alpn: Vec<Box<[u8]>>,
    /// The secret with our certificate. `None`: we show none.
    pub certificate: Option<Arc<str>>,
    /// The secret with the roots of the endpoints' certificates. `None`: they aren't verified.
    pub roots: Option<Arc<str>>,
    /// Names of which an endpoint's certificate must have one, as URI or DNS. Empty is any.
    pub subject_alt_names: Arc<[String]>,
    /// The lowest version.
    pub min_version: TlsVersion,
    /// The highest version.
    pub max_version: TlsVersion,
}

/// TCP keep-alive probes. `None` is the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpKeepalive {
    /// Probes without an answer before the connection is dead.
    pub probes: Option<u32>,
    /// Idle time before the first probe.
    pub time: Option<Duration>,
    /// Time between probes.
    pub interval: Option<Duration>,
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

/// A cluster's endpoints: Envoy's ClusterLoadAssignment.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// By priority, best first.
    pub priorities: Vec<Priority>,
    /// A priority or locality is as good as whole while this percentage of its healthy part is. 140 in Envoy.
    pub overprovisioning: u32,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self { priorities: Vec::new(), overprovisioning: 140 }
    }
}

impl Endpoints {
    /// All endpoints in one locality of one priority.
    pub fn flat(endpoints: Vec<Arc<Endpoint>>) -> Self {
        let locality = LocalityEndpoints { locality: Arc::default(), weight: 0, endpoints };
        Self { priorities: vec![Priority { localities: vec![locality] }], ..Self::default() }
    }

    /// All endpoints.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.priorities.iter().flat_map(Priority::iter)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.priorities.iter().flat_map(|priority| &priority.localities).map(|l| l.endpoints.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Endpoints that are used when those of better priorities are not enough.
#[derive(Debug, Clone, Default)]
pub struct Priority {
    /// By locality.
    pub localities: Vec<LocalityEndpoints>,
}

impl Priority {
    /// Its endpoints.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.localities.iter().flat_map(|locality| &locality.endpoints)
    }
}

/// The endpoints of one place.
#[derive(Debug, Clone)]
pub struct LocalityEndpoints {
    /// The place.
    pub locality: Arc<Locality>,
    /// Its weight among the localities of the priority; 0 is none given.
    pub weight: u32,
    /// The endpoints.
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Locality {
    /// Region.
    pub region: Box<str>,
    /// Zone.
    pub zone: Box<str>,
    /// Zone within the zone.
    pub sub_zone: Box<str>,
}

/// One endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its weight, at least 1.
    pub weight: u32,
    /// What the control plane says of its health.
    pub health: Health,
    /// Its host name, where it has one: for the `host` header and consistent hashing.
    pub hostname: Option<Arc<str>>,
    /// What is known of it. Endpoints that are alike share this.
    pub metadata: Arc<EndpointMetadata>,
    /// What traffic has made of it, with its address.
    pub state: Arc<EndpointState>,
}

impl Endpoint {
    /// A healthy endpoint of weight 1.
    pub fn new(state: Arc<EndpointState>) -> Self {
        Self { weight: 1, health: Health::Healthy, hostname: None, metadata: Arc::default(), state }
    }

    /// Its address; 0.0.0.0:0 for a Unix socket, which has none.
    pub fn address(&self) -> SocketAddr {
        self.state.address()
    }

    /// Where it listens.
    pub fn place(&self) -> &Place {
        self.state.place()
    }
}

/// What the control plane says of an endpoint's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// `HEALTHY`, or nothing said.
    #[default]
    Healthy,
    /// `DEGRADED`: only if the healthy ones are not enough.
    Degraded,
    /// `UNHEALTHY`, `TIMEOUT`: not used.
    Unhealthy,
    /// `DRAINING`: not used for anything new.
    Draining,
}

/// What is known of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct EndpointMetadata {
    /// `istio.workload`.
    pub workload: Option<Workload>,
    /// `envoy.transport_socket_match`: `tlsMode: istio` for endpoints that are in the mesh.
    pub transport_match: Vec<(Box<str>, Box<str>)>,
    /// `envoy.lb.hash_key`: hashed in place of the address.
    pub hash_key: Option<Box<str>>,
}

/// A workload, as endpoints' metadata name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Workload {
    /// The Deployment's (or other owner's) name.
    pub name: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// `service.istio.io/canonical-name`.
    pub canonical_name: Arc<str>,
    /// `service.istio.io/canonical-revision`.
    pub canonical_revision: Arc<str>,
    /// The cluster it runs in.
    pub cluster: Arc<str>,
}

impl Workload {
    /// Reads `name;namespace;canonical-name;canonical-revision;cluster-id`. Later parts may be missing.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(Arc::<str>::from);
        let mut next = || parts.next().unwrap_or_default();
        Self {
            name: next(),
            namespace: next(),
            canonical_name: next(),
            canonical_revision: next(),
            cluster: next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_in_the_mesh_gets_the_transport_that_asks_for_it() {
        let tls = Transport::Tls(Arc::new(UpstreamTls {
            sni: None,
            alpn: Vec::new(),
            certificate: None,
            roots: None,
            subject_alt_names: Arc::new([]),
            min_version: TlsVersion::V1_2,
            max_version: TlsVersion::V1_3,
        }));
        let transports = Transports {
            matches: vec![(vec![("tlsMode".into(), "istio".into())], tls.clone()), (vec![], Transport::Raw)],
            default: tls.clone(),
            announce: None,
        };
        let meshed = EndpointMetadata {
            transport_match: vec![("tlsMode".into(), "istio".into())],
            ..EndpointMetadata::default()
        };
        assert_eq!(transports.for_endpoint(&meshed), &tls);
        assert_eq!(transports.for_endpoint(&EndpointMetadata::default()), &Transport::Raw);
    }

    #[test]
    fn workload_metadata_may_end_early() {
        let workload = Workload::parse("reviews-v1;default;reviews;v1;Kubernetes");
        assert_eq!((&*workload.name, &*workload.cluster), ("reviews-v1", "Kubernetes"));
        let short = Workload::parse("reviews-v1;default");
        assert_eq!((&*short.namespace, &*short.canonical_name), ("default", ""));
    }
}
