//! PROXY headers in front of connections to endpoints: a transport socket around another.

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::transport_sockets::proxy_protocol::v3 as pb;

use super::error::{At as _, ConfigError, Result};
use super::value::{decode, enumeration};
use crate::proxy_protocol::Version;

const WRAPPER: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";

/// The socket within, and the version of the header if there is one.
pub(super) fn unwrapped(
    socket: Option<&core::TransportSocket>,
) -> Result<(Option<core::TransportSocket>, Option<Version>)> {
    use core::transport_socket::ConfigType;
    let any = match socket.and_then(|socket| socket.config_type.as_ref()) {
        Some(ConfigType::TypedConfig(any)) if any.type_url == WRAPPER => any,
        _ => return Ok((socket.cloned(), None)),
    };
    let wrapper: pb::ProxyProtocolUpstreamTransport = decode(any)?;
    let config = wrapper.config.unwrap_or_default();
    if config.pass_through_tlvs.is_some() || !config.added_tlvs.is_empty() {
        return Err(ConfigError::unsupported("a PROXY header with TLVs")).field("config");
    }
    let version = match enumeration(config.version).field("config.version")? {
        core::proxy_protocol_config::Version::V1 => Version::V1,
        core::proxy_protocol_config::Version::V2 => Version::V2,
    };
    Ok((wrapper.transport_socket, Some(version)))
}

#[cfg(test)]
mod tests {
    use prost::{Message as _, Name as _};

    use super::*;
    use envoy_types::pb::google::protobuf::Any;

    fn socket(config: core::ProxyProtocolConfig) -> core::TransportSocket {
        let inner = core::TransportSocket {
            name: "envoy.transport_sockets.raw_buffer".to_owned(),
            config_type: None,
        };
        let wrapper = pb::ProxyProtocolUpstreamTransport {
            config: Some(config),
            transport_socket: Some(inner),
            ..Default::default()
        };
        let any =
            Any { type_url: pb::ProxyProtocolUpstreamTransport::type_url(), value: wrapper.encode_to_vec() };
        core::TransportSocket {
            name: "pp".to_owned(),
            config_type: Some(core::transport_socket::ConfigType::TypedConfig(any)),
        }
    }

    #[test]
    fn the_socket_within_is_found() {
        let second = core::ProxyProtocolConfig { version: 1, ..Default::default() };
        let (inner, version) = unwrapped(Some(&socket(second))).unwrap();
        assert_eq!(inner.unwrap().name, "envoy.transport_sockets.raw_buffer");
        assert_eq!(version, Some(Version::V2));
        let plain = core::TransportSocket::default();
        assert_eq!(unwrapped(Some(&plain)).unwrap(), (Some(plain), None));
    }

    #[test]
    fn extensions_of_the_header_are_refused() {
        let with = core::ProxyProtocolConfig {
            pass_through_tlvs: Some(core::ProxyProtocolPassThroughTlVs::default()),
            ..Default::default()
        };
        let error = unwrapped(Some(&socket(with))).unwrap_err();
        assert_eq!(error.to_string(), "config: a PROXY header with TLVs is not supported by this proxy");
    }
}
