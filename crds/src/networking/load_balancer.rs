//! How a client picks one of several endpoints.

use std::collections::BTreeMap;

use crate::{
    Duration, duration,
    macros::{keywords, message},
    rules::{at_most_one, at_most_one_of_each},
};

message! {
    /// How a client picks one of several endpoints.
    #[schemars(extend("oneOf" = at_most_one(&["simple", "consistentHash"])))]
    pub struct LoadBalancerSettings {
        /// One of the simple algorithms; LEAST_REQUEST when absent.
        pub simple: Option<SimpleLb>,
        /// The same endpoint for the same key.
        pub consistent_hash: Option<ConsistentHashLb>,
        /// Preference among localities; overrides the mesh's setting completely.
        pub locality_lb_setting: Option<LocalityLoadBalancerSetting>,
        /// Preference for the own zone, as far as it has its share of endpoints.
        pub zone_aware_lb_setting: Option<ZoneAwareLoadBalancerSetting>,
        /// Deprecated: how long new endpoints are eased in. Use warmup.
        pub warmup_duration_secs: Option<Duration>,
        /// How new endpoints are eased in (ROUND_ROBIN and LEAST_REQUEST only).
        pub warmup: Option<WarmupConfiguration>,
    }

    /// The same endpoint for the same key.
    #[schemars(extend("allOf" = at_most_one_of_each(&[
        &["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"],
        &["ringHash", "maglev"],
    ])))]
    pub struct ConsistentHashLb {
        /// The key is this header.
        pub http_header_name: Option<String>,
        /// The key is this cookie.
        pub http_cookie: Option<HttpCookie>,
        /// The key is the client's address.
        pub use_source_ip: Option<bool>,
        /// The key is this query parameter.
        pub http_query_parameter_name: Option<String>,
        /// Use a hash ring (default).
        pub ring_hash: Option<RingHash>,
        /// Use Maglev tables.
        pub maglev: Option<Maglev>,
        /// Deprecated: use ringHash.minimumRingSize.
        pub minimum_ring_size: Option<u64>,
    }

    /// A hash ring.
    pub struct RingHash {
        /// Least number of points on the ring; 1024 when absent.
        pub minimum_ring_size: Option<u64>,
    }

    /// A Maglev table.
    pub struct Maglev {
        /// Size of the table, a prime; 65537 when absent.
        pub table_size: Option<u64>,
    }

    /// A cookie that carries the hash key.
    #[schemars(extend("required" = ["name"]))]
    pub struct HttpCookie {
        /// Its name.
        pub name: String,
        /// Its path.
        pub path: Option<String>,
        /// When present, the proxy sets a missing cookie; 0s makes it a session cookie.
        #[schemars(schema_with = "duration::unchecked")]
        pub ttl: Option<Duration>,
        /// Further attributes of a cookie that the proxy sets.
        pub attributes: Vec<HttpCookieAttribute>,
    }

    /// An attribute of a cookie.
    #[schemars(extend("required" = ["name"]))]
    pub struct HttpCookieAttribute {
        /// Its name.
        pub name: String,
        /// Its value.
        pub value: Option<String>,
    }

    /// How new endpoints are eased in.
    #[schemars(extend("required" = ["duration"]))]
    pub struct WarmupConfiguration {
        /// How long it takes.
        pub duration: Duration,
        /// Share of traffic to begin with, in percent; 10 when absent.
        #[schemars(extend("nullable" = true, "minimum" = 0, "maximum" = 100))]
        pub minimum_percent: Option<f64>,
        /// Form of the curve; 1 is linear.
        #[schemars(extend("nullable" = true, "minimum" = 0))]
        pub aggression: Option<f64>,
    }

    /// Preference among localities; only one of distribute, failover and failoverPriority.
    pub struct LocalityLoadBalancerSetting {
        /// Fixed shares of localities, by the client's locality.
        pub distribute: Vec<LocalityDistribute>,
        /// Which region takes over for which.
        pub failover: Vec<LocalityFailover>,
        /// Labels whose agreement with the client's decides the order of endpoints.
        pub failover_priority: Vec<String>,
        /// Switches locality preference off or on for this host.
        #[schemars(extend("nullable" = true))]
        pub enabled: Option<bool>,
    }

    /// Shares of localities for clients of one locality.
    pub struct LocalityDistribute {
        /// The client's locality, `region/zone/subzone`, with `*` at the end.
        pub from: Option<String>,
        /// Percentages of destination localities; they sum up to 100.
        pub to: BTreeMap<String, u32>,
    }

    /// Which region takes over.
    pub struct LocalityFailover {
        /// The region that fails.
        pub from: Option<String>,
        /// The region that takes over.
        pub to: Option<String>,
    }

    /// Preference for the own zone, as far as it has its share of endpoints.
    pub struct ZoneAwareLoadBalancerSetting {
        /// Switches it on.
        #[schemars(extend("nullable" = true))]
        pub enabled: Option<bool>,
        /// Which region takes over for which.
        pub failover: Vec<LocalityFailover>,
        /// Labels whose agreement with the client's decides the order of endpoints.
        pub failover_priority: Vec<String>,
        /// Least number of endpoints for which it works; 6 when absent.
        #[schemars(extend("nullable" = true, "minimum" = 1))]
        pub min_cluster_size: Option<u64>,
    }
}

keywords! {
    /// Simple algorithms of load balancing.
    pub enum SimpleLb {
        /// The mesh's default, LEAST_REQUEST.
        Unspecified = "UNSPECIFIED",
        /// Deprecated name of LEAST_REQUEST.
        LeastConn = "LEAST_CONN",
        /// Any endpoint.
        Random = "RANDOM",
        /// The address the client asked for.
        Passthrough = "PASSTHROUGH",
        /// One after the other.
        RoundRobin = "ROUND_ROBIN",
        /// Of two random endpoints the one with fewer requests in flight.
        LeastRequest = "LEAST_REQUEST",
    }
}
