//! Endpoints of a service, in groups that share their ports.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::text::Text;
use super::workload::{Locality, Workload};

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address.
    Ip(IpAddr),
    /// A DNS name, resolved by the client.
    Name(Text),
    /// A path in the file system of the proxy.
    Unix(Text),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Unix(path) => write!(f, "unix://{path}"),
        }
    }
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where to connect to.
    pub address: Address,
    /// Relative weight; 0 means unset, which counts as 1.
    pub weight: u32,
    /// Who answers there, if we know.
    pub workload: Option<Arc<Workload>>,
    /// Where it runs, if that is known without the workload.
    pub locality: Arc<Locality>,
}

impl Endpoint {
    /// Whether it accepts the mesh's mutual TLS.
    pub fn mutual_tls(&self) -> bool {
        self.workload.as_ref().is_some_and(|workload| workload.mutual_tls)
    }
}

/// Endpoints that share their ports: one EndpointSlice, or one endpoint of a ServiceEntry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointGroup {
    /// Port numbers by the name of the service's port.
    pub ports: Arc<[(Text, u16)]>,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Service accounts of its workloads as `(namespace, name)`, sorted.
    pub accounts: Arc<[(Text, Text)]>,
}

impl EndpointGroup {
    /// From its endpoints; the accounts are collected from their workloads.
    pub fn new(ports: Arc<[(Text, u16)]>, endpoints: Vec<Endpoint>) -> Self {
        let accounts = endpoints
            .iter()
            .filter_map(|endpoint| endpoint.workload.as_ref())
            .filter(|workload| !workload.service_account.is_empty())
            .map(|workload| (workload.instance.namespace.clone(), workload.service_account.clone()));
        Self { ports, accounts: sorted(accounts), endpoints }
    }

    /// The number behind the service's port of this name.
    pub fn port(&self, name: &str) -> Option<u16> {
        self.ports.iter().find(|(known, _)| &**known == name).map(|(_, number)| *number)
    }
}

/// All endpoints of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// In a stable order.
    pub groups: Vec<Arc<EndpointGroup>>,
    /// Service accounts behind the service as `(namespace, name)`, sorted: the identities a client may meet.
    pub accounts: Arc<[(Text, Text)]>,
}

impl Endpoints {
    /// From groups. Accounts that are the same as before stay the same allocation, so that whoever depends on them
    /// sees at a glance that nothing changed.
    pub fn new(groups: Vec<Arc<EndpointGroup>>, before: Option<Arc<[(Text, Text)]>>) -> Self {
        let accounts = sorted(groups.iter().flat_map(|group| group.accounts.iter().cloned()));
        let accounts = before.filter(|before| *before == accounts).unwrap_or(accounts);
        Self { groups, accounts }
    }

    /// Every endpoint with its number for the service's port of this name.
    pub fn on_port<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Endpoint, u16)> {
        self.groups
            .iter()
            .filter_map(move |group| Some((group, group.port(name)?)))
            .flat_map(|(group, number)| group.endpoints.iter().map(move |endpoint| (endpoint, number)))
    }
}

/// Each account once, in order.
fn sorted(accounts: impl Iterator<Item = (Text, Text)>) -> Arc<[(Text, Text)]> {
    accounts.collect::<BTreeSet<_>>().into_iter().collect()
}
