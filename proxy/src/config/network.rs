//! The network filters of a chain: an HTTP connection manager or a TCP proxy at the end, Istio's own before it.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::listener::v3 as pb;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3 as tcp_pb;
use envoy_types::pb::google::protobuf::Any;

use super::error::{At as _, ConfigError, Result, each};
use super::value::{decode, number, optional_duration, timeout};
use super::{access_log, http, istio};
use crate::snapshot::listener::Network;
use crate::snapshot::route::Weighted;
use crate::snapshot::tcp::TcpProxy;

const HTTP: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const TCP: &str = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

/// Compiles the filters of a chain.
pub(super) fn network(filters: &[pb::Filter]) -> Result<Network> {
    let Some((last, before)) = filters.split_last() else {
        return Err(ConfigError::new("filters: a chain needs a filter that ends it"));
    };
    for (index, filter) in before.iter().enumerate() {
        passing(filter).entry("filters", index)?;
    }
    let (type_url, any) = typed(last).entry("filters", before.len())?;
    let end = match type_url.as_str() {
        HTTP => decode(any)
            .and_then(|value| http::manager(&value))
            .map(|manager| Network::Http(Arc::new(manager))),
        TCP => decode(any).and_then(|value| tcp(&value)).map(|proxy| Network::Tcp(Arc::new(proxy))),
        unknown => Err(ConfigError::unknown_extension("network filter", &last.name, unknown)),
    };
    end.entry("filters", before.len())
}

/// A filter that lets bytes through.
fn passing(filter: &pb::Filter) -> Result<()> {
    let (type_url, any) = typed(filter)?;
    match type_url.as_str() {
        istio::STATS => istio::check_stats(any),
        // Peers of ours tell who they are by their certificates and endpoints' metadata.
        istio::TCP_METADATA_EXCHANGE | istio::AUTHN => Ok(()),
        unknown => Err(ConfigError::unknown_extension("network filter", &filter.name, unknown)),
    }
}

fn typed(filter: &pb::Filter) -> Result<(String, &Any)> {
    use pb::filter::ConfigType;
    match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => Ok((istio::type_of(any)?, any)),
        Some(ConfigType::ConfigDiscovery(_)) => {
            Err(ConfigError::unsupported(format!("discovery of the network filter {:?} (ECDS)", filter.name)))
        }
        None => Err(ConfigError::new(format!("the network filter {:?} has no typed_config", filter.name))),
    }
}

fn tcp(value: &tcp_pb::TcpProxy) -> Result<TcpProxy> {
    let unsupported = [
        ("tunneling_config", value.tunneling_config.is_some()),
        ("metadata_match", value.metadata_match.is_some()),
        ("on_demand", value.on_demand.is_some()),
    ];
    if let Some((field, _)) = unsupported.into_iter().find(|(_, set)| *set) {
        return Err(ConfigError::unsupported(field));
    }
    Ok(TcpProxy {
        stat_prefix: value.stat_prefix.as_str().into(),
        clusters: clusters(value)?,
        idle_timeout: timeout("idle_timeout", value.idle_timeout.as_ref(), Some(Duration::from_hours(1)))?,
        max_duration: optional_duration(
            "max_downstream_connection_duration",
            value.max_downstream_connection_duration.as_ref(),
        )?,
        connect_attempts: number(value.max_connect_attempts.as_ref()).unwrap_or(1).max(1),
        hash_source_ip: hashes_source_ip(value)?,
        access_logs: each("access_log", &value.access_log, access_log::access_log)?,
        istio_stats: true,
    })
}

fn clusters(value: &tcp_pb::TcpProxy) -> Result<Weighted<Arc<str>>> {
    use tcp_pb::tcp_proxy::ClusterSpecifier;
    match &value.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => Ok(Weighted::single(name.as_str().into())),
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            let entries =
                weighted.clusters.iter().map(|entry| (entry.weight, entry.name.as_str().into())).collect();
            Weighted::new(entries).ok_or_else(|| {
                ConfigError::new("weighted_clusters: the weights must add up to 1 to 4294967295")
            })
        }
        None => Err(ConfigError::new("a cluster is required")),
    }
}

fn hashes_source_ip(value: &tcp_pb::TcpProxy) -> Result<bool> {
    use envoy_types::pb::envoy::r#type::v3::hash_policy::PolicySpecifier;
    match value.hash_policy.first().and_then(|policy| policy.policy_specifier.as_ref()) {
        None => Ok(false),
        Some(PolicySpecifier::SourceIp(_)) => Ok(true),
        Some(_) => {
            Err(ConfigError::unsupported("hashing by anything but the client's address")).field("hash_policy")
        }
    }
}
