//! A header in front of each connection that tells the server who is behind it.

use crds::networking::{ProxyProtocol, ProxyProtocolVersion};

use super::tls::plain;
use crate::proto::{any, cluster, core, proxy_protocol};
use core::proxy_protocol_config::Version;

/// Wraps whatever carries the bytes, so that the header comes before all of them.
pub(super) fn apply(settings: Option<&ProxyProtocol>, cluster: &mut cluster::Cluster) {
    let Some(settings) = settings else { return };
    let version = match settings.version {
        Some(ProxyProtocolVersion::V2) => Version::V2,
        _ => Version::V1,
    };
    if cluster.transport_socket_matches.is_empty() {
        cluster.transport_socket.get_or_insert_with(plain);
    }
    let matches = cluster.transport_socket_matches.iter_mut().filter_map(|one| one.transport_socket.as_mut());
    for socket in matches.chain(&mut cluster.transport_socket) {
        *socket = wrapped(std::mem::take(socket), version);
    }
}

fn wrapped(inner: core::TransportSocket, version: Version) -> core::TransportSocket {
    let wrapper = proxy_protocol::ProxyProtocolUpstreamTransport {
        config: Some(core::ProxyProtocolConfig { version: version.into(), ..Default::default() }),
        transport_socket: Some(inner),
        ..Default::default()
    };
    core::TransportSocket {
        name: "envoy.transport_sockets.upstream_proxy_protocol".to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(any(&wrapper))),
    }
}
