//! ClusterLoadAssignments to endpoints.

use std::collections::HashSet;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3 as pb;
use envoy_types::pb::google::protobuf as wkt;

use super::error::{At as _, ConfigError, Result};
use super::value::{enumeration, metadata, number, place, text_in};
use crate::snapshot::cluster::{
    ClusterState, Endpoint, EndpointMetadata, Endpoints, Health, Locality, LocalityEndpoints, Priority,
    Workload,
};

/// A priority beyond this is a mistake, and would cost memory.
const MAX_PRIORITY: u32 = 127;

/// Compiles an assignment for the cluster with this state. Endpoints keep what traffic has made of them.
pub fn endpoints(value: &pb::ClusterLoadAssignment, state: &ClusterState) -> Result<Endpoints> {
    let factor = value.policy.as_ref().and_then(|policy| number(policy.overprovisioning_factor.as_ref()));
    let mut endpoints = Endpoints { overprovisioning: factor.unwrap_or(140), ..Endpoints::default() };
    let mut shared = Shared::default();
    for (index, group) in value.endpoints.iter().enumerate() {
        let priority = group.priority as usize;
        if group.priority > MAX_PRIORITY {
            let problem = format!("priority {priority} is above {MAX_PRIORITY}");
            return Err(ConfigError::new(problem)).entry("endpoints", index);
        }
        if endpoints.priorities.len() <= priority {
            endpoints.priorities.resize_with(priority + 1, Priority::default);
        }
        let compiled = locality_endpoints(group, state, &mut shared).entry("endpoints", index)?;
        endpoints.priorities[priority].localities.push(compiled);
    }
    Ok(endpoints)
}

/// Metadata that endpoints have in common is kept once.
#[derive(Default)]
struct Shared(HashSet<Arc<EndpointMetadata>>);

impl Shared {
    fn one(&mut self, metadata: EndpointMetadata) -> Arc<EndpointMetadata> {
        if let Some(known) = self.0.get(&metadata) {
            return known.clone();
        }
        let new = Arc::new(metadata);
        self.0.insert(new.clone());
        new
    }
}

fn locality_endpoints(
    group: &pb::LocalityLbEndpoints,
    state: &ClusterState,
    shared: &mut Shared,
) -> Result<LocalityEndpoints> {
    if group.lb_config.is_some() {
        return Err(ConfigError::unsupported("lb_config"));
    }
    let mut compiled = Vec::with_capacity(group.lb_endpoints.len());
    for (index, one) in group.lb_endpoints.iter().enumerate() {
        compiled.push(Arc::new(endpoint(one, state, shared).entry("lb_endpoints", index)?));
    }
    Ok(LocalityEndpoints {
        locality: Arc::new(locality(group.locality.as_ref())),
        weight: number(group.load_balancing_weight.as_ref()).unwrap_or(0),
        endpoints: compiled,
    })
}

fn endpoint(value: &pb::LbEndpoint, state: &ClusterState, shared: &mut Shared) -> Result<Endpoint> {
    use pb::lb_endpoint::HostIdentifier;
    let inner = match &value.host_identifier {
        Some(HostIdentifier::Endpoint(inner)) => inner,
        Some(HostIdentifier::EndpointName(_)) => return Err(ConfigError::unsupported("endpoint_name")),
        None => return Err(ConfigError::new("an endpoint is required")),
    };
    let place = place(inner.address.as_ref()).field("endpoint.address")?;
    Ok(Endpoint {
        weight: number(value.load_balancing_weight.as_ref()).unwrap_or(1).max(1),
        health: health(value.health_status).field("health_status")?,
        hostname: (!inner.hostname.is_empty()).then(|| inner.hostname.as_str().into()),
        metadata: shared.one(endpoint_metadata(value.metadata.as_ref())),
        state: state.endpoint_at(place),
    })
}

fn health(value: i32) -> Result<Health> {
    use core::HealthStatus as Pb;
    Ok(match enumeration(value)? {
        Pb::Unknown | Pb::Healthy => Health::Healthy,
        Pb::Degraded => Health::Degraded,
        Pb::Unhealthy | Pb::Timeout => Health::Unhealthy,
        Pb::Draining => Health::Draining,
    })
}

/// A place; what isn't known of it is empty.
pub(super) fn locality(value: Option<&core::Locality>) -> Locality {
    value.map_or_else(Locality::default, |place| Locality {
        region: place.region.as_str().into(),
        zone: place.zone.as_str().into(),
        sub_zone: place.sub_zone.as_str().into(),
    })
}

/// What the control plane says of an endpoint.
pub(super) fn endpoint_metadata(value: Option<&core::Metadata>) -> EndpointMetadata {
    let text = |owner, key| metadata(value, owner).and_then(|fields| text_in(fields, key));
    EndpointMetadata {
        workload: text("istio", "workload").map(Workload::parse),
        transport_match: metadata(value, "envoy.transport_socket_match").map(criteria).unwrap_or_default(),
        hash_key: text("envoy.lb", "hash_key").map(Into::into),
    }
}

/// Texts in a struct, in a fixed order.
pub(super) fn criteria(value: &wkt::Struct) -> Vec<(Box<str>, Box<str>)> {
    let texts =
        value.fields.keys().filter_map(|key| Some((key.as_str().into(), text_in(value, key)?.into())));
    let mut all: Vec<(Box<str>, Box<str>)> = texts.collect();
    all.sort();
    all
}

/// Endpoints that are written in a cluster as names for DNS: each with its group.
pub(super) fn named(
    value: &pb::ClusterLoadAssignment,
) -> Result<Vec<(&pb::LocalityLbEndpoints, &pb::LbEndpoint, &core::SocketAddress)>> {
    let mut all = Vec::new();
    for (index, group) in value.endpoints.iter().enumerate() {
        for (position, one) in group.lb_endpoints.iter().enumerate() {
            let address = name_and_port(one).entry("lb_endpoints", position).entry("endpoints", index)?;
            all.push((group, one, address));
        }
    }
    Ok(all)
}

fn name_and_port(value: &pb::LbEndpoint) -> Result<&core::SocketAddress> {
    use core::address::Address;
    use pb::lb_endpoint::HostIdentifier;
    let inner = match &value.host_identifier {
        Some(HostIdentifier::Endpoint(inner)) => inner.address.as_ref(),
        _ => None,
    };
    match inner.and_then(|address| address.address.as_ref()) {
        Some(Address::SocketAddress(address)) => Ok(address),
        _ => Err(ConfigError::new("a name and port are required")),
    }
}
