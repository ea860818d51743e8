//! DestinationRule: how clients talk to a host once the route is chosen.

use std::collections::BTreeMap;

use super::{
    ClientTlsSettings, ConnectionPoolSettings, LoadBalancerSettings, OutlierDetection, PortSelector,
};
use crate::{
    Duration, duration,
    macros::{keywords, kind, message},
    meta::IstioStatus,
    selector::WorkloadSelector,
};

kind! {
    /// Policies of clients for one host, and its subsets.
    DestinationRule {
        spec: DestinationRuleSpec, status: IstioStatus, group: "networking.istio.io", version: "v1",
        plural: "destinationrules", scope: NamespaceResourceScope
    }
}

message! {
    /// Policies of clients for one host, and its subsets.
    #[schemars(extend("required" = ["host"]))]
    pub struct DestinationRuleSpec {
        /// The host; short names are completed with the object's namespace, `*.` wildcards are allowed.
        pub host: String,
        /// Policies for all traffic to the host.
        pub traffic_policy: Option<TrafficPolicy>,
        /// Named parts of the host's endpoints.
        pub subsets: Vec<Subset>,
        /// Namespaces that see this object: `.` its own, `*` all.
        pub export_to: Vec<String>,
        /// Clients to which the rule is limited.
        pub workload_selector: Option<WorkloadSelector>,
    }

    /// Policies of clients.
    pub struct TrafficPolicy {
        /// How endpoints are picked.
        pub load_balancer: Option<LoadBalancerSettings>,
        /// Limits of connections and requests.
        pub connection_pool: Option<ConnectionPoolSettings>,
        /// When failing endpoints are set aside.
        pub outlier_detection: Option<OutlierDetection>,
        /// TLS towards the host; overrides automatic mutual TLS.
        pub tls: Option<ClientTlsSettings>,
        /// Policies of single ports; they replace the ones above, nothing is inherited.
        #[schemars(extend("maxItems" = 4096))]
        pub port_level_settings: Vec<PortTrafficPolicy>,
        /// Carry TCP and TLS routes through an HTTP tunnel.
        pub tunnel: Option<TunnelSettings>,
        /// Send a PROXY protocol header.
        pub proxy_protocol: Option<ProxyProtocol>,
        /// Limit of retries relative to the requests in flight.
        pub retry_budget: Option<RetryBudget>,
    }

    /// Policies of one port.
    pub struct PortTrafficPolicy {
        /// The port.
        pub port: Option<PortSelector>,
        /// How endpoints are picked.
        pub load_balancer: Option<LoadBalancerSettings>,
        /// Limits of connections and requests.
        pub connection_pool: Option<ConnectionPoolSettings>,
        /// When failing endpoints are set aside.
        pub outlier_detection: Option<OutlierDetection>,
        /// TLS towards the host.
        pub tls: Option<ClientTlsSettings>,
    }

    /// A tunnel through an HTTP proxy.
    #[schemars(extend("required" = ["targetHost", "targetPort"]))]
    pub struct TunnelSettings {
        /// CONNECT (default) or POST.
        pub protocol: Option<String>,
        /// The host at the end of the tunnel.
        pub target_host: String,
        /// The port at the end of the tunnel.
        pub target_port: u32,
    }

    /// A PROXY protocol header in front of each connection.
    pub struct ProxyProtocol {
        /// Version of the protocol; V1 when absent.
        pub version: Option<ProxyProtocolVersion>,
    }

    /// Limit of retries relative to the requests in flight.
    pub struct RetryBudget {
        /// Retries allowed, in percent of active and pending requests; 20 when absent.
        #[schemars(extend("nullable" = true, "minimum" = 0, "maximum" = 100))]
        pub percent: Option<f64>,
        /// Retries that are always allowed; 3 when absent.
        pub min_retry_concurrency: Option<u32>,
        /// Interval over which requests are counted.
        #[schemars(schema_with = "duration::unchecked")]
        pub budget_interval: Option<Duration>,
    }

    /// A named part of the host's endpoints.
    #[schemars(extend("required" = ["name"]))]
    pub struct Subset {
        /// The name routes use.
        pub name: String,
        /// Labels of the endpoints that belong to it.
        pub labels: BTreeMap<String, String>,
        /// Policies that override those of the host, block by block.
        pub traffic_policy: Option<TrafficPolicy>,
    }
}

keywords! {
    /// Version of the PROXY protocol.
    pub enum ProxyProtocolVersion {
        /// Text header.
        V1 = "V1",
        /// Binary header.
        V2 = "V2",
    }
}
