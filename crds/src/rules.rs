//! Pieces of JSON schema and CEL that several types share, in the form `#[schemars(extend(...))]` takes.

use serde_json::{Value, json};

/// A protobuf `oneof`: none or exactly one of the fields.
pub(crate) fn at_most_one(fields: &[&str]) -> Value {
    let required: Vec<Value> = fields.iter().map(|field| json!({ "required": [field] })).collect();
    let mut alternatives = vec![json!({ "not": { "anyOf": required } })];
    alternatives.extend(required);
    Value::Array(alternatives)
}

/// Two `oneof`s in one message.
pub(crate) fn at_most_one_of_each(groups: &[&[&str]]) -> Value {
    groups.iter().map(|fields| json!({ "oneOf": at_most_one(fields) })).collect()
}

/// CEL rules, each with the message a person gets when it doesn't hold.
pub(crate) fn cel(rules: &[(&str, &str)]) -> Value {
    rules.iter().map(|(rule, message)| json!({ "rule": rule, "message": message })).collect()
}
