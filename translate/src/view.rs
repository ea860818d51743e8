//! What one proxy's resources depend on. Proxies with equal views share every resource, so a view holds nothing
//! that is one proxy's alone: no address, no pod name, and of the labels only those that some selector asks for.

use std::sync::Arc;

use crds::mesh_config::{ForwardClientCertDetails, ProxyConfig};
use ipnet::IpNet;
use model::{
    Labels, Locality, Mesh, NamespacedName, Protocol, Service, TargetPort, Text, Workload, intern, is_single,
};
use xds::names::Role;

use crate::node::{Client, Interception, ProxyNode};

/// One port of the workload behind the proxy, as a service knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceTarget {
    /// The workload's port.
    pub target_port: u16,
    /// Age of the service: the oldest decides what a port speaks.
    pub created: i64,
    /// Host of the service.
    pub host: Text,
    /// Name of the service.
    pub service: Text,
    /// Namespace of the service.
    pub namespace: Text,
    /// The service's port.
    pub port: u16,
    /// Name of the service's port.
    pub port_name: Text,
    /// What it speaks.
    pub protocol: Protocol,
}

/// A node's name as a label, which failover may go by.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// Settings of the proxy itself that show in its resources.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProxySettings {
    /// How traffic reaches the proxy.
    pub interception: Interception,
    /// Traces per million requests; none means the mesh's default.
    pub sampling: Option<u32>,
    /// Proxies in front of a gateway whose `x-forwarded-for` is believed.
    pub trusted_proxies: u32,
    /// What a gateway does with `x-forwarded-client-cert`.
    pub forward_client_cert: ForwardClientCertDetails,
    /// Whether connections to a gateway begin with a PROXY header.
    pub proxy_protocol: bool,
}

/// Everything that one proxy's resources depend on, besides the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProxyView {
    /// Sidecar or gateway.
    pub role: Role,
    /// Kind of client.
    pub client: Client,
    /// Namespace.
    pub namespace: Text,
    /// DNS suffix that short names are resolved with: `shop.svc.cluster.local`.
    pub dns_domain: Text,
    /// Whether it has IPv6 addresses only.
    pub ipv6: bool,
    /// Whether the mesh resolves names for its apps, so that addresses which it gave to services mean them.
    pub dns_capture: bool,
    /// Labels that some selector asks for.
    pub labels: Labels,
    /// Where it runs.
    pub locality: Arc<Locality>,
    /// Sidecar that narrows what it sees.
    pub sidecar: Option<NamespacedName>,
    /// Ports of its workload, by port, oldest service first.
    pub targets: Arc<[ServiceTarget]>,
    /// Settings of the proxy itself.
    pub settings: ProxySettings,
    /// Canonical service name and revision, which a stock Envoy must be told to tag its spans.
    pub canonical: Option<(Text, Text)>,
}

impl ProxyView {
    /// The view of everything but the workload's own ports, which all workloads of a namespace can share.
    pub(crate) fn shared(&self) -> Self {
        let targets = match self.role {
            Role::Sidecar => Arc::from([]),
            // A gateway's ports decide on what its listeners are.
            Role::Router => self.targets.clone(),
        };
        Self { targets, ..self.clone() }
    }

    /// The addresses that mean a service to the proxy's apps: its own, or those that the mesh gave it, of the family that
    /// the proxy has, if they could have been told of them.
    pub(crate) fn addresses<'s>(&self, service: &'s Service) -> impl Iterator<Item = IpNet> + 's {
        let ipv6 = self.ipv6;
        let assigned =
            if self.dns_capture && service.addresses.is_empty() { &service.assigned[..] } else { &[] };
        let assigned = assigned.iter().filter(move |net| matches!(net, IpNet::V6(_)) == ipv6).take(1);
        service.addresses.iter().chain(assigned).copied()
    }

    /// Those of [`ProxyView::addresses`] that are not ranges.
    pub(crate) fn single_addresses<'s>(&self, service: &'s Service) -> impl Iterator<Item = IpNet> + 's {
        self.addresses(service).filter(is_single)
    }

    /// The view of a proxy in a mesh.
    pub fn of(node: &ProxyNode, mesh: &Mesh) -> Self {
        let instance = node.instance();
        let workload = mesh.workloads.get(&instance).map(|workload| &**workload);
        let all = workload.map_or(&node.labels, |workload| &workload.labels);
        let namespace = instance.namespace;
        let gateway = node.id.role == Role::Router;
        let mesh_wide = mesh.settings.config.locality_lb_setting.as_ref();
        let asked = |key: &str| {
            mesh_wide.is_some_and(|setting| setting.failover_priority.iter().any(|wanted| wanted == key))
                || mesh.sidecar_label_keys.contains_key(key)
                || (gateway && mesh.gateway_label_keys.contains_key(key))
        };
        let mut labels = all.filtered(asked);
        if let Some(workload) = workload.filter(|_| asked(HOSTNAME)) {
            labels = Labels::new(
                labels.iter().map(|(key, value)| (&**key, &**value)).chain([(HOSTNAME, &*workload.node)]),
            );
        }
        let locality = workload.map(|workload| workload.locality.clone()).filter(|known| !known.is_empty());
        Self {
            role: node.id.role,
            client: node.client,
            dns_domain: intern(&node.id.domain),
            ipv6: node.id.address.is_ipv6(),
            dns_capture: node.dns_capture,
            labels,
            locality: locality.unwrap_or_else(|| Arc::new(node.locality.clone())),
            sidecar: match node.id.role {
                Role::Sidecar => mesh.sidecar_of(&namespace, all).map(|sidecar| sidecar.meta.name.clone()),
                Role::Router => None,
            },
            targets: targets(mesh, &namespace, all, workload),
            settings: settings(node, mesh.settings.config.default_config.as_ref()),
            canonical: workload
                .filter(|_| node.client == Client::Envoy)
                .map(|workload| (workload.canonical_name.clone(), workload.canonical_revision.clone())),
            namespace,
        }
    }
}

/// Ports of all services of the namespace that select the workload.
fn targets(
    mesh: &Mesh,
    namespace: &Text,
    labels: &Labels,
    workload: Option<&Workload>,
) -> Arc<[ServiceTarget]> {
    let services = mesh.services_in.get(namespace).into_iter().flatten();
    let mut targets: Vec<ServiceTarget> = services
        .filter_map(|key| mesh.services.get(key))
        .filter(|service| !service.selector.is_empty() && labels.satisfy(&service.selector))
        .flat_map(|service| service_targets(service, workload))
        .collect();
    targets.sort();
    targets.into()
}

fn service_targets(service: &Service, workload: Option<&Workload>) -> Vec<ServiceTarget> {
    let target = |port: &model::ServicePort| {
        let target_port = match &port.target {
            TargetPort::Number(number) => *number,
            TargetPort::Name(name) => workload?.named_port(name)?,
        };
        Some(ServiceTarget {
            target_port,
            created: service.created,
            host: service.key.host.clone(),
            service: service.name.clone(),
            namespace: service.key.namespace.clone(),
            port: port.number,
            port_name: port.name.clone(),
            protocol: port.protocol,
        })
    };
    service.ports.iter().filter(|port| port.protocol != Protocol::Udp).filter_map(target).collect()
}

fn settings(node: &ProxyNode, mesh: Option<&ProxyConfig>) -> ProxySettings {
    let own = &node.config;
    let tracing = own.tracing.as_ref().or_else(|| mesh?.tracing.as_ref());
    let topology = own.gateway_topology.as_ref().or_else(|| mesh?.gateway_topology.as_ref());
    let forward = topology.and_then(|topology| topology.forward_client_cert_details);
    ProxySettings {
        interception: node.interception,
        sampling: tracing
            .and_then(|tracing| tracing.sampling)
            .map(|percent| (percent.clamp(0.0, 100.0) * 10_000.0).round() as u32),
        proxy_protocol: topology.is_some_and(|topology| topology.proxy_protocol.is_some()),
        trusted_proxies: topology.and_then(|topology| topology.num_trusted_proxies).unwrap_or_default(),
        forward_client_cert: forward
            .filter(|details| *details != ForwardClientCertDetails::Undefined)
            .unwrap_or(ForwardClientCertDetails::SanitizeSet),
    }
}
