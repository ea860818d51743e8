//! What `helm install charts/trysail` would apply, carried in this binary: the CRDs, generated from their types, and the
//! operator, from the chart as rendered with its defaults.

use anyhow::{Context, Result};
use crds::definition;
use serde_json::{Value, json};

/// What `helm template` makes of the chart, but for the CRDs.
const OPERATOR: &str = include_str!("../../charts/operator.yaml");

/// The namespace that the chart was rendered for.
const NAMESPACE: &str = "trysail-system";

/// The CRDs and the operator, in the order to apply them. The operator's image follows the MeshInstall's hub and tag.
///
/// # Errors
/// When the embedded manifests can't be read, which a test rules out.
pub fn operator(install: &Value) -> Result<Vec<Value>> {
    let rendered = OPERATOR.replace("managed-by: Helm", "managed-by: trysailctl");
    let documents: Vec<Value> = serde_saphyr::from_multiple(&rendered).context("the embedded manifests")?;
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    let mut objects = vec![namespace];
    objects.extend(definition::DEFINITIONS.iter().map(definition::Definition::crd));
    objects.extend(documents.into_iter().filter(|document| !document.is_null()));
    let setting = |name: &str| install.pointer(&format!("/spec/{name}")).and_then(Value::as_str);
    for object in &mut objects {
        rename_image(object, setting("hub"), setting("tag"));
    }
    Ok(objects)
}

/// Takes a Deployment's image from another registry and path (`hub`) or by another tag; any other object stays as it is.
pub(crate) fn rename_image(object: &mut Value, hub: Option<&str>, tag: Option<&str>) {
    if object["kind"] != "Deployment" {
        return;
    }
    if let Some(image) = object.pointer_mut("/spec/template/spec/containers/0/image") {
        let (name, its_tag) = image.as_str().and_then(|image| image.rsplit_once(':')).unwrap_or_default();
        let (its_hub, name) = name.rsplit_once('/').unwrap_or(("", name));
        *image = json!(format!("{}/{name}:{}", hub.unwrap_or(its_hub), tag.unwrap_or(its_tag)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_image_follows_hub_and_tag() -> Result<()> {
        let objects = operator(&json!({ "spec": { "hub": "registry.example/mesh", "tag": "9" } }))?;
        let deployment =
            objects.iter().find(|object| object["kind"] == "Deployment").context("a Deployment")?;
        let image = deployment.pointer("/spec/template/spec/containers/0/image");
        assert_eq!(image, Some(&json!("registry.example/mesh/operator:9")));
        Ok(())
    }

    #[test]
    fn crds_come_before_what_needs_them() -> Result<()> {
        let objects = operator(&json!({}))?;
        let position = |kind: &str| objects.iter().rposition(|object| object["kind"] == kind);
        assert!(position("CustomResourceDefinition") < position("Deployment"));
        Ok(())
    }
}
