//! What the desired objects depend on besides the MeshInstall.

use std::collections::BTreeSet;

/// What is known about the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Namespaces that exist and that this MeshInstall didn't make. They are used and left alone.
    pub foreign_namespaces: BTreeSet<String>,
    /// Root certificates (PEM) with which the webhook was seen to answer. Webhook configurations exist only then: before,
    /// they would keep pods from being made.
    pub webhook_roots: Option<Vec<u8>>,
}
