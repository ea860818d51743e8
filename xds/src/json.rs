//! Envoy messages as proto JSON and back: config dumps, `proxy-config -o json`, readable tests.
//!
//! Envoy's API is compiled to a descriptor set at build time and parsed at first use, so that a process that never prints a
//! message never pays for it; who prints rarely gives their memory back by [`release`].

use base64::Engine as _;
use parking_lot::RwLock;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Value, json};

static DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/envoy.desc"));

static POOL: RwLock<Option<DescriptorPool>> = RwLock::new(None);

/// Parsed at first use, and again at the first use after [`release`].
fn pool() -> DescriptorPool {
    if let Some(pool) = &*POOL.read() {
        return pool.clone();
    }
    POOL.write().get_or_insert_with(|| DescriptorPool::decode(DESCRIPTORS).unwrap_or_default()).clone()
}

/// Gives the parsed descriptors' memory back, about 15 MB. For processes that print rarely and live long.
pub fn release() {
    *POOL.write() = None;
}

/// How fields are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `routeConfig`, as `istioctl proxy-config -o json` prints.
    Camel,
    /// `route_config`, as Envoy's admin endpoint prints.
    Snake,
}

/// A text that is not a message of the expected type.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The type is not part of Envoy's API as compiled in.
    #[error("unknown message type {0:?}")]
    UnknownType(String),
    /// The bytes or the JSON don't fit the type.
    #[error("not a valid {kind}: {problem}")]
    Invalid {
        /// The message's full name.
        kind: String,
        /// What the decoder said.
        problem: String,
    },
}

/// Prints an encoded message of the type (URL or full name). Nested `Any`s are printed as what they contain.
pub fn to_json(type_url: &str, body: &[u8], spelling: Spelling) -> Result<Value, JsonError> {
    let descriptor = descriptor(type_url)?;
    let invalid = |problem: String| JsonError::Invalid { kind: descriptor.full_name().to_owned(), problem };
    let message = DynamicMessage::decode(descriptor.clone(), body).map_err(|e| invalid(e.to_string()))?;
    let options = SerializeOptions::new()
        .stringify_64_bit_integers(true)
        .use_proto_field_name(spelling == Spelling::Snake);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|e| invalid(e.to_string()))
}

/// Prints a message as the content of an `Any`: its fields, and its type as `@type`. What cannot be printed is shown in
/// base64, so that a dump never fails because of one resource.
pub fn any_to_json(type_url: &str, body: &[u8], spelling: Spelling) -> Value {
    let opaque = || json!({ "value": base64::engine::general_purpose::STANDARD.encode(body) });
    let fields = to_json(type_url, body, spelling).unwrap_or_else(|_| opaque());
    let mut printed = serde_json::Map::from_iter([("@type".to_owned(), Value::from(type_url))]);
    match fields {
        Value::Object(fields) => printed.extend(fields),
        other => drop(printed.insert("value".to_owned(), other)),
    }
    Value::Object(printed)
}

/// Encodes a message of the type (URL or full name) from its JSON; both spellings are understood.
pub fn from_json(type_url: &str, value: &Value) -> Result<Vec<u8>, JsonError> {
    use prost_reflect::prost::Message as _;
    let descriptor = descriptor(type_url)?;
    let kind = descriptor.full_name().to_owned();
    DynamicMessage::deserialize(descriptor, value)
        .map(|message| message.encode_to_vec())
        .map_err(|e| JsonError::Invalid { kind, problem: e.to_string() })
}

fn descriptor(type_url: &str) -> Result<MessageDescriptor, JsonError> {
    let name = type_url.rsplit('/').next().unwrap_or(type_url);
    pool().get_message_by_name(name).ok_or_else(|| JsonError::UnknownType(type_url.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster};
    use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
    use envoy_types::pb::google::protobuf::{Any, Duration, UInt32Value};
    use prost::Message as _;

    fn sample() -> Cluster {
        let tls = UpstreamTlsContext { sni: "reviews".into(), ..Default::default() };
        Cluster {
            name: "outbound|9080||reviews".into(),
            connect_timeout: Some(Duration { seconds: 10, nanos: 500_000_000 }),
            per_connection_buffer_limit_bytes: Some(UInt32Value { value: 32768 }),
            cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(
                cluster::DiscoveryType::Eds.into(),
            )),
            typed_extension_protocol_options: [(
                "tls".to_owned(),
                Any {
                    type_url:
                        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
                            .into(),
                    value: tls.encode_to_vec(),
                },
            )]
            .into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_cluster_is_printed_as_istioctl_prints_it() {
        let printed =
            to_json(crate::ResourceType::Cluster.url(), &sample().encode_to_vec(), Spelling::Camel).unwrap();
        let expected = json!({
            "name": "outbound|9080||reviews",
            "type": "EDS",
            "connectTimeout": "10.500s",
            "perConnectionBufferLimitBytes": 32768,
            "typedExtensionProtocolOptions": { "tls": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": "reviews",
            }},
        });
        assert_eq!(printed, expected);
    }

    #[test]
    fn the_admin_spelling_keeps_the_fields_names() {
        let printed =
            any_to_json(crate::ResourceType::Cluster.url(), &sample().encode_to_vec(), Spelling::Snake);
        assert_eq!(printed["connect_timeout"], "10.500s");
        assert_eq!(printed["@type"], crate::ResourceType::Cluster.url());
    }

    #[test]
    fn json_is_read_back_in_both_spellings() {
        let kind = crate::ResourceType::Cluster.url();
        for spelling in [Spelling::Camel, Spelling::Snake] {
            let printed = to_json(kind, &sample().encode_to_vec(), spelling).unwrap();
            let bytes = from_json(kind, &printed).unwrap();
            assert_eq!(Cluster::decode(bytes.as_slice()).unwrap(), sample());
        }
    }

    #[test]
    fn what_cannot_be_printed_is_named_or_shown_raw() {
        assert!(matches!(
            to_json("type.googleapis.com/nobody.Knows", b"", Spelling::Camel),
            Err(JsonError::UnknownType(_))
        ));
        let broken = to_json(crate::ResourceType::Cluster.url(), b"\xff\xff", Spelling::Camel);
        assert!(matches!(broken, Err(JsonError::Invalid { .. })));
        let raw = any_to_json("type.googleapis.com/nobody.Knows", b"abc", Spelling::Camel);
        assert_eq!(raw, json!({ "@type": "type.googleapis.com/nobody.Knows", "value": "YWJj" }));
    }

    #[test]
    fn every_message_that_a_proxy_prints_is_known() {
        for name in [
            "envoy.admin.v3.ConfigDump",
            "envoy.config.bootstrap.v3.Bootstrap",
            "envoy.config.endpoint.v3.ClusterLoadAssignment",
            "envoy.config.listener.v3.Listener",
            "envoy.config.route.v3.RouteConfiguration",
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "envoy.extensions.transport_sockets.tls.v3.Secret",
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "envoy.service.discovery.v3.DeltaDiscoveryResponse",
        ] {
            assert!(descriptor(name).is_ok(), "{name}");
        }
    }
}
