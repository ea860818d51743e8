//! CustomResourceDefinitions, made from the Rust types: names, versions, columns here, schemas in [`structural`].
//!
//! `generate-crds` writes them into `charts/`; [`crate::check`] uses the same schemas to judge objects offline.

mod structural;
mod table;

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Map, Value, json};

pub(crate) use self::structural::{DURATION, relax, schema_of, shared_schema_of};
pub use self::table::DEFINITIONS;

/// What a kind's CustomResourceDefinition says besides the schema.
#[derive(Debug)]
pub struct Definition {
    /// API group.
    pub group: &'static str,
    /// Served versions; the first is stored. All share one schema.
    pub versions: &'static [&'static str],
    /// Kind.
    pub kind: &'static str,
    /// Plural, lower case.
    pub plural: &'static str,
    /// Short names for kubectl.
    pub short_names: &'static [&'static str],
    /// Categories for kubectl.
    pub categories: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Columns of `kubectl get`.
    pub columns: &'static [Column],
    /// Whether an object without a spec is refused.
    pub spec_required: bool,
    /// Whether the server keeps fields of the spec that nobody knows, so that our webhook can say what was meant. Where it
    /// doesn't, kubectl hears of them from the server's strict decoding, before any webhook and without a suggestion.
    pub keeps_unknown_fields: bool,
    spec: fn() -> Value,
    status: fn() -> Value,
}

/// A column of `kubectl get`.
#[derive(Debug)]
pub struct Column {
    /// Its title.
    pub name: &'static str,
    /// `string` or `date`.
    pub kind: &'static str,
    /// Where the value is.
    pub path: &'static str,
    /// What it means.
    pub description: &'static str,
}

/// Schemas by group and kind, made once.
static SCHEMAS: LazyLock<BTreeMap<(&str, &str), Value>> =
    LazyLock::new(|| DEFINITIONS.iter().map(|d| ((d.group, d.kind), d.annotated_schema())).collect());

impl Definition {
    /// The definition of a kind, if Trysail has it.
    pub fn find(group: &str, kind: &str) -> Option<&'static Self> {
        DEFINITIONS.iter().find(|d| d.group == group && d.kind == kind)
    }

    /// `plural.group`, the name of the CustomResourceDefinition.
    pub fn name(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// The schema with our own `x-` annotations, for checks offline.
    pub(crate) fn checked_schema(&self) -> &'static Value {
        static NOTHING: Value = Value::Null;
        SCHEMAS.get(&(self.group, self.kind)).unwrap_or(&NOTHING)
    }

    fn annotated_schema(&self) -> Value {
        let mut root = json!({
            "type": "object",
            "properties": { "spec": (self.spec)(), "status": (self.status)() },
        });
        if self.spec_required {
            root["required"] = json!(["spec"]);
        }
        root
    }

    /// The CustomResourceDefinition.
    pub fn crd(&self) -> Value {
        let mut schema = self.checked_schema().clone();
        structural::strip_annotations(&mut schema);
        if let Some(spec) = schema.pointer_mut("/properties/spec").filter(|_| self.keeps_unknown_fields) {
            structural::keep_unknown_fields(spec);
        }
        let columns: Vec<Value> = self.columns.iter().map(Column::to_value).collect();
        let versions: Vec<Value> = self
            .versions
            .iter()
            .enumerate()
            .map(|(index, version)| {
                let mut entry = Map::new();
                entry.insert("name".into(), json!(version));
                entry.insert("served".into(), json!(true));
                entry.insert("storage".into(), json!(index == 0));
                if !columns.is_empty() {
                    entry.insert("additionalPrinterColumns".into(), json!(columns));
                }
                entry.insert("subresources".into(), json!({ "status": {} }));
                entry.insert("schema".into(), json!({ "openAPIV3Schema": schema }));
                Value::Object(entry)
            })
            .collect();
        let mut names = json!({
            "kind": self.kind,
            "listKind": format!("{}List", self.kind),
            "plural": self.plural,
            "singular": self.kind.to_lowercase(),
            "categories": self.categories,
        });
        if !self.short_names.is_empty() {
            names["shortNames"] = json!(self.short_names);
        }
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": self.name(),
                "labels": { "app.kubernetes.io/part-of": "trysail" },
                "annotations": { "helm.sh/resource-policy": "keep" },
            },
            "spec": {
                "group": self.group,
                "names": names,
                "scope": if self.namespaced { "Namespaced" } else { "Cluster" },
                "conversion": { "strategy": "None" },
                "versions": versions,
            },
        })
    }
}

impl Column {
    fn to_value(&self) -> Value {
        json!({
            "name": self.name, "type": self.kind, "jsonPath": self.path, "description": self.description,
        })
    }
}

/// Every generated file: its name and its YAML.
pub fn files() -> Result<Vec<(String, String)>, serde_saphyr::ser::Error> {
    let header = "# Generated from the Rust types in crds/ by generate-crds; don't edit.\n";
    DEFINITIONS
        .iter()
        .map(|definition| {
            let yaml = serde_saphyr::to_string(&definition.crd())?;
            Ok((format!("{}.yaml", definition.name()), format!("{header}{yaml}")))
        })
        .collect()
}
