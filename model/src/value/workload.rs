//! A workload instance: one pod, or one machine outside of Kubernetes.

use std::net::IpAddr;
use std::sync::Arc;

use super::labels::Labels;
use super::meta::NamespacedName;
use super::text::{Text, intern};

/// Where something runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality {
    /// Region.
    pub region: Text,
    /// Zone within the region.
    pub zone: Text,
    /// Subzone within the zone.
    pub subzone: Text,
}

impl Locality {
    /// From `region/zone/subzone`, as WorkloadEntries and locality settings write it.
    pub fn parse(locality: &str) -> Self {
        let mut parts = locality.splitn(3, '/').map(intern);
        let mut next = || parts.next().unwrap_or_default();
        Self { region: next(), zone: next(), subzone: next() }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.region.is_empty()
    }
}

/// A workload instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Pod (or WorkloadEntry) name.
    pub instance: NamespacedName,
    /// Name of what owns it: the Deployment, StatefulSet, Job...
    pub name: Text,
    /// Canonical service name, for telemetry.
    pub canonical_name: Text,
    /// Canonical revision, for telemetry.
    pub canonical_revision: Text,
    /// Labels.
    pub labels: Labels,
    /// Its address, once it has one.
    pub address: Option<IpAddr>,
    /// Service account it runs as.
    pub service_account: Text,
    /// Node it runs on; empty outside of Kubernetes.
    pub node: Text,
    /// Where it runs.
    pub locality: Arc<Locality>,
    /// Whether it accepts the mesh's mutual TLS, by its label `security.istio.io/tlsMode`.
    pub mutual_tls: bool,
    /// Container ports by name.
    pub named_ports: Arc<[(Text, u16)]>,
}

impl Workload {
    /// A container port by its name.
    pub fn named_port(&self, name: &str) -> Option<u16> {
        self.named_ports.iter().find(|(known, _)| &**known == name).map(|(_, number)| *number)
    }
}
