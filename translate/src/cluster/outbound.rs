//! Clusters of services, seen from their clients: one per port, and one more per subset.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::networking::SimpleLb;
use model::config::MergedRule;
use model::{Endpoints, Mesh, Protocol, Registry, Resolution, Service, ServicePort};
use serde_json::json;
use xds::ResourceType;
use xds::names::ClusterName;

use super::{
    Upstream, as_downstream, http2, load_balancer, of_type, pool, proxy_protocol, set_http_options, tls,
};
use crate::context::Context;
use crate::endpoints::{self, Locality};
use crate::policy::Policy;
use crate::proto::{ads, cluster, duration};
use crate::resource::Resource;
use crate::wire;
use cluster::cluster::DiscoveryType;
use prost::Message;

/// Field number of `Cluster.metadata`.
const METADATA: u32 = 25;
/// Field number of `Cluster.load_assignment`.
const LOAD_ASSIGNMENT: u32 = 33;

/// What a cluster is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// For the proxy's own routes.
    Usual,
    /// For mutual TLS of others that passes through a gateway by its SNI, unopened (`AUTO_PASSTHROUGH`).
    ThroughGateway,
}

impl Shape {
    /// The name of a cluster.
    pub(crate) fn name(self, name: &ClusterName<'_>) -> String {
        match self {
            Self::Usual => name.to_string(),
            Self::ThroughGateway => name.sni(),
        }
    }

    /// The shapes that a service's clusters have for a proxy.
    pub(crate) fn of(context: &Context<'_>, service: &Service) -> &'static [Self] {
        if context.passes_by_sni && !service.external {
            &[Self::Usual, Self::ThroughGateway]
        } else {
            &[Self::Usual]
        }
    }
}

/// Names of all clusters that a service has or can have had: every port with every subset that any rule names.
pub(crate) fn names(mesh: &Mesh, service: &Service, subsets: &BTreeSet<String>) -> Vec<String> {
    let mut all = subsets.clone();
    for hosts in mesh.destination_rules.values() {
        for candidate in model::host_candidates(&service.key.host) {
            let rules = hosts.get(candidate.as_str()).into_iter().flat_map(|rules| rules.iter());
            all.extend(rules.flat_map(|rule| &rule.subsets).map(|subset| subset.name.clone()));
        }
    }
    all.insert(String::new());
    let names = |port: &ServicePort, subset: &String| {
        let name = ClusterName::outbound(port.number, subset, &service.key.host);
        [Shape::Usual, Shape::ThroughGateway].map(|shape| shape.name(&name))
    };
    service.ports.iter().flat_map(|port| all.iter().flat_map(move |subset| names(port, subset))).collect()
}

/// How the endpoints of a service are found, after a load balancer that wants the original destination.
pub(crate) fn discovery(service: &Service, policy: &Policy<'_>) -> DiscoveryType {
    let simple = policy.load_balancer.and_then(|settings| settings.simple);
    match service.resolution {
        _ if simple == Some(SimpleLb::Passthrough) => DiscoveryType::OriginalDst,
        Resolution::Endpoints => DiscoveryType::Eds,
        Resolution::Dns => DiscoveryType::StrictDns,
        Resolution::DnsRoundRobin => DiscoveryType::LogicalDns,
        // Without addresses, a name that is resolved by no one can only go where the app sent it.
        Resolution::Passthrough => DiscoveryType::OriginalDst,
    }
}

/// All clusters of a service.
pub(crate) fn outbound(context: &Context<'_>, service: &Arc<Service>) -> Vec<Arc<Resource>> {
    let rule = context.rule(service);
    let mut clusters = Vec::new();
    for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
        let subsets = rule.into_iter().flat_map(|rule| &rule.subsets).map(|subset| subset.name.as_str());
        for (number, subset) in std::iter::once("").chain(subsets).enumerate() {
            for shape in Shape::of(context, service) {
                clusters.push(remembered(context, service, port, rule, (number, subset, *shape)));
            }
        }
    }
    clusters
}

fn remembered(
    context: &Context<'_>,
    service: &Arc<Service>,
    port: &ServicePort,
    rule: Option<&Arc<MergedRule>>,
    (number, subset, shape): (usize, &str, Shape),
) -> Arc<Resource> {
    let name = ClusterName::outbound(port.number, subset, &service.key.host);
    let policy = Policy::of(&context.mesh.settings, rule.map(|rule| &**rule), subset, port.number);
    let kind = discovery(service, &policy);
    let endpoints = context.mesh.endpoints.get(&service.key);
    let mut inputs = context.inputs();
    inputs.object(service).optional(rule).word(port.number.into()).word(number as u64).word(shape as u64);
    let namespace_mode = context.mesh.mutual_tls(&service.key.namespace, &model::Labels::default()).mode;
    inputs.word(namespace_mode as u64);
    match kind {
        // Of the endpoints only their identities show.
        DiscoveryType::Eds => {
            for (namespace, account) in endpoints.into_iter().flat_map(|endpoints| endpoints.accounts.iter())
            {
                inputs.text(namespace).text(account);
            }
        }
        _ => {
            inputs.optional(endpoints);
        }
    }
    let locality = Locality::new(context, &policy);
    if matches!(kind, DiscoveryType::StrictDns | DiscoveryType::LogicalDns) {
        locality.add_to(&mut inputs);
    }
    context.memo.resource(ResourceType::Cluster, inputs, || {
        let rule = rule.map(|rule| &**rule);
        build(context, service, port, rule, (name, shape), endpoints.map(|known| &**known))
    })
}

fn build(
    context: &Context<'_>,
    service: &Service,
    port: &ServicePort,
    rule: Option<&MergedRule>,
    (name, shape): (ClusterName<'_>, Shape),
    endpoints: Option<&Endpoints>,
) -> Arc<Resource> {
    let settings = &context.mesh.settings;
    let policy = Policy::of(settings, rule, name.subset, port.number);
    let locality = Locality::new(context, &policy);
    let kind = discovery(service, &policy);
    let mut cluster = cluster::Cluster {
        name: shape.name(&name),
        alt_stat_name: format!("{};", shape.name(&name)),
        cluster_discovery_type: of_type(kind),
        common_lb_config: Some(cluster::cluster::CommonLbConfig::default()),
        ..Default::default()
    };
    let mut options = Upstream::default();
    if port.protocol.is_http2() {
        http2(&mut options);
    } else if port.protocol == Protocol::Auto && !context.is_gateway() {
        as_downstream(&mut options);
    }
    match kind {
        DiscoveryType::Eds => cluster.eds_cluster_config = Some(eds(shape.name(&name))),
        DiscoveryType::StrictDns | DiscoveryType::LogicalDns => {
            dns(context, &mut cluster);
        }
        _ => {}
    }
    pool::upgrade(settings, &policy, port.protocol.is_http(), &mut options);
    pool::apply(settings, &policy, &mut cluster, &mut options);
    if let Some(outlier) = policy.outlier {
        pool::eject(outlier, &mut cluster, &mut options);
    }
    load_balancer::apply(policy.load_balancer, &locality, &mut cluster);
    if shape == Shape::Usual {
        let selected = rule.is_some_and(|rule| rule.selects);
        let (protocol, sni) = (port.protocol, name.sni());
        let peer = tls::Peer { context: *context, service, endpoints, protocol, sni, selected };
        tls::apply(policy.tls, &peer, &mut cluster, &mut options);
        proxy_protocol::apply(policy.proxy_protocol, &mut cluster);
    }
    set_http_options(&mut cluster, options);
    let inline = cluster.cluster_discovery_type != of_type(DiscoveryType::OriginalDst)
        && matches!(kind, DiscoveryType::StrictDns | DiscoveryType::LogicalDns);
    let mut body = cluster.encode_to_vec();
    if inline {
        let target = endpoints::Target { service, port, rule, subset: name.subset, shape };
        wire::append(
            &mut body,
            LOAD_ASSIGNMENT,
            &endpoints::assignment(context, &target, endpoints, &locality),
        );
    }
    wire::append(&mut body, METADATA, &metadata(service, port, rule, name.subset));
    Resource::new(&cluster.name, body)
}

fn eds(name: String) -> cluster::cluster::EdsClusterConfig {
    cluster::cluster::EdsClusterConfig { eds_config: Some(ads()), service_name: name }
}

fn dns(context: &Context<'_>, cluster: &mut cluster::Cluster) {
    use cluster::cluster::DnsLookupFamily;
    cluster.dns_lookup_family =
        if context.view.ipv6 { DnsLookupFamily::V6Only } else { DnsLookupFamily::V4Only }.into();
    // These move into an extension of their own in newer Envoys, which still read them here.
    #[allow(deprecated)]
    {
        cluster.dns_refresh_rate = duration(context.mesh.settings.config.dns_refresh_rate());
        cluster.respect_dns_ttl = true;
    }
}

/// Where the cluster comes from, for telemetry and for people.
fn metadata(service: &Service, port: &ServicePort, rule: Option<&MergedRule>, subset: &str) -> Vec<u8> {
    let key = &service.key;
    let mut istio = json!({
        "services": [{"host": &*key.host, "name": &*service.name, "namespace": &*key.namespace}],
        "default_original_port": port.number,
    });
    if service.registry == Registry::ServiceEntry && service.external {
        istio["external"] = true.into();
    }
    if let Some(source) = rule.and_then(|rule| rule.sources.first()) {
        istio["config"] = crate::origin::path("destination-rule", source).into();
    }
    if !subset.is_empty() {
        istio["subset"] = subset.into();
    }
    wire::metadata(&[("istio", istio)])
}
