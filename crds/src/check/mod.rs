//! Judges an object by its kind's schema without an API server: wrong types, missing and unknown fields,
//! each with its path. Used by the webhook, by the source that reads a folder of YAML, and by `trysailctl`.

mod unknown;
mod walk;

use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::unknown::{UnknownField, closest};
use self::walk::Checker;
use crate::definition::{Definition, shared_schema_of};

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, such as `spec.http[0].timeout`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.field, self.message)
        }
    }
}

/// What a schema says about an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Values that can't be.
    pub problems: Vec<Problem>,
    /// Fields that nobody knows.
    pub unknown: Vec<UnknownField>,
}

/// Why an object can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", self.prefix(), self.listing())]
pub struct DecodeError {
    /// Kind, namespace and name of the object; empty for a part of one.
    pub object: String,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

impl DecodeError {
    fn prefix(&self) -> String {
        if self.object.is_empty() { String::new() } else { format!("{}: ", self.object) }
    }

    fn listing(&self) -> String {
        self.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

/// Checks an object against its kind's schema. `None` when Trysail has no such kind.
pub fn check(object: &Value) -> Option<Report> {
    let definition = definition_of(object)?;
    let mut checker = Checker::new(definition.kind, definition.checked_schema());
    checker.object(object);
    Some(checker.report)
}

/// Turns an object into its type, or says everything that is wrong with it. Unknown fields are passed over.
pub fn decode<K: DeserializeOwned>(object: &Value) -> Result<K, DecodeError> {
    let problems = check(object).unwrap_or_default().problems;
    finish(object, describe(object), problems)
}

/// Turns a part of an object, or a document that is no Kubernetes object, into its type.
pub fn decode_part<T: DeserializeOwned + JsonSchema + 'static>(value: &Value) -> Result<T, DecodeError> {
    finish(value, String::new(), check_part::<T>(value).problems)
}

/// Checks a part of an object against the schema of its type.
pub fn check_part<T: JsonSchema + 'static>(value: &Value) -> Report {
    let root = shared_schema_of::<T>();
    let mut checker = Checker::new("", &root);
    checker.value(&root, value);
    checker.report
}

fn finish<T: DeserializeOwned>(
    value: &Value,
    object: String,
    problems: Vec<Problem>,
) -> Result<T, DecodeError> {
    if !problems.is_empty() {
        return Err(DecodeError { object, problems });
    }
    let mut value = value.clone();
    drop_nulls(&mut value);
    serde_path_to_error::deserialize(value).map_err(|error| DecodeError {
        object,
        problems: vec![Problem { field: error.path().to_string(), message: error.inner().to_string() }],
    })
}

/// Takes out fields that are null. The API server drops those that a schema doesn't allow; so do we.
pub fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The definition of an object's kind.
pub fn definition_of(object: &Value) -> Option<&'static Definition> {
    let (group, version) = object.get("apiVersion")?.as_str()?.split_once('/')?;
    let definition = Definition::find(group, object.get("kind")?.as_str()?)?;
    definition.versions.contains(&version).then_some(definition)
}

/// `VirtualService default/reviews`, for messages.
pub fn describe(object: &Value) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let metadata = object.get("metadata");
    let (kind, name) = (text(object.get("kind")), text(metadata.and_then(|m| m.get("name"))));
    let name = if name.is_empty() { text(metadata.and_then(|m| m.get("generateName"))) } else { name };
    match text(metadata.and_then(|m| m.get("namespace"))) {
        namespace if namespace.is_empty() => format!("{kind} {name}"),
        namespace => format!("{kind} {namespace}/{name}"),
    }
}
