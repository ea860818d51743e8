//! What carries the bytes to an endpoint.

use std::{sync::Arc, time::Duration};

use super::endpoints::EndpointMetadata;
use crate::{proxy_protocol::Version, snapshot::listener::TlsVersion};

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

impl Transports {
    /// The transport for endpoints with this metadata.
    pub fn for_endpoint(&self, metadata: &EndpointMetadata) -> &Transport {
        let fits = |criteria: &TransportCriteria| {
            criteria.iter().all(|want| metadata.transport_match.iter().any(|have| have == want))
        };
        self.matches.iter().find(|(criteria, _)| fits(criteria)).map_or(&self.default, |(_, chosen)| chosen)
    }
}

/// Keys and values that must all be in an endpoint's `envoy.transport_socket_match`.
pub type TransportCriteria = Vec<(Box<str>, Box<str>)>;

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
}
