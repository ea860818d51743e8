//! Clusters: how to reach each destination.

mod builtin;
mod inbound;
mod load_balancer;
mod outbound;
mod pool;
mod proxy_protocol;
pub(crate) mod tls;

pub(crate) use builtin::builtin;
pub(crate) use inbound::inbound;
pub(crate) use outbound::{Shape, discovery, names, outbound};

use crate::proto::{any, cluster, core, upstream_http};

/// Key under which Envoy looks for HTTP options of a cluster.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

type Upstream = upstream_http::HttpProtocolOptions;
use upstream_http::http_protocol_options as http_options;

/// HTTP/2 by prior knowledge.
fn http2(options: &mut Upstream) {
    options.upstream_protocol_options =
        Some(http_options::UpstreamProtocolOptions::ExplicitHttpConfig(http_options::ExplicitHttpConfig {
            protocol_config: Some(http_options::explicit_http_config::ProtocolConfig::Http2ProtocolOptions(
                core::Http2ProtocolOptions::default(),
            )),
        }));
}

/// Whatever the client speaks.
fn as_downstream(options: &mut Upstream) {
    options.upstream_protocol_options =
        Some(http_options::UpstreamProtocolOptions::UseDownstreamProtocolConfig(
            http_options::UseDownstreamHttpConfig {
                http_protocol_options: Some(core::Http1ProtocolOptions::default()),
                http2_protocol_options: Some(core::Http2ProtocolOptions::default()),
                ..Default::default()
            },
        ));
}

/// Puts the options into the cluster. Options without a protocol mean HTTP/1.1.
fn set_http_options(cluster: &mut cluster::Cluster, mut options: Upstream) {
    if options == Upstream::default() {
        return;
    }
    if options.upstream_protocol_options.is_none() {
        options.upstream_protocol_options = Some(http_options::UpstreamProtocolOptions::ExplicitHttpConfig(
            http_options::ExplicitHttpConfig {
                protocol_config: Some(
                    http_options::explicit_http_config::ProtocolConfig::HttpProtocolOptions(
                        core::Http1ProtocolOptions::default(),
                    ),
                ),
            },
        ));
    }
    cluster.typed_extension_protocol_options.insert(HTTP_OPTIONS.to_owned(), any(&options));
}

/// A discovery type that needs no further settings.
#[expect(clippy::unnecessary_wraps, reason = "it fills a field, and prost's message fields are options")]
fn of_type(kind: cluster::cluster::DiscoveryType) -> Option<cluster::cluster::ClusterDiscoveryType> {
    Some(cluster::cluster::ClusterDiscoveryType::Type(kind.into()))
}
