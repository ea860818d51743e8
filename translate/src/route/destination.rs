//! From a destination as written to the cluster that reaches it.

use crds::networking::Destination;
use xds::names::ClusterName;

use crate::context::Context;

/// A destination with its port found out.
pub(crate) struct Resolved {
    /// Cluster name.
    pub(crate) cluster: String,
    pub(crate) port: u16,
    /// Namespace of the service; empty if it is unknown.
    pub(crate) namespace: model::Text,
}

/// Resolves a destination: its own port, else the only one that the service has, else the one that the request came
/// to. The cluster need not exist; then requests are answered with 503.
pub(crate) fn resolve(context: &Context<'_>, destination: &Destination, listen_port: u16) -> Resolved {
    let service = context.scope.service(&destination.host);
    let written = destination.port.as_ref().and_then(|port| port.number);
    let only = service.filter(|service| service.ports.len() == 1).map(|service| service.ports[0].number);
    let port = written.and_then(|port| u16::try_from(port).ok()).or(only).unwrap_or(listen_port);
    let subset = destination.subset.as_deref().unwrap_or_default();
    Resolved {
        cluster: ClusterName::outbound(port, subset, &destination.host).to_string(),
        port,
        namespace: service.map_or_else(Default::default, |service| service.key.namespace.clone()),
    }
}
