//! Endpoints of a cluster, with what a client needs to know about each: whether it takes mutual TLS, and who it is.

mod locality;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::config::{MergedRule, MutualTlsMode};
use model::{
    Address, Endpoint, Endpoints, Labels, Protocol, Resolution, Service, ServicePort, TargetPort, Workload,
};
use prost::Message;
use serde_json::json;
use xds::ResourceType;
use xds::names::ClusterName;

use crate::cluster::{Shape, discovery};
use crate::context::Context;
use crate::memo::Inputs;
use crate::policy::Policy;
use crate::proto::{address, cluster, core, endpoint, named_address, pipe, uint32};
use crate::resource::Resource;
use crate::wire;
use locality::Group;
pub(crate) use locality::Locality;

/// Which endpoints are meant.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) service: &'a Service,
    pub(crate) port: &'a ServicePort,
    pub(crate) rule: Option<&'a MergedRule>,
    pub(crate) subset: &'a str,
    pub(crate) shape: Shape,
}

impl Target<'_> {
    fn cluster(&self) -> String {
        self.shape.name(&ClusterName::outbound(self.port.number, self.subset, &self.service.key.host))
    }
}

/// One endpoint, ready to be written.
#[derive(Clone)]
struct Item<'a> {
    address: &'a Address,
    port: u16,
    weight: u32,
    mutual_tls: bool,
    workload: Option<&'a Workload>,
    locality: &'a model::Locality,
}

/// Endpoints of all clusters of a service that are discovered.
pub(crate) fn outbound(context: &Context<'_>, service: &Arc<Service>) -> Vec<Arc<Resource>> {
    let rule = context.rule(service);
    let settings = &context.mesh.settings;
    let mut all = Vec::new();
    for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
        let subsets = rule.into_iter().flat_map(|rule| &rule.subsets).map(|subset| subset.name.as_str());
        for (number, subset) in std::iter::once("").chain(subsets).enumerate() {
            let policy = Policy::of(settings, rule.map(|rule| &**rule), subset, port.number);
            if discovery(service, &policy) == cluster::cluster::DiscoveryType::Eds {
                for shape in Shape::of(context, service) {
                    let target =
                        Target { service, port, rule: rule.map(|rule| &**rule), subset, shape: *shape };
                    all.push(remembered(context, service, rule, target, (number, &policy)));
                }
            }
        }
    }
    all
}

fn remembered(
    context: &Context<'_>,
    service: &Arc<Service>,
    rule: Option<&Arc<MergedRule>>,
    target: Target<'_>,
    (number, policy): (usize, &Policy<'_>),
) -> Arc<Resource> {
    let endpoints = context.mesh.endpoints.get(&service.key);
    let locality = Locality::new(context, policy);
    let mut inputs = Inputs::default();
    inputs.object(service).optional(endpoints).text(&context.mesh.cluster_id);
    inputs.word(target.port.number.into()).word(number as u64).word(target.shape as u64);
    // The rule matters for its subset's labels and for its locality settings only, but those are part of it.
    inputs.optional(rule.filter(|_| number > 0 || locality.applies()));
    locality.add_to(&mut inputs);
    exceptions(context, service, &mut inputs);
    context.memo.resource(ResourceType::Endpoints, inputs, || {
        Resource::new(
            &target.cluster(),
            assignment(context, &target, endpoints.map(|known| &**known), &locality),
        )
    })
}

/// Policies that switch mutual TLS off for some of a service's workloads. Usually there are none, and then no
/// policy matters here.
fn exceptions(context: &Context<'_>, service: &Service, inputs: &mut Inputs) {
    let mesh = context.mesh;
    let root = &mesh.settings.root_namespace;
    let policies = [root, &service.key.namespace].map(|namespace| mesh.peer_authentications.get(namespace));
    let off = |mode: &Option<MutualTlsMode>| *mode == Some(MutualTlsMode::Disable);
    let all = || policies.iter().flatten().flat_map(|list| list.iter());
    if all().any(|policy| off(&policy.mode) || policy.ports.values().any(off)) {
        for policy in all() {
            inputs.object(policy);
        }
    }
}

/// Encodes a `ClusterLoadAssignment`.
pub(crate) fn assignment(
    context: &Context<'_>,
    target: &Target<'_>,
    endpoints: Option<&Endpoints>,
    locality: &Locality<'_>,
) -> Vec<u8> {
    let name = target.cluster();
    let own_name = Address::Name(target.service.key.host.clone());
    let nowhere = model::Locality::default();
    let mut items = items(context, target, endpoints);
    if endpoints.is_none() && is_resolved_by_client(target.service) {
        items.push(Item {
            address: &own_name,
            port: target_number(target.port),
            weight: 1,
            mutual_tls: false,
            workload: None,
            locality: &nowhere,
        });
    }
    let mut body = Vec::new();
    wire::append(&mut body, 1, name.as_bytes());
    for group in locality.arrange(by_locality(items)) {
        wire::append(&mut body, 2, &encode_group(context, &group));
    }
    body
}

fn is_resolved_by_client(service: &Service) -> bool {
    matches!(service.resolution, Resolution::Dns | Resolution::DnsRoundRobin)
}

fn target_number(port: &ServicePort) -> u16 {
    match port.target {
        TargetPort::Number(number) => number,
        TargetPort::Name(_) => port.number,
    }
}

fn items<'a>(context: &Context<'_>, target: &Target<'a>, endpoints: Option<&'a Endpoints>) -> Vec<Item<'a>> {
    let selector = target
        .rule
        .and_then(|rule| rule.subset(target.subset))
        .map_or_else(Labels::default, |subset| Labels::new(&subset.labels));
    let all = endpoints.into_iter().flat_map(|known| known.on_port(&target.port.name));
    let resolution = target.service.resolution;
    all.filter(|(endpoint, _)| {
        let selected = selector.is_empty()
            || endpoint.workload.as_ref().is_some_and(|workload| workload.labels.satisfy(&selector));
        selected && is_usable(&endpoint.address, resolution)
    })
    .take(if resolution == Resolution::DnsRoundRobin { 1 } else { usize::MAX })
    .map(|(endpoint, port)| Item {
        address: &endpoint.address,
        port,
        weight: endpoint.weight.max(1),
        mutual_tls: takes_mutual_tls(context, target.service, endpoint, port),
        workload: endpoint.workload.as_deref(),
        locality: &endpoint.locality,
    })
    // What passes unopened must end at a proxy that verifies it.
    .filter(|item| target.shape == Shape::Usual || item.mutual_tls)
    .collect()
}

/// Envoy refuses a whole cluster for an endpoint that does not fit its kind: discovered endpoints are addresses, resolved
/// ones are names or addresses, and round robin over DNS has only one.
fn is_usable(address: &Address, resolution: Resolution) -> bool {
    match address {
        Address::Ip(_) => true,
        Address::Name(_) => matches!(resolution, Resolution::Dns | Resolution::DnsRoundRobin),
        Address::Unix(_) => resolution == Resolution::Endpoints,
    }
}

/// An endpoint in the mesh takes mutual TLS unless a policy switches it off for that port.
fn takes_mutual_tls(context: &Context<'_>, service: &Service, endpoint: &Endpoint, port: u16) -> bool {
    endpoint.workload.as_ref().is_some_and(|workload| {
        workload.mutual_tls
            && context.mesh.mutual_tls(&service.key.namespace, &workload.labels).of_port(port)
                != MutualTlsMode::Disable
    })
}

fn by_locality(items: Vec<Item<'_>>) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<&model::Locality, Vec<Item<'_>>> = BTreeMap::new();
    for item in items {
        groups.entry(item.locality).or_default().push(item);
    }
    groups.into_iter().map(|(locality, items)| Group::new(locality, items)).collect()
}

fn encode_group(context: &Context<'_>, group: &Group<'_>) -> Vec<u8> {
    let frame = endpoint::LocalityLbEndpoints {
        locality: (!group.locality.is_empty()).then(|| core::Locality {
            region: group.locality.region.to_string(),
            zone: group.locality.zone.to_string(),
            sub_zone: group.locality.subzone.to_string(),
        }),
        load_balancing_weight: uint32(group.weight),
        priority: group.priority,
        ..Default::default()
    };
    let mut body = frame.encode_to_vec();
    for item in &group.items {
        wire::append(&mut body, 2, &encode_item(context, item));
    }
    body
}

fn encode_item(context: &Context<'_>, item: &Item<'_>) -> Vec<u8> {
    let address = match item.address {
        Address::Ip(ip) => address(*ip, item.port),
        Address::Name(name) => named_address(name, item.port),
        Address::Unix(path) => pipe(path),
    };
    let host = endpoint::Endpoint { address: Some(address), ..Default::default() };
    let frame = endpoint::LbEndpoint {
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(host)),
        load_balancing_weight: uint32(item.weight),
        ..Default::default()
    };
    let mut body = frame.encode_to_vec();
    let Some(workload) = item.workload else { return body };
    let mut filters = vec![("istio", json!({"workload": telemetry(workload, &context.mesh.cluster_id)}))];
    if item.mutual_tls {
        filters.push(("envoy.transport_socket_match", json!({"tlsMode": "istio"})));
    }
    wire::append(&mut body, 3, &wire::metadata(&filters));
    body
}

/// `workload;namespace;canonical name;canonical revision;cluster`, by which a client's metrics name the server.
fn telemetry(workload: &Workload, cluster: &str) -> String {
    // The default revision goes without saying.
    let revision = if &*workload.canonical_revision == "latest" { "" } else { &workload.canonical_revision };
    let Workload { name, instance, canonical_name, .. } = workload;
    format!("{name};{};{canonical_name};{revision};{cluster}", instance.namespace)
}
