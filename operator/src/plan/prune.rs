//! Objects that a MeshInstall made and no longer stands for.

use super::ObjectId;

/// What exists without being wanted. Namespaces stay until the MeshInstall goes: they may hold more than ours.
pub fn prune(existing: &[ObjectId], wanted: &[ObjectId]) -> Vec<ObjectId> {
    let superfluous = |object: &&ObjectId| object.kind.kind != "Namespace" && !wanted.contains(object);
    existing.iter().filter(superfluous).cloned().collect()
}
