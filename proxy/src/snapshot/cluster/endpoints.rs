//! The endpoints of a cluster: Envoy's ClusterLoadAssignment.

use std::{net::SocketAddr, sync::Arc};

use crate::upstream::state::{EndpointState, Place};

/// A cluster's endpoints: Envoy's ClusterLoadAssignment.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// By priority, best first.
    pub priorities: Vec<Priority>,
    /// A priority or locality is as good as whole while this percentage of its healthy part is. 140 in Envoy.
    pub overprovisioning: u32,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self { priorities: Vec::new(), overprovisioning: 140 }
    }
}

impl Endpoints {
    /// All endpoints in one locality of one priority.
    pub fn flat(endpoints: Vec<Arc<Endpoint>>) -> Self {
        let locality = LocalityEndpoints { locality: Arc::default(), weight: 0, endpoints };
        Self { priorities: vec![Priority { localities: vec![locality] }], ..Self::default() }
    }

    /// All endpoints.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.priorities.iter().flat_map(Priority::iter)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.priorities.iter().flat_map(|priority| &priority.localities).map(|l| l.endpoints.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Endpoints that are used when those of better priorities are not enough.
#[derive(Debug, Clone, Default)]
pub struct Priority {
    /// By locality.
    pub localities: Vec<LocalityEndpoints>,
}

impl Priority {
    /// Its endpoints.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.localities.iter().flat_map(|locality| &locality.endpoints)
    }
}

/// The endpoints of one place.
#[derive(Debug, Clone)]
pub struct LocalityEndpoints {
    /// The place.
    pub locality: Arc<Locality>,
    /// Its weight among the localities of the priority; 0 is none given.
    pub weight: u32,
    /// The endpoints.
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Locality {
    /// Region.
    pub region: Box<str>,
    /// Zone.
    pub zone: Box<str>,
    /// Zone within the zone.
    pub sub_zone: Box<str>,
}

/// One endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its weight, at least 1.
    pub weight: u32,
    /// What the control plane says of its health.
    pub health: Health,
    /// Its host name, where it has one: for the `host` header and consistent hashing.
    pub hostname: Option<Arc<str>>,
    /// What is known of it. Endpoints that are alike share this.
    pub metadata: Arc<EndpointMetadata>,
    /// What traffic has made of it, with its address.
    pub state: Arc<EndpointState>,
}

impl Endpoint {
    /// A healthy endpoint of weight 1.
    pub fn new(state: Arc<EndpointState>) -> Self {
        Self { weight: 1, health: Health::Healthy, hostname: None, metadata: Arc::default(), state }
    }

    /// Its address; 0.0.0.0:0 for a Unix socket, which has none.
    pub fn address(&self) -> SocketAddr {
        self.state.address()
    }

    /// Where it listens.
    pub fn place(&self) -> &Place {
        self.state.place()
    }
}

/// What the control plane says of an endpoint's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// `HEALTHY`, or nothing said.
    #[default]
    Healthy,
    /// `DEGRADED`: only if the healthy ones are not enough.
    Degraded,
    /// `UNHEALTHY`, `TIMEOUT`: not used.
    Unhealthy,
    /// `DRAINING`: not used for anything new.
    Draining,
}

/// What is known of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct EndpointMetadata {
    /// `istio.workload`.
    pub workload: Option<Workload>,
    /// `envoy.transport_socket_match`: `tlsMode: istio` for endpoints that are in the mesh.
    pub transport_match: Vec<(Box<str>, Box<str>)>,
    /// `envoy.lb.hash_key`: hashed in place of the address.
    pub hash_key: Option<Box<str>>,
}

/// A workload, as endpoints' metadata name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Workload {
    /// The Deployment's (or other owner's) name.
    pub name: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// `service.istio.io/canonical-name`.
    pub canonical_name: Arc<str>,
    /// `service.istio.io/canonical-revision`.
    pub canonical_revision: Arc<str>,
    /// The cluster it runs in.
    pub cluster: Arc<str>,
}

impl Workload {
    /// Reads `name;namespace;canonical-name;canonical-revision;cluster-id`. Later parts may be missing.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(Arc::<str>::from);
        let mut next = || parts.next().unwrap_or_default();
        Self {
            name: next(),
            namespace: next(),
            canonical_name: next(),
            canonical_revision: next(),
            cluster: next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workload_metadata_may_end_early() {
        let workload = Workload::parse("reviews-v1;default;reviews;v1;Kubernetes");
        assert_eq!((&*workload.name, &*workload.cluster), ("reviews-v1", "Kubernetes"));
        let short = Workload::parse("reviews-v1;default");
        assert_eq!((&*short.namespace, &*short.canonical_name), ("default", ""));
    }
}
