//! Bookinfo and its rules, carried in this binary.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::manifests::rename_image;

/// Name and text of each file, in the order to apply them.
pub const FILES: [(&str, &str); 4] = [
    ("bookinfo.yaml", include_str!("../../../samples/bookinfo/bookinfo.yaml")),
    ("destination-rules.yaml", include_str!("../../../samples/bookinfo/destination-rules.yaml")),
    ("gateway.yaml", include_str!("../../../samples/bookinfo/gateway.yaml")),
    ("split-90-10.yaml", include_str!("../../../samples/bookinfo/split-90-10.yaml")),
];

/// The objects of all files, in a namespace, with the image of a registry and path (`hub`) and a tag.
///
/// # Errors
/// When the embedded files can't be read, which a test rules out.
pub fn objects(namespace: &str, hub: &str, tag: &str) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for (name, text) in FILES {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).with_context(|| name.to_owned())?;
        objects.extend(documents.into_iter().filter(|document| !document.is_null()));
    }
    for object in &mut objects {
        object["metadata"]["namespace"] = json!(namespace);
        rename_image(object, Some(hub), Some(tag));
    }
    Ok(objects)
}

/// The names of the Deployments among objects.
pub(super) fn deployments(objects: &[Value]) -> Vec<&str> {
    let deployments = objects.iter().filter(|object| object["kind"] == "Deployment");
    deployments.filter_map(|object| object["metadata"]["name"].as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_in_the_namespace_and_every_image_from_the_hub() -> Result<()> {
        let objects = objects("shop", "registry.example:5000/mesh", "9")?;
        assert!(objects.iter().all(|object| object["metadata"]["namespace"] == "shop"));
        let images: Vec<_> =
            objects.iter().filter_map(|o| o.pointer("/spec/template/spec/containers/0/image")).collect();
        assert_eq!(images, vec!["registry.example:5000/mesh/bookinfo:9"; 6]);
        let mut names = deployments(&objects);
        names.sort_unstable();
        assert_eq!(
            names,
            ["details-v1", "productpage-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3"]
        );
        assert!(objects.iter().any(|o| o["kind"] == "VirtualService" && o["metadata"]["name"] == "reviews"));
        Ok(())
    }
}
