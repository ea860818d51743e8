//! Fields that are accepted but do nothing yet. One table: the webhook warns by it, `docs/` lists it.

use serde_json::Value;

use crate::Problem;

/// A field, or one value of it, that does nothing.
#[derive(Debug)]
pub struct WithoutEffect {
    /// The kind; `MeshConfig` for `spec.meshConfig` of a MeshInstall.
    pub kind: &'static str,
    /// Path of the field; `[]` stands for each item of a list.
    pub path: &'static str,
    /// The value that does nothing, when others do something.
    pub value: Option<&'static str>,
    /// What happens instead.
    pub instead: &'static str,
}

const fn field(kind: &'static str, path: &'static str, instead: &'static str) -> WithoutEffect {
    WithoutEffect { kind, path, value: None, instead }
}

const fn value(
    kind: &'static str,
    path: &'static str,
    value: &'static str,
    instead: &'static str,
) -> WithoutEffect {
    WithoutEffect { kind, path, value: Some(value), instead }
}

/// The table.
pub const FIELDS_WITHOUT_EFFECT: &[WithoutEffect] = &[
    field("VirtualService", "spec.http[].match[].statPrefix", "no statistics of that name are kept"),
    field("VirtualService", "spec.tcp[].match[].sourceSubnet", "the condition is passed over, as in Istio"),
    value("ServiceEntry", "spec.resolution", "DYNAMIC_DNS", "the hosts are not reachable"),
    field("Gateway", "spec.servers[].defaultEndpoint", "nothing, as in Istio"),
];

/// The fields of an object that do nothing, each with what happens instead.
pub fn fields_without_effect(kind: &str, object: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    for entry in FIELDS_WITHOUT_EFFECT.iter().filter(|entry| entry.kind == kind) {
        let segments: Vec<&str> = entry.path.split('.').collect();
        visit(object, &segments, String::new(), entry, &mut found);
    }
    if kind == "MeshInstall"
        && let Some(settings) = object.pointer("/spec/meshConfig")
    {
        let settings = fields_without_effect("MeshConfig", settings);
        found.extend(
            settings.into_iter().map(|p| Problem { field: format!("spec.meshConfig.{}", p.field), ..p }),
        );
    }
    found
}

fn visit(value: &Value, rest: &[&str], path: String, entry: &WithoutEffect, found: &mut Vec<Problem>) {
    let Some((segment, rest)) = rest.split_first() else {
        if !value.is_null() && entry.value.is_none_or(|only| value == only) {
            found.push(Problem { field: path, message: entry.message() });
        }
        return;
    };
    let (name, list) = segment.strip_suffix("[]").map_or((*segment, false), |name| (name, true));
    let Some(inner) = value.get(name) else { return };
    let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match inner {
        Value::Array(items) if list => {
            for (index, item) in items.iter().enumerate() {
                visit(item, rest, format!("{path}[{index}]"), entry, found);
            }
        }
        _ if list => {}
        inner => visit(inner, rest, path, entry, found),
    }
}

impl WithoutEffect {
    fn message(&self) -> String {
        let subject = self.value.map(|value| format!("{value} ")).unwrap_or_default();
        format!("{subject}has no effect yet: {}", self.instead)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::definition::{DEFINITIONS, schema_of};

    #[test]
    fn every_entry_names_a_field_that_exists_and_appears_once() {
        let mut seen = BTreeSet::new();
        for entry in FIELDS_WITHOUT_EFFECT {
            assert!(seen.insert((entry.kind, entry.path, entry.value)), "{entry:?} is there twice");
            let schema = match entry.kind {
                "MeshConfig" => schema_of::<crate::mesh_config::MeshConfig>(),
                kind => DEFINITIONS.iter().find(|d| d.kind == kind).expect(kind).checked_schema().clone(),
            };
            let found = entry.path.split('.').try_fold(&schema, |schema, segment| {
                let name = segment.trim_end_matches("[]");
                let field = schema.get("properties")?.get(name)?;
                if segment.ends_with("[]") { field.get("items") } else { Some(field) }
            });
            let field = found.unwrap_or_else(|| panic!("{} has no field {}", entry.kind, entry.path));
            if let Some(value) = entry.value {
                assert!(field["enum"].as_array().unwrap().contains(&json!(value)), "{entry:?}");
            }
        }
    }

    #[test]
    fn each_use_is_named() {
        let object = json!({"spec": {"http": [{"match": [{}, {"statPrefix": "a"}]}, {"match": [{"statPrefix": "b"}]}]}});
        let found = fields_without_effect("VirtualService", &object);
        let fields: Vec<&str> = found.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["spec.http[0].match[1].statPrefix", "spec.http[1].match[0].statPrefix"]);
        let of = |resolution| {
            fields_without_effect("ServiceEntry", &json!({"spec": {"resolution": resolution}})).len()
        };
        assert_eq!((of("DNS"), of("DYNAMIC_DNS")), (0, 1));
    }
}
