//! From schemars' JSON schema to the structural schema a Kubernetes API server accepts.

use std::{any::TypeId, collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

const KEEP_UNKNOWN: &str = "x-kubernetes-preserve-unknown-fields";
/// Our own annotations: read by [`crate::check`], never written into a CustomResourceDefinition.
const ALIAS: &str = "x-alias";
const DEFAULT: &str = "x-default";
pub(crate) const DURATION: &str = "x-duration";

/// The structural schema of a type, our annotations included.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft07();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    walk(&mut schema, &mut make_structural);
    schema
}

/// As [`schema_of`], made once for each type.
pub(crate) fn shared_schema_of<T: JsonSchema + 'static>() -> Arc<Value> {
    static MADE: Mutex<BTreeMap<TypeId, Arc<Value>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock();
    Arc::clone(made.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(schema_of::<T>())))
}

/// Makes a Kubernetes type an overlay: nothing is required, and the long descriptions go.
pub(crate) fn relax(schema: &mut Schema) {
    let mut value = std::mem::take(schema).to_value();
    walk(&mut value, &mut |schema| {
        schema.remove("description");
        schema.remove("required");
    });
    if let Ok(relaxed) = Schema::try_from(value) {
        *schema = relaxed;
    }
}

/// Turns our annotations into what the API server knows.
pub(super) fn strip_annotations(schema: &mut Value) {
    walk(schema, &mut |schema| {
        schema.remove(DURATION);
        schema.remove(ALIAS);
        if let Some(default) = schema.remove(DEFAULT) {
            schema.insert("default".into(), default);
        }
    });
}

/// Lets fields that aren't named through, in an object and in all objects inside it. Alternatives (`oneOf` and the like) say
/// nothing about what is kept, and Kubernetes refuses it there.
pub(super) fn keep_unknown_fields(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(keep_unknown_fields);
        schema.insert(KEEP_UNKNOWN.into(), json!(true));
    }
    for key in ["items", "additionalProperties"] {
        schema.get_mut(key).into_iter().for_each(keep_unknown_fields);
    }
}

/// Visits a schema and all schemas inside it, inner ones first.
pub(super) fn walk(schema: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(schema) = schema else { return };
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            walk(property, visit);
        }
    }
    for key in ["items", "additionalProperties", "not"] {
        if let Some(inner) = schema.get_mut(key) {
            walk(inner, visit);
        }
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        if let Some(Value::Array(alternatives)) = schema.get_mut(key) {
            for alternative in alternatives {
                walk(alternative, visit);
            }
        }
    }
    visit(schema);
}

fn make_structural(schema: &mut Map<String, Value>) {
    for key in ["title", "default", "$schema", "definitions"] {
        schema.remove(key);
    }
    unwrap_option(schema);
    bound_integers(schema);
    open_free_form(schema);
    add_aliases(schema);
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    }
}

/// `Option` comes as `anyOf: [T, null]`, `type: [T, "null"]` or a `null` among names; absence is what `None` means here.
fn unwrap_option(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(names)) = schema.get_mut("enum") {
        names.retain(|name| !name.is_null());
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    let is_null = |alternative: &Value| *alternative == json!({ "type": "null" });
    let Some(Value::Array(alternatives)) = schema.get_mut("anyOf") else { return };
    if !alternatives.iter().any(is_null) {
        return;
    }
    alternatives.retain(|alternative| !is_null(alternative));
    if let [Value::Object(inner)] = alternatives.as_slice() {
        let inner = inner.clone();
        schema.remove("anyOf");
        for (key, value) in inner {
            schema.entry(key).or_insert(value);
        }
    }
}

/// OpenAPI knows no unsigned formats.
fn bound_integers(schema: &mut Map<String, Value>) {
    let highest = match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => Some(json!(u32::MAX)),
        Some("uint64") => None,
        _ => return,
    };
    schema.remove("format");
    schema.entry("minimum").or_insert(json!(0));
    if let Some(highest) = highest {
        schema.entry("maximum").or_insert(highest);
    }
}

/// An object of anything is kept as it is, not pruned.
fn open_free_form(schema: &mut Map<String, Value>) {
    let anything = match schema.get("additionalProperties") {
        Some(Value::Bool(open)) => *open,
        Some(Value::Object(inner)) if inner.is_empty() => true,
        _ => return,
    };
    schema.remove("additionalProperties");
    if anything {
        schema.insert(KEEP_UNKNOWN.into(), json!(true));
    }
}

/// A second spelling of a field (`mirror_percent`) is a property of its own.
fn add_aliases(schema: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    let aliases: Vec<(String, Value)> = properties
        .values()
        .filter_map(|property| Some((property.get(ALIAS)?.as_str()?.to_owned(), property.clone())))
        .collect();
    properties.extend(aliases);
}
