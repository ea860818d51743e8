//! Node, for the locality of what runs there.

use std::sync::Arc;

use k8s_openapi::api::core::v1;

use crate::value::{Locality, Text, intern};

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: Text,
    /// Where it is.
    pub locality: Arc<Locality>,
}

impl From<&v1::Node> for Node {
    fn from(node: &v1::Node) -> Self {
        let label = |keys: &[&str]| {
            let labels = node.metadata.labels.as_ref();
            let value = labels.and_then(|labels| keys.iter().find_map(|key| labels.get(*key)));
            intern(value.map_or("", |value| value))
        };
        let locality = Locality {
            region: label(&["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]),
            zone: label(&["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]),
            subzone: label(&["topology.istio.io/subzone"]),
        };
        Self { name: intern(node.metadata.name.as_deref().unwrap_or_default()), locality: Arc::new(locality) }
    }
}
