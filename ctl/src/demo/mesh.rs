//! The mesh that the demo runs in: whether there is one, how it is asked to inject, and where its images come from.

use anyhow::{Context as _, Result, bail};
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;

use crate::cluster::Cluster;

/// A mesh with a running control plane.
#[derive(Debug, PartialEq, Eq)]
pub struct Mesh {
    /// Its revision.
    revision: String,
    /// Registry and path of its images.
    pub hub: String,
    /// Their tag.
    pub tag: String,
}

impl Mesh {
    /// Looks for a mesh with its control plane in `namespace`.
    ///
    /// # Errors
    /// When there is none, which the message says how to change, or it isn't running.
    pub async fn find(cluster: &Cluster, namespace: &str) -> Result<Self> {
        let installs = match cluster.mesh_installs().list(&ListParams::default()).await {
            Ok(list) => list.items,
            // Without the CRD, nobody can have asked for a mesh.
            Err(kube::Error::Api(status)) if status.code == 404 => vec![],
            Err(error) => return Err(error).context("listing MeshInstalls"),
        };
        let install = choose(&installs, namespace);
        if cluster.running_pods(Some(namespace), "app=istiod").await?.is_empty() {
            bail!(missing(install, namespace));
        }
        Ok(Self::of(install))
    }

    fn of(install: Option<&DynamicObject>) -> Self {
        let setting = |name: &str, default: &str| {
            let value = install.and_then(|install| install.data["spec"][name].as_str());
            value.filter(|value| !value.is_empty()).unwrap_or(default).to_owned()
        };
        Self {
            revision: setting("revision", "default"),
            hub: setting("hub", crds::mesh::DEFAULT_HUB),
            tag: setting("tag", env!("CARGO_PKG_VERSION")),
        }
    }

    /// Name and value of the label by which a namespace asks this mesh for sidecars.
    pub fn injection_label(&self) -> (&str, &str) {
        match self.revision.as_str() {
            "default" => ("istio-injection", "enabled"),
            revision => ("istio.io/rev", revision),
        }
    }
}

/// The MeshInstall of a namespace; of several, the one without a revision.
fn choose<'a>(installs: &'a [DynamicObject], namespace: &str) -> Option<&'a DynamicObject> {
    let spec = |install: &'a DynamicObject, name: &str| install.data["spec"][name].as_str();
    let here = installs
        .iter()
        .filter(|install| spec(install, "namespace").unwrap_or(crds::mesh::DEFAULT_NAMESPACE) == namespace);
    here.min_by_key(|install| spec(install, "revision").is_some_and(|revision| revision != "default"))
}

fn missing(install: Option<&DynamicObject>, namespace: &str) -> String {
    let Some(install) = install else {
        return format!(
            "there is no mesh in namespace {namespace}: `trysailctl install` makes one, and -i names another namespace"
        );
    };
    let conditions = install.data.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let message = ready.and_then(|ready| ready["message"].as_str());
    format!(
        "no istiod is running in namespace {namespace}: {} (`trysailctl verify-install` checks the mesh)",
        message.unwrap_or("the operator has not answered its MeshInstall")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn install(spec: Value) -> Result<DynamicObject> {
        Ok(serde_json::from_value(json!({
            "apiVersion": "mesh.trysail.dev/v1alpha1", "kind": "MeshInstall", "metadata": { "name": "x" },
            "spec": spec, "status": { "conditions": [{ "type": "Ready", "message": "no nodes" }] },
        }))?)
    }

    #[test]
    fn images_and_label_follow_the_mesh() -> Result<()> {
        let installs = [
            install(json!({ "revision": "canary", "hub": "registry.example/mesh", "tag": "9" }))?,
            install(json!({ "namespace": "elsewhere" }))?,
        ];
        let canary = Mesh::of(choose(&installs, "istio-system"));
        assert_eq!((canary.hub.as_str(), canary.tag.as_str()), ("registry.example/mesh", "9"));
        assert_eq!(canary.injection_label(), ("istio.io/rev", "canary"));
        let plain = Mesh::of(choose(&installs, "elsewhere"));
        assert_eq!(
            (plain.hub.as_str(), plain.tag.as_str()),
            ("docker.io/trysail", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(plain.injection_label(), ("istio-injection", "enabled"));
        Ok(())
    }

    #[test]
    fn of_two_revisions_in_a_namespace_the_default_one_is_chosen() -> Result<()> {
        let installs = [install(json!({ "revision": "canary" }))?, install(json!({}))?];
        assert_eq!(Mesh::of(choose(&installs, "istio-system")).revision, "default");
        Ok(())
    }

    #[test]
    fn a_missing_mesh_says_how_to_make_one_and_a_broken_one_what_is_wrong() -> Result<()> {
        let none = missing(None, "istio-system");
        assert!(none.contains("trysailctl install"), "{none}");
        let broken = missing(Some(&install(json!({}))?), "istio-system");
        assert!(broken.contains("no nodes"), "{broken}");
        Ok(())
    }
}
