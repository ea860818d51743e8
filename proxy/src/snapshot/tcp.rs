//! What to do with a connection that isn't taken apart into requests.

use std::{sync::Arc, time::Duration};

use super::{http::AccessLog, route::Weighted};

/// Envoy's `TcpProxy`.
#[derive(Debug)]
pub struct TcpProxy {
    /// Prefix of the statistics.
    pub stat_prefix: Arc<str>,
    /// Where connections go. A single cluster is one entry.
    pub clusters: Weighted<Arc<str>>,
    /// Ends a connection on which nothing moved for this long. Envoy's default is one hour; `None` is never.
    pub idle_timeout: Option<Duration>,
    /// Ends a connection that has lasted this long.
    pub max_duration: Option<Duration>,
    /// Attempts to connect before giving up; at least 1.
    pub connect_attempts: u32,
    /// Keeps a client's connections on one endpoint.
    pub hash_source_ip: bool,
    /// Where finished connections are logged.
    pub access_logs: Vec<AccessLog>,
    /// Connections are counted as `istio.stats` does. Our own control plane doesn't send that filter: we always count.
    pub istio_stats: bool,
}

impl TcpProxy {
    /// A proxy to one cluster with Envoy's defaults.
    pub fn to_cluster(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self {
            stat_prefix: name.clone(),
            clusters: Weighted::single(name),
            idle_timeout: Some(Duration::from_hours(1)),
            max_duration: None,
            connect_attempts: 1,
            hash_source_ip: false,
            access_logs: Vec::new(),
            istio_stats: true,
        }
    }
}
