//! What the tests share: MeshInstalls, facts, and ways to find an object.

use crds::mesh::MeshInstall;
use kube::core::{DynamicObject, ResourceExt};
use operator::{ClusterFacts, Release, desired};
use serde_json::{Value, json};

/// A MeshInstall named `default`.
pub(crate) fn install(spec: Value) -> MeshInstall {
    let object = json!({
        "apiVersion": "mesh.trysail.dev/v1alpha1", "kind": "MeshInstall", "metadata": {"name": "default"}, "spec": spec,
    });
    crds::decode(&object).unwrap()
}

/// A cluster where the webhook answers.
pub(crate) fn running() -> ClusterFacts {
    ClusterFacts { webhook_roots: Some(b"ROOTS".to_vec()), ..ClusterFacts::default() }
}

/// The objects of a MeshInstall in a cluster where the webhook answers.
pub(crate) fn objects(spec: Value) -> Vec<DynamicObject> {
    desired(&install(spec), &Release { tag: "1.0".to_owned() }, &running()).unwrap()
}

/// `Kind namespace/name` of an object.
pub(crate) fn id(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default();
    match object.namespace() {
        Some(namespace) => format!("{kind} {namespace}/{}", object.name_any()),
        None => format!("{kind} {}", object.name_any()),
    }
}

/// An object as JSON.
pub(crate) fn find(objects: &[DynamicObject], wanted: &str) -> Value {
    let found = objects.iter().find(|object| id(object) == wanted);
    let found =
        found.unwrap_or_else(|| panic!("no {wanted} among {:?}", objects.iter().map(id).collect::<Vec<_>>()));
    serde_json::to_value(found).unwrap()
}
