//! The chart's definitions are those of the types.

use std::{fs, path::Path};

use crds::{definition, reference};
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

/// Paths of a schema's objects with named fields that let others through, or don't.
fn objects(schema: &Value, keeps: bool, path: &str, found: &mut Vec<String>) {
    let named = schema.get("properties").and_then(Value::as_object);
    if named.is_some() && (schema.get("x-kubernetes-preserve-unknown-fields").is_some() == keeps) {
        found.push(path.to_owned());
    }
    for (name, property) in named.into_iter().flatten() {
        objects(property, keeps, &format!("{path}.{name}"), found);
    }
    for key in ["items", "additionalProperties"] {
        schema.get(key).into_iter().for_each(|inner| objects(inner, keeps, &format!("{path}[]"), found));
    }
}

#[test]
fn unknown_fields_of_a_mesh_install_reach_the_webhook_from_any_depth() {
    for definition in definition::DEFINITIONS {
        let crd = definition.crd();
        let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
        let mut found = Vec::new();
        objects(spec, definition.kind != "MeshInstall", "spec", &mut found);
        assert_eq!(found, Vec::<String>::new(), "{}", definition.kind);
    }
}

#[test]
fn the_reference_pages_are_up_to_date() {
    let docs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs"));
    let read = |name: &str| fs::read_to_string(docs.join(name)).unwrap();
    let page = read("meshinstall.md");
    let stale = "is stale: run `cargo run -p trysail-crds --bin generate-crds`";
    let fresh = reference::refresh(&page, &reference::mesh_install_fields());
    assert!(fresh.as_ref() == Some(&page), "meshinstall.md {stale}");
    assert!(
        reference::fields_without_effect_page() == read("fields-without-effect.md"),
        "fields-without-effect.md {stale}"
    );
}

#[test]
fn every_example_of_the_meshinstall_page_is_accepted() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/meshinstall.md")).unwrap();
    let examples: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for yaml in examples {
        let object: Value = serde_saphyr::from_str(yaml).expect(yaml);
        assert_eq!(crds::check(&object), Some(crds::Report::default()), "{yaml}");
        let install = crds::decode(&object).unwrap();
        assert_eq!(crds::mesh::review(&install, None), crds::Report::default(), "{yaml}");
    }
}
