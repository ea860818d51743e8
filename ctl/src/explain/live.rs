//! A mesh from a cluster: everything that the control plane reads, listed once.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use model::{Mesh, Object, Store};

use crate::cluster::Cluster;

/// Group, version, kind and plural of what the mesh is made from.
const KINDS: [(&str, &str, &str, &str); 12] = [
    ("", "v1", "Namespace", "namespaces"),
    ("", "v1", "Node", "nodes"),
    ("", "v1", "Service", "services"),
    ("", "v1", "Pod", "pods"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
    ("networking.istio.io", "v1", "VirtualService", "virtualservices"),
    ("networking.istio.io", "v1", "DestinationRule", "destinationrules"),
    ("networking.istio.io", "v1", "Gateway", "gateways"),
    ("networking.istio.io", "v1", "ServiceEntry", "serviceentries"),
    ("networking.istio.io", "v1", "WorkloadEntry", "workloadentries"),
    ("networking.istio.io", "v1", "Sidecar", "sidecars"),
    ("security.istio.io", "v1", "PeerAuthentication", "peerauthentications"),
];

/// Lists everything. What is broken, or may not be listed, is told and left out.
///
/// # Errors
/// When the API server doesn't answer, or refuses to list pods or services.
pub async fn mesh(cluster: &Cluster, control_plane: &str) -> Result<Arc<Mesh>> {
    let mut store = Store::new("cluster.local", "Kubernetes");
    settings(cluster, control_plane, &mut store).await?;
    for (group, version, kind, plural) in KINDS {
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource);
        let list = match api.list(&ListParams::default()).await {
            Ok(list) => list,
            // Nodes tell only where things run, and a kind may not be installed.
            Err(kube::Error::Api(status)) if status.code == 404 || (status.code == 403 && kind == "Node") => {
                eprintln!("without {plural}: {}", status.message);
                continue;
            }
            Err(error) => return Err(error).with_context(|| format!("listing {plural}")),
        };
        for object in list {
            let mut value = serde_json::to_value(&object)?;
            value["apiVersion"] = resource.api_version.clone().into();
            value["kind"] = resource.kind.clone().into();
            match Object::from_json(value) {
                Ok(object) => drop(object.map(|object| store.apply(object.into()))),
                Err(problem) => eprintln!("left out: {problem}"),
            }
        }
    }
    Ok(store.mesh())
}

/// The mesh-wide settings, of the default revision.
async fn settings(cluster: &Cluster, namespace: &str, store: &mut Store) -> Result<()> {
    let api: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    let Some(map) = api.get_opt("istio").await.context("reading the ConfigMap istio")? else {
        eprintln!(
            "without the mesh's settings: no ConfigMap istio in namespace {namespace}; -i names another"
        );
        return Ok(());
    };
    if let Some(object) = Object::from_config_map(&map)? {
        store.apply(object.into());
    }
    Ok(())
}
