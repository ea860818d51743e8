//! Clusters.

use std::sync::Arc;

/// Envoy's Cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Its name.
    pub name: Arc<str>,
}
