//! Limits of connections and requests, per client proxy.

use crate::{
    Duration, duration,
    macros::{keywords, message},
};

message! {
    /// Limits of connections and requests, per client proxy.
    pub struct ConnectionPoolSettings {
        /// Settings of TCP, also under HTTP.
        pub tcp: Option<TcpSettings>,
        /// Settings of HTTP.
        pub http: Option<HttpSettings>,
    }

    /// Settings of TCP connections.
    pub struct TcpSettings {
        /// Most connections to the host; 0 and absent mean no limit.
        pub max_connections: Option<i32>,
        /// Time for a connection to be made; 10 s when absent.
        pub connect_timeout: Option<Duration>,
        /// Keep-alive probes of the kernel.
        pub tcp_keepalive: Option<TcpKeepalive>,
        /// How long a connection may live.
        pub max_connection_duration: Option<Duration>,
        /// How long a connection may carry nothing; 1 h when absent, 0s for ever.
        #[schemars(schema_with = "duration::unchecked")]
        pub idle_timeout: Option<Duration>,
    }

    /// Keep-alive probes of the kernel.
    pub struct TcpKeepalive {
        /// Unanswered probes before the connection is given up.
        pub probes: Option<u32>,
        /// Idle time before the first probe.
        pub time: Option<Duration>,
        /// Time between probes.
        pub interval: Option<Duration>,
    }

    /// Settings of HTTP.
    pub struct HttpSettings {
        /// Most requests waiting for a connection; 0 and absent mean no limit.
        pub http1_max_pending_requests: Option<i32>,
        /// Most requests in flight.
        pub http2_max_requests: Option<i32>,
        /// Requests after which a connection is closed; 1 switches keep-alive off.
        pub max_requests_per_connection: Option<i32>,
        /// Most retries in flight.
        pub max_retries: Option<i32>,
        /// How long a connection may be without requests; 1 h when absent.
        pub idle_timeout: Option<Duration>,
        /// Whether HTTP/1.1 is carried as HTTP/2.
        pub h2_upgrade_policy: Option<H2UpgradePolicy>,
        /// Use the version of HTTP that the client used.
        pub use_client_protocol: Option<bool>,
        /// Most streams on one HTTP/2 connection.
        pub max_concurrent_streams: Option<i32>,
        /// HTTP/2 pings on idle connections.
        pub http2_keep_alive: Option<ConnectionKeepalive>,
    }

    /// HTTP/2 pings.
    pub struct ConnectionKeepalive {
        /// Time between pings.
        pub interval: Option<Duration>,
        /// Time for the answer.
        pub timeout: Option<Duration>,
    }
}

keywords! {
    /// Whether HTTP/1.1 is carried as HTTP/2.
    pub enum H2UpgradePolicy {
        /// As the mesh says.
        Default = "DEFAULT",
        /// Never.
        DoNotUpgrade = "DO_NOT_UPGRADE",
        /// Always.
        Upgrade = "UPGRADE",
    }
}
