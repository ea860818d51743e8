//! Namespaces and service accounts.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Object, Settings, Stage};

/// The mesh's namespace and those of its gateways, and an account for each thing that runs.
pub(super) fn objects(settings: &Settings) -> Vec<Object> {
    let mut namespaces: BTreeSet<&str> =
        settings.gateways().map(|gateway| gateway.namespace.as_str()).collect();
    namespaces.insert(&settings.names.namespace);
    let mut objects: Vec<_> = namespaces.into_iter().map(namespace).collect();
    if settings.pilot.enabled {
        objects.push(account(settings, &settings.names.namespace, &settings.names.istiod()));
    }
    objects.extend(settings.gateways().map(|gateway| account(settings, &gateway.namespace, &gateway.name)));
    objects
}

/// A namespace carries no owner label: it may have been there before, and others may use it. The operator records which
/// ones it created.
fn namespace(name: &str) -> Object {
    Object::new(
        Stage::Namespace,
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }),
    )
}

fn account(settings: &Settings, namespace: &str, name: &str) -> Object {
    Object::new(
        Stage::Foundation,
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": name, "namespace": namespace, "labels": settings.labels() },
        }),
    )
}
