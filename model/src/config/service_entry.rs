//! ServiceEntry and WorkloadEntry: services and endpoints outside of Kubernetes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crds::networking::{ServiceEntryLocation, ServiceEntryResolution, ServiceEntrySpec, WorkloadEntrySpec};
use ipnet::IpNet;

use crate::value::{
    Address, Endpoint, EndpointGroup, ExportTo, Labels, Locality, Meta, NamespacedName, Protocol, Registry,
    Resolution, Service, ServiceKey, ServicePort, TargetPort, Text, Workload, intern,
};

/// A ServiceEntry: one service per host, all with the same ports and endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceEntry {
    /// Identity and age.
    pub meta: Meta,
    /// Its services.
    pub services: Vec<Service>,
    /// Pods and WorkloadEntries behind it; none means it lists its endpoints.
    pub selector: Option<Labels>,
    /// Its own endpoints.
    pub groups: Vec<Arc<EndpointGroup>>,
    /// Addresses of its hosts, as its status has them.
    pub stored: Vec<HostAddress>,
    /// The same as they should be.
    pub assigned: Vec<HostAddress>,
    /// Whether the mesh gives its hosts addresses.
    pub(crate) wants_addresses: bool,
}

/// What a ServiceEntry says about addresses outside of its spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addressing {
    /// Its label says that it wants none.
    pub declined: bool,
    /// What its status has.
    pub stored: Vec<HostAddress>,
}

/// An address that stands for a host: an item of `status.addresses`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// The host, in lower case.
    pub host: Text,
    /// The address.
    pub address: IpAddr,
}

impl Addressing {
    /// The label by which a ServiceEntry declines addresses: `false`.
    const LABEL: &str = "networking.istio.io/enable-autoallocate-ip";

    /// Reads an object. Addresses that can't be read are not there.
    pub fn of(entry: &crds::networking::ServiceEntry) -> Self {
        let label = entry.metadata.labels.as_ref().and_then(|labels| labels.get(Self::LABEL));
        let items = entry.status.as_ref().map_or(&[][..], |status| &status.addresses);
        let read = |item: &crds::networking::ServiceEntryAddress| {
            let host = intern(&item.host.as_deref()?.to_ascii_lowercase());
            Some(HostAddress { host, address: item.value.as_deref()?.parse().ok()? })
        };
        Self {
            declined: label.is_some_and(|value| value.eq_ignore_ascii_case("false")),
            stored: items.iter().filter_map(read).collect(),
        }
    }
}

/// A WorkloadEntry.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadEntry {
    /// Identity and age.
    pub meta: Meta,
    /// Labels.
    pub labels: Labels,
    /// The machine as an endpoint.
    endpoint: Endpoint,
    /// Ports by the name of the service's port.
    ports: BTreeMap<Text, u16>,
}

impl ServiceEntry {
    /// From its spec, and what it says about addresses elsewhere.
    pub fn new(meta: Meta, spec: &ServiceEntrySpec, addressing: Addressing) -> Self {
        let ports = ports(spec);
        let services = spec.hosts.iter().map(|host| service(&meta, spec, host, &ports)).collect();
        let groups = spec
            .endpoints
            .iter()
            .map(|endpoint| {
                let (ports_of, endpoint) = machine(&meta.name, endpoint);
                group(&ports, &ports_of, endpoint)
            })
            .collect();
        let selector = spec.workload_selector.as_ref().map(|selector| Labels::new(&selector.labels));
        // As Istio's allocator decides it: where the app's own resolution counts, an address of ours leads nowhere.
        let resolved = spec.resolution.unwrap_or_default() != ServiceEntryResolution::None;
        let wants_addresses = resolved && !addressing.declined && spec.addresses.is_empty();
        let stored = addressing.stored;
        Self { meta, services, selector, groups, stored, assigned: Vec::new(), wants_addresses }
    }

    /// A selected pod as an endpoint, once it has an address.
    pub(crate) fn group_of_pod(&self, workload: &Arc<Workload>) -> Option<Arc<EndpointGroup>> {
        let endpoint = Endpoint {
            address: Address::Ip(workload.address?),
            weight: 0,
            locality: workload.locality.clone(),
            workload: Some(workload.clone()),
        };
        Some(group(&self.services.first()?.ports, &BTreeMap::new(), endpoint))
    }

    /// A selected WorkloadEntry as an endpoint.
    pub(crate) fn group_of_machine(&self, entry: &WorkloadEntry) -> Arc<EndpointGroup> {
        entry.group(self.services.first().map_or(&[][..], |service| &service.ports))
    }
}

impl WorkloadEntry {
    /// From its spec.
    pub fn new(meta: Meta, spec: &WorkloadEntrySpec) -> Self {
        let (ports, endpoint) = machine(&meta.name, spec);
        Self { labels: Labels::new(&spec.labels), endpoint, ports, meta }
    }

    /// As an endpoint of a service with these ports.
    pub(crate) fn group(&self, ports: &[ServicePort]) -> Arc<EndpointGroup> {
        group(ports, &self.ports, self.endpoint.clone())
    }
}

fn ports(spec: &ServiceEntrySpec) -> Vec<ServicePort> {
    let port = |port: &crds::networking::ServicePort| {
        let number = u16::try_from(port.number).ok()?;
        let target = port.target_port.and_then(|target| u16::try_from(target).ok()).unwrap_or(number);
        Some(ServicePort {
            number,
            name: intern(&port.name),
            protocol: Protocol::parse(port.protocol.as_deref().unwrap_or_default()),
            target: TargetPort::Number(target),
        })
    };
    spec.ports.iter().filter_map(port).collect()
}

fn service(meta: &Meta, spec: &ServiceEntrySpec, host: &str, ports: &[ServicePort]) -> Service {
    let resolution = match spec.resolution.unwrap_or_default() {
        ServiceEntryResolution::Static => Resolution::Endpoints,
        ServiceEntryResolution::Dns => Resolution::Dns,
        ServiceEntryResolution::DnsRoundRobin => Resolution::DnsRoundRobin,
        // Connections to names that are resolved request by request go where the app resolved them to.
        ServiceEntryResolution::None
        | ServiceEntryResolution::DynamicDns
        | ServiceEntryResolution::Unrecognized => Resolution::Passthrough,
    };
    let address = |written: &String| {
        written.parse::<IpNet>().ok().or_else(|| written.parse::<IpAddr>().ok().map(Into::into))
    };
    Service {
        key: ServiceKey::new(&host.to_ascii_lowercase(), &meta.name.namespace),
        name: meta.name.name.clone(),
        created: meta.created,
        registry: Registry::ServiceEntry,
        external: spec.location.unwrap_or_default() == ServiceEntryLocation::MeshExternal,
        resolution,
        addresses: spec.addresses.iter().filter_map(address).collect(),
        assigned: Vec::new(),
        ports: ports.to_vec(),
        selector: Labels::default(),
        export_to: ExportTo::parse(&spec.export_to, &meta.name.namespace),
        subject_alt_names: spec.subject_alt_names.iter().map(|name| intern(name)).collect(),
    }
}

/// One endpoint as a group: each may have ports of its own.
fn group(ports: &[ServicePort], own: &BTreeMap<Text, u16>, endpoint: Endpoint) -> Arc<EndpointGroup> {
    let number = |port: &ServicePort| match (own.get(&port.name), &port.target) {
        (Some(number), _) | (None, TargetPort::Number(number)) => *number,
        (None, TargetPort::Name(_)) => port.number,
    };
    let ports = ports.iter().map(|port| (port.name.clone(), number(port))).collect();
    Arc::new(EndpointGroup::new(ports, vec![endpoint]))
}

fn machine(owner: &NamespacedName, spec: &WorkloadEntrySpec) -> (BTreeMap<Text, u16>, Endpoint) {
    let written = spec.address.as_deref().unwrap_or_default();
    let address = match (written.strip_prefix("unix://"), written.parse::<IpAddr>()) {
        (Some(path), _) => Address::Unix(intern(path)),
        (None, Ok(ip)) => Address::Ip(ip),
        (None, Err(_)) => Address::Name(intern(written)),
    };
    let labels = Labels::new(&spec.labels);
    let locality = Arc::new(Locality::parse(spec.locality.as_deref().unwrap_or_default()));
    let label = |keys: &[&str]| keys.iter().find_map(|key| labels.get(key)).cloned();
    let workload = Workload {
        instance: owner.clone(),
        name: owner.name.clone(),
        canonical_name: label(&["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"])
            .unwrap_or_else(|| owner.name.clone()),
        canonical_revision: label(&[
            "service.istio.io/canonical-revision",
            "app.kubernetes.io/version",
            "version",
        ])
        .unwrap_or_else(|| intern("latest")),
        address: match &address {
            Address::Ip(ip) => Some(*ip),
            Address::Name(_) | Address::Unix(_) => None,
        },
        service_account: intern(spec.service_account.as_deref().unwrap_or_default()),
        node: intern(""),
        locality: locality.clone(),
        mutual_tls: labels.get("security.istio.io/tlsMode").is_some_and(|mode| &**mode == "istio"),
        named_ports: Arc::from([]),
        labels,
    };
    let ports = spec.ports.iter().filter_map(|(name, port)| Some((intern(name), u16::try_from(*port).ok()?)));
    let weight = spec.weight.unwrap_or_default();
    (ports.collect(), Endpoint { address, weight, workload: Some(Arc::new(workload)), locality })
}
