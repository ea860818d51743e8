//! Where a cluster's endpoints come from.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3 as pb;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3 as endpoint_pb;

use super::endpoint::{endpoint_metadata, locality, named};
use super::error::{At as _, ConfigError, Result};
use super::matcher::header_name;
use super::value::{enumeration, number, optional_duration, port, port_of};
use crate::snapshot::cluster::{Discovery, Dns, DnsFamily, DnsTarget, OriginalDst};

const DEFAULT_REFRESH: Duration = Duration::from_secs(5);
const ORIGINAL_DST_HEADER: &str = "x-envoy-original-dst-host";

/// Compiles a cluster's kind of discovery.
pub(super) fn discovery(value: &pb::Cluster) -> Result<Discovery> {
    use pb::cluster::{ClusterDiscoveryType, DiscoveryType as Pb};
    let kind = match &value.cluster_discovery_type {
        None => Pb::Static,
        Some(ClusterDiscoveryType::Type(kind)) => enumeration(*kind).field("type")?,
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            let type_url = custom.typed_config.as_ref().map_or("", |any| any.type_url.as_str());
            return Err(ConfigError::unknown_extension("cluster type", &custom.name, type_url));
        }
    };
    Ok(match kind {
        Pb::Static => Discovery::Static,
        Pb::Eds => Discovery::Eds(assignment_name(value).into()),
        Pb::StrictDns => Discovery::Dns(Arc::new(dns(value, true)?)),
        Pb::LogicalDns => Discovery::Dns(Arc::new(dns(value, false)?)),
        Pb::OriginalDst => Discovery::OriginalDst(original_dst(value)?),
    })
}

fn assignment_name(value: &pb::Cluster) -> &str {
    let configured = value.eds_cluster_config.as_ref().map_or("", |config| config.service_name.as_str());
    if configured.is_empty() { &value.name } else { configured }
}

fn original_dst(value: &pb::Cluster) -> Result<OriginalDst> {
    let Some(pb::cluster::LbConfig::OriginalDstLbConfig(config)) = &value.lb_config else {
        return Ok(OriginalDst::default());
    };
    if config.metadata_key.is_some() {
        return Err(ConfigError::unsupported("original_dst_lb_config.metadata_key"));
    }
    let name =
        if config.http_header_name.is_empty() { ORIGINAL_DST_HEADER } else { &config.http_header_name };
    let port = number(config.upstream_port_override.as_ref()).map(port).transpose();
    Ok(OriginalDst {
        header: config.use_http_header.then(|| header_name(name)).transpose()?,
        port: port.field("original_dst_lb_config.upstream_port_override")?,
    })
}

fn dns(value: &pb::Cluster, strict: bool) -> Result<Dns> {
    let assignment = value
        .load_assignment
        .as_ref()
        .ok_or_else(|| ConfigError::new("load_assignment: names to resolve are required"))?;
    let mut targets = Vec::new();
    for (group, one, address) in named(assignment).field("load_assignment")? {
        targets.push(target(group, one, address)?);
    }
    if !strict && targets.len() != 1 {
        return Err(ConfigError::new("load_assignment: a LOGICAL_DNS cluster has exactly one name"));
    }
    let refresh =
        optional_duration("dns_refresh_rate", value.dns_refresh_rate.as_ref())?.unwrap_or(DEFAULT_REFRESH);
    let factor =
        assignment.policy.as_ref().and_then(|policy| number(policy.overprovisioning_factor.as_ref()));
    Ok(Dns {
        strict,
        // Resolving without a pause would be an attack on the resolver.
        refresh: refresh.max(Duration::from_millis(100)),
        respect_ttl: value.respect_dns_ttl,
        failure_refresh: failure_refresh(value, refresh)?,
        family: family(value.dns_lookup_family)?,
        targets,
        overprovisioning: factor.unwrap_or(140),
    })
}

fn failure_refresh(value: &pb::Cluster, refresh: Duration) -> Result<(Duration, Duration)> {
    let Some(rate) = &value.dns_failure_refresh_rate else { return Ok((refresh, refresh)) };
    let base = optional_duration("dns_failure_refresh_rate.base_interval", rate.base_interval.as_ref())?;
    let longest = optional_duration("dns_failure_refresh_rate.max_interval", rate.max_interval.as_ref())?;
    let base = base.unwrap_or(refresh).max(Duration::from_millis(100));
    Ok((base, longest.unwrap_or(base * 10).max(base)))
}

fn family(value: i32) -> Result<DnsFamily> {
    use pb::cluster::DnsLookupFamily as Pb;
    Ok(match enumeration(value).field("dns_lookup_family")? {
        Pb::Auto => DnsFamily::Auto,
        Pb::V4Only => DnsFamily::V4Only,
        Pb::V6Only => DnsFamily::V6Only,
        Pb::V4Preferred => DnsFamily::V4Preferred,
        Pb::All => DnsFamily::All,
    })
}

fn target(
    group: &endpoint_pb::LocalityLbEndpoints,
    one: &endpoint_pb::LbEndpoint,
    address: &core::SocketAddress,
) -> Result<DnsTarget> {
    Ok(DnsTarget {
        host: address.address.as_str().into(),
        port: port_of(address).field("load_assignment")?,
        priority: group.priority,
        locality: Arc::new(locality(group.locality.as_ref())),
        locality_weight: number(group.load_balancing_weight.as_ref()).unwrap_or(0),
        weight: number(one.load_balancing_weight.as_ref()).unwrap_or(1).max(1),
        metadata: Arc::new(endpoint_metadata(one.metadata.as_ref())),
    })
}
