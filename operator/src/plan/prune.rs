//! Objects that a MeshInstall made and no longer stands for.

use super::{ObjectId, Owned};

/// What exists without being wanted. Namespaces stay until the MeshInstall goes: they may hold more than ours.
pub fn prune(existing: &[Owned], wanted: &[ObjectId]) -> Vec<Owned> {
    let superfluous = |object: &&Owned| object.id.kind.kind != "Namespace" && !wanted.contains(&object.id);
    existing.iter().filter(superfluous).cloned().collect()
}
