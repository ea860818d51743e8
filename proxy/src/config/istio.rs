//! Istio's own extensions, which a stock istiod sends and Envoy's API does not have.
//!
//! Their few messages are written here by hand. Some come as such, some wrapped as `TypedStruct`.

use envoy_types::pb::google::protobuf::Any;

use super::error::{At as _, ConfigError, Result};
use super::value::decode;

/// `istio.stats`: request and connection metrics.
pub(super) const STATS: &str = "type.googleapis.com/stats.PluginConfig";
/// `istio.alpn`: the upstream ALPN follows the request's protocol.
pub(super) const ALPN: &str = "type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig";
/// `istio.metadata_exchange` for HTTP.
pub(super) const PEER_METADATA: &str = "type.googleapis.com/io.istio.http.peer_metadata.Config";
/// `istio.metadata_exchange` for TCP.
pub(super) const TCP_METADATA_EXCHANGE: &str =
    "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange";
/// `istio_authn`: copies the peer's identity to where older policies look for it.
pub(super) const AUTHN: &str = "type.googleapis.com/io.istio.network.authn.Config";
/// Envoy's gRPC statistics, which Istio puts into every chain.
pub(super) const GRPC_STATS: &str =
    "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig";

const TYPED_STRUCTS: [&str; 2] =
    ["type.googleapis.com/xds.type.v3.TypedStruct", "type.googleapis.com/udpa.type.v1.TypedStruct"];

/// The type of an extension's configuration, looked for inside a `TypedStruct` where it is wrapped in one.
pub(super) fn type_of(any: &Any) -> Result<String> {
    if TYPED_STRUCTS.contains(&any.type_url.as_str()) {
        return Ok(decode::<TypedStruct>(any)?.type_url);
    }
    Ok(any.type_url.clone())
}

/// Extensions of Istio's for which a route or virtual host has nothing to configure.
pub(super) fn has_no_part_in_routes(type_url: &str) -> bool {
    [STATS, ALPN, PEER_METADATA, GRPC_STATS].contains(&type_url)
}

/// An extension's configuration as a struct, with the type that it stands for.
#[derive(Clone, PartialEq, prost::Message)]
struct TypedStruct {
    #[prost(string, tag = "1")]
    type_url: String,
}

/// `istio.alpn`.
#[derive(Clone, PartialEq, prost::Message)]
struct AlpnConfig {
    #[prost(message, repeated, tag = "1")]
    alpn_override: Vec<AlpnOverride>,
}

/// The protocols to offer for requests of one HTTP version.
#[derive(Clone, PartialEq, prost::Message)]
struct AlpnOverride {
    /// HTTP/1.0, HTTP/1.1, HTTP/2 as 0, 1, 2.
    #[prost(int32, tag = "1")]
    upstream_protocol: i32,
    #[prost(string, repeated, tag = "2")]
    alpn_override: Vec<String>,
}

/// `istio.stats`, as far as it can ask for something that this proxy does not do.
#[derive(Clone, PartialEq, prost::Message)]
struct StatsConfig {
    #[prost(message, repeated, tag = "8")]
    metrics: Vec<StatsMetric>,
    #[prost(message, repeated, tag = "9")]
    definitions: Vec<StatsMetric>,
}

/// A metric that is changed or added. Its fields differ between the two, its presence is what counts.
#[derive(Clone, PartialEq, prost::Message)]
struct StatsMetric {}

/// Checks `istio.alpn`: all of its overrides must be the mesh's own protocols, which `upstream` offers by itself.
pub(super) fn check_alpn(any: &Any) -> Result<()> {
    if any.type_url != ALPN {
        return Ok(());
    }
    let config: AlpnConfig = decode(any)?;
    let foreign = config.alpn_override.iter().flat_map(|one| &one.alpn_override).find(|protocol| {
        !matches!(protocol.as_str(), "http/1.0" | "http/1.1" | "h2") && !protocol.starts_with("istio")
    });
    match foreign {
        Some(protocol) => {
            Err(ConfigError::unsupported(format!("the ALPN {protocol:?}"))).field("alpn_override")
        }
        None => Ok(()),
    }
}

/// Looks into `istio.stats`. Customised metrics have no effect yet; a whole listener is too much to lose over that.
pub(super) fn check_stats(any: &Any) -> Result<()> {
    if any.type_url == STATS {
        let config: StatsConfig = decode(any)?;
        let customised = config.metrics.len() + config.definitions.len();
        if customised > 0 {
            tracing::warn!(
                customised,
                "istio.stats: customised metrics have no effect; the standard ones are kept"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    #[test]
    fn a_wrapped_type_is_looked_for_inside() {
        let wrapped = TypedStruct { type_url: PEER_METADATA.into() };
        for outer in TYPED_STRUCTS {
            let any = Any { type_url: outer.into(), value: wrapped.encode_to_vec() };
            assert_eq!(type_of(&any).unwrap(), PEER_METADATA);
        }
        assert_eq!(type_of(&Any { type_url: STATS.into(), value: vec![] }).unwrap(), STATS);
    }

    #[test]
    fn only_the_meshs_protocols_may_be_offered() {
        let with = |protocol: &str| {
            let one =
                AlpnOverride { upstream_protocol: 1, alpn_override: vec![protocol.into(), "istio".into()] };
            let value = AlpnConfig { alpn_override: vec![one] }.encode_to_vec();
            check_alpn(&Any { type_url: ALPN.into(), value })
        };
        assert!(with("istio-http/1.1").is_ok());
        assert_eq!(
            with("spdy/3").unwrap_err().to_string(),
            "alpn_override: the ALPN \"spdy/3\" is not supported by this proxy"
        );
    }
}
