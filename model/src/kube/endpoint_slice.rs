//! EndpointSlice: which pods are behind a service right now.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1;

use super::name_of;
use crate::value::{NamespacedName, Text, intern};

/// One ready endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Its address.
    pub address: IpAddr,
    /// The pod, in the slice's namespace, if it is one.
    pub pod: Option<Text>,
    /// Its node, if that is named.
    pub node: Option<Text>,
}

/// A slice, with ready endpoints only: traffic to others would fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Namespace and name.
    pub name: NamespacedName,
    /// Name of its Service; empty if it belongs to none.
    pub service: Text,
    /// Port numbers by name.
    pub ports: Arc<[(Text, u16)]>,
    /// Endpoints in order of their addresses.
    pub endpoints: Vec<SliceEndpoint>,
}

impl From<&v1::EndpointSlice> for EndpointSlice {
    fn from(slice: &v1::EndpointSlice) -> Self {
        let service =
            slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"));
        let ports = slice
            .ports
            .iter()
            .flatten()
            .filter_map(|port| {
                Some((intern(port.name.as_deref().unwrap_or_default()), u16::try_from(port.port?).ok()?))
            })
            .collect();
        let mut endpoints: Vec<_> =
            slice.endpoints.iter().filter(|e| is_ready(e)).flat_map(endpoints).collect();
        endpoints.sort_by_key(|endpoint| endpoint.address);
        Self {
            name: name_of(&slice.metadata),
            service: intern(service.map_or("", |name| name)),
            ports,
            endpoints,
        }
    }
}

/// Absent conditions mean ready, as Kubernetes documents.
fn is_ready(endpoint: &v1::Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
}

fn endpoints(endpoint: &v1::Endpoint) -> impl Iterator<Item = SliceEndpoint> + '_ {
    let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
    let pod = target.and_then(|target| target.name.as_deref()).map(intern);
    let node = endpoint.node_name.as_deref().map(intern);
    // Slices of type FQDN are deprecated and hold names, which do not parse.
    endpoint.addresses.iter().filter_map(|address| address.parse().ok()).map(move |address| SliceEndpoint {
        address,
        pod: pod.clone(),
        node: node.clone(),
    })
}
