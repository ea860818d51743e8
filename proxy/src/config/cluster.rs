//! Clusters.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3 as pb;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::google::protobuf as wkt;

use super::error::{At as _, ConfigError, Result};
use super::value::{ip, metadata, number, optional_duration, text_in};
use super::{announced, balancing, cluster_http, discovery, endpoint, health, istio, tls};
use crate::snapshot::cluster::{
    Cluster, ClusterConfig, ClusterOrigin, Discovery, Endpoints, Registry, ServiceRef, TcpKeepalive,
    Transport, Transports,
};

/// A compiled Cluster and the resources that it names.
#[derive(Debug)]
pub struct CompiledCluster {
    /// The cluster, with the endpoints that are written in it.
    pub cluster: Cluster,
    /// The assignment that its endpoints come from (EDS).
    pub assignment: Option<Arc<str>>,
    /// Secrets that it needs.
    pub secrets: BTreeSet<Arc<str>>,
}

/// Compiles a Cluster. It keeps what traffic has made of the one of its name.
pub fn cluster(value: &pb::Cluster, registry: &Registry) -> Result<CompiledCluster> {
    refuse_unsupported(value)?;
    let config = ClusterConfig {
        discovery: discovery::discovery(value)?,
        balancing: balancing::balancing(value)?,
        connect_timeout: optional_duration("connect_timeout", value.connect_timeout.as_ref())?
            .unwrap_or(Duration::from_secs(5)),
        limits: health::limits(value.circuit_breakers.as_ref()),
        outlier: value
            .outlier_detection
            .as_ref()
            .map(|detection| health::outlier(detection, cluster_http::error_codes(value)?))
            .transpose()
            .field("outlier_detection")?,
        http: cluster_http::options(value)?,
        transports: transports(value)?,
        bind: bind(value.upstream_bind_config.as_ref()).field("upstream_bind_config")?,
        tcp_keepalive: value
            .upstream_connection_options
            .as_ref()
            .and_then(|options| options.tcp_keepalive.as_ref())
            .map(keepalive),
        origin: origin(value.metadata.as_ref()),
        stat_name: (!value.alt_stat_name.is_empty()).then(|| value.alt_stat_name.as_str().into()),
    };
    let assignment = match &config.discovery {
        Discovery::Eds(name) => Some(name.clone()),
        _ => None,
    };
    let secrets = secret_names(&config.transports);
    let is_static = matches!(config.discovery, Discovery::Static);
    let mut cluster = Cluster::new(value.name.as_str(), config, Arc::default(), registry);
    if is_static {
        cluster = cluster.with_endpoints(Arc::new(static_endpoints(value, &cluster)?));
    }
    Ok(CompiledCluster { cluster, assignment, secrets })
}

fn refuse_unsupported(value: &pb::Cluster) -> Result<()> {
    let fields = [
        ("transport_socket_matcher", value.transport_socket_matcher.is_some()),
        ("lb_subset_config", value.lb_subset_config.is_some()),
        ("health_checks", !value.health_checks.is_empty()),
        ("load_balancing_policy", value.load_balancing_policy.is_some()),
        ("upstream_config", value.upstream_config.is_some()),
    ];
    if let Some((field, _)) = fields.into_iter().find(|(_, set)| *set) {
        return Err(ConfigError::unsupported(field));
    }
    for (index, filter) in value.filters.iter().enumerate() {
        let type_url = filter.typed_config.as_ref().map(istio::type_of).transpose()?.unwrap_or_default();
        if type_url != istio::TCP_METADATA_EXCHANGE {
            let error = ConfigError::unknown_extension("upstream network filter", &filter.name, &type_url);
            return Err(error).entry("filters", index);
        }
    }
    Ok(())
}

fn static_endpoints(value: &pb::Cluster, cluster: &Cluster) -> Result<Endpoints> {
    match &value.load_assignment {
        Some(assignment) => endpoint::endpoints(assignment, &cluster.state).field("load_assignment"),
        None => Ok(Endpoints::default()),
    }
}

fn transports(value: &pb::Cluster) -> Result<Transports> {
    let mut announce = None;
    let mut socket = |socket: Option<&core::TransportSocket>| {
        let (inner, version) = announced::unwrapped(socket)?;
        announce = announce.or(version);
        tls::upstream(inner.as_ref())
    };
    let mut matches = Vec::new();
    for (index, one) in value.transport_socket_matches.iter().enumerate() {
        let criteria = one.r#match.as_ref().map(endpoint::criteria).unwrap_or_default();
        let transport = socket(one.transport_socket.as_ref()).field("transport_socket");
        matches.push((criteria, transport.entry("transport_socket_matches", index)?));
    }
    let default = socket(value.transport_socket.as_ref()).field("transport_socket")?;
    Ok(Transports { matches, default, announce })
}

fn secret_names(transports: &Transports) -> BTreeSet<Arc<str>> {
    let all = transports.matches.iter().map(|(_, transport)| transport).chain([&transports.default]);
    let tls = all.filter_map(|transport| match transport {
        Transport::Tls(tls) => Some(tls),
        Transport::Raw => None,
    });
    tls.flat_map(|tls| tls.certificate.iter().chain(&tls.roots).cloned()).collect()
}

fn bind(value: Option<&core::BindConfig>) -> Result<Option<IpAddr>> {
    match value.and_then(|bind| bind.source_address.as_ref()) {
        Some(source) => ip(&source.address).map(Some).field("source_address"),
        None => Ok(None),
    }
}

fn keepalive(value: &core::TcpKeepalive) -> TcpKeepalive {
    let seconds = |value: Option<&wkt::UInt32Value>| {
        number(value).map(|seconds| Duration::from_secs(u64::from(seconds)))
    };
    TcpKeepalive {
        probes: number(value.keepalive_probes.as_ref()),
        time: seconds(value.keepalive_time.as_ref()),
        interval: seconds(value.keepalive_interval.as_ref()),
    }
}

/// Which objects of the user's a cluster comes from, as istiod writes it into the metadata.
fn origin(value: Option<&core::Metadata>) -> ClusterOrigin {
    use wkt::value::Kind;
    let Some(istio) = metadata(value, "istio") else { return ClusterOrigin::default() };
    let kind = |key: &str| istio.fields.get(key).and_then(|value| value.kind.as_ref());
    let services = match kind("services") {
        Some(Kind::ListValue(list)) => list.values.iter().filter_map(service).collect(),
        _ => Vec::new(),
    };
    let port = match kind("default_original_port") {
        Some(Kind::NumberValue(port)) if (1.0..=65535.0).contains(port) => Some(*port as u16),
        _ => None,
    };
    ClusterOrigin {
        config: text_in(istio, "config").map(Into::into),
        services,
        subset: text_in(istio, "subset").map(Into::into),
        default_original_port: port,
        external: ["external", "disable_mx"]
            .iter()
            .any(|key| matches!(kind(key), Some(Kind::BoolValue(true)))),
    }
}

fn service(value: &wkt::Value) -> Option<ServiceRef> {
    let Some(wkt::value::Kind::StructValue(fields)) = &value.kind else { return None };
    let text = |key| text_in(fields, key).unwrap_or_default().into();
    Some(ServiceRef { host: text("host"), name: text("name"), namespace: text("namespace") })
}
