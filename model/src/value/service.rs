//! A service: a host name, its addresses and ports.

use ipnet::IpNet;

use super::exposure::ExportTo;
use super::labels::Labels;
use super::meta::ServiceKey;
use super::protocol::Protocol;
use super::text::Text;

/// One address, and not a range of several.
pub fn is_single(net: &IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

/// How a client finds an endpoint of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// We know the endpoints and the client picks one.
    Endpoints,
    /// The client resolves the name and picks among all addresses.
    Dns,
    /// The client resolves the name and uses the first address for each new connection.
    DnsRoundRobin,
    /// The connection goes where the app wanted it: headless services, `resolution: NONE`.
    Passthrough,
}

/// Where a service was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Registry {
    /// A Kubernetes Service.
    Kubernetes,
    /// A ServiceEntry.
    ServiceEntry,
}

/// The workload's port behind a service's port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// By number.
    Number(u16),
    /// By the name of a container port.
    Name(Text),
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// Number that clients use.
    pub number: u16,
    /// Name, by which endpoints know it.
    pub name: Text,
    /// What it speaks.
    pub protocol: Protocol,
    /// The workload's port.
    pub target: TargetPort,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Host name and namespace.
    pub key: ServiceKey,
    /// Name of the object that declared it.
    pub name: Text,
    /// Creation of that object, in seconds since 1970.
    pub created: i64,
    /// Where it was declared.
    pub registry: Registry,
    /// Outside of the mesh: no mutual TLS, not ours to measure as a destination.
    pub external: bool,
    /// How clients find endpoints.
    pub resolution: Resolution,
    /// Cluster addresses or ranges that mean this service; empty for headless ones and for hosts without address.
    pub addresses: Vec<IpNet>,
    /// Addresses that the mesh gave it because it has none: they mean it to clients whose names the mesh resolves.
    pub assigned: Vec<IpNet>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Labels of the pods behind it; empty if it selects none.
    pub selector: Labels,
    /// Who sees it; none means the mesh's default.
    pub export_to: Option<ExportTo>,
    /// Identities its endpoints may present besides those of their service accounts.
    pub subject_alt_names: Vec<Text>,
}

impl Service {
    /// A port by the number that clients use.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// A Kubernetes service without cluster address.
    pub fn is_headless(&self) -> bool {
        self.registry == Registry::Kubernetes && self.resolution == Resolution::Passthrough
    }
}
