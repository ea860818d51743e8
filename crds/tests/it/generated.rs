//! The chart's definitions are those of the types.

use std::{fs, path::Path};

use crds::definition;
use serde_json::Value;

#[test]
fn the_chart_is_up_to_date() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/trysail/templates/crds"));
    for (name, yaml) in definition::files().unwrap() {
        let stored = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(stored == yaml, "{name} is stale: run `cargo run -p trysail-crds --bin generate-crds`");
    }
}

#[test]
fn every_file_is_plain_yaml_for_helm_and_small_enough_for_kubectl_apply() {
    for (name, yaml) in definition::files().unwrap() {
        assert!(!yaml.contains("{{"), "{name} would be taken for a template");
        let crd: Value = serde_saphyr::from_str(&yaml).unwrap();
        // kubectl apply keeps the object in an annotation of at most 256 KiB.
        assert!(crd.to_string().len() < 250_000, "{name}");
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
        assert!(
            !yaml.contains("x-default") && !yaml.contains("x-duration") && !yaml.contains("x-alias"),
            "{name}"
        );
    }
}
