//! Namespaces that don't exist yet. Those that a person made stay theirs.

use serde_json::json;

use super::object::{Made, objects};
use crate::{ClusterFacts, Settings};

/// Namespaces to create.
pub(super) fn namespaces(settings: &Settings, facts: &ClusterFacts) -> Made {
    let missing = settings.namespaces().into_iter().filter(|name| !facts.foreign_namespaces.contains(name));
    objects(
        missing.map(|name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })),
    )
}
