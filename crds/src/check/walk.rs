//! Walks an object and its schema side by side.

use serde_json::{Map, Value};

use super::{Problem, Report, unknown};
use crate::{Duration, definition::DURATION};

/// Deeper than any field of any kind; a document that nests further is not followed.
const DEEPEST: usize = 64;
/// A person mends a few problems at a time; a hostile document may have millions.
const MOST_FINDINGS: usize = 100;

pub(super) struct Checker<'a> {
    kind: &'a str,
    root: &'a Value,
    path: Vec<String>,
    pub(super) report: Report,
}

impl<'a> Checker<'a> {
    pub(super) fn new(kind: &'a str, root: &'a Value) -> Self {
        Self { kind, root, path: Vec::new(), report: Report::default() }
    }

    /// A whole Kubernetes object; its status is the mesh's own affair and not looked at.
    pub(super) fn object(&mut self, object: &Value) {
        let Value::Object(fields) = object else {
            return self.problem("an object is a map of apiVersion, kind, metadata and spec");
        };
        for name in fields
            .keys()
            .filter(|name| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "spec" | "status"))
        {
            self.unknown(name, &["spec", "status", "metadata"]);
        }
        let no_fields = Value::Object(Map::new());
        let spec = fields.get("spec").filter(|spec| !spec.is_null());
        if spec.is_none() && self.root.pointer("/required/0").is_some() {
            self.problem("spec is missing");
            return;
        }
        if let Some(schema) = self.root.pointer("/properties/spec") {
            self.within("spec", |checker| checker.value(schema, spec.unwrap_or(&no_fields)));
        }
    }

    pub(super) fn value(&mut self, schema: &Value, value: &Value) {
        if value.is_null() || self.path.len() > DEEPEST || self.report.problems.len() >= MOST_FINDINGS {
            return;
        }
        if schema.get("x-kubernetes-int-or-string").is_some() {
            if !value.is_i64() && !value.is_u64() && !value.is_string() {
                self.wrong_type("a number or a string", value);
            }
            return;
        }
        match (schema.get("type").and_then(Value::as_str), value) {
            (Some("object"), Value::Object(fields)) => self.fields(schema, fields),
            (Some("array"), Value::Array(items)) => self.items(schema, items),
            (Some("string"), Value::String(text)) => self.text(schema, text),
            (Some("integer"), Value::Number(number)) if number.as_f64().is_some_and(|n| n.fract() == 0.0) => {
                self.range(schema, number);
            }
            (Some("number"), Value::Number(number)) => self.range(schema, number),
            (Some("boolean"), Value::Bool(_)) | (None, _) => {}
            (Some("object"), _) => self.wrong_type("a map", value),
            (Some("array"), _) => self.wrong_type("a list", value),
            (Some("string"), _) => self.wrong_type("a string", value),
            (Some("integer"), _) => self.wrong_type("a whole number", value),
            (Some("boolean"), _) => self.wrong_type("true or false", value),
            (Some(_), _) => self.wrong_type("a number", value),
        }
    }

    fn fields(&mut self, schema: &Value, fields: &Map<String, Value>) {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if let Some(name) = name.as_str().filter(|name| fields.get(*name).is_none_or(Value::is_null)) {
                self.within(name, |checker| checker.problem("is required"));
            }
        }
        self.exclusive(schema, fields);
        for nested in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.exclusive(nested, fields);
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        for (name, value) in fields {
            match (properties.and_then(|known| known.get(name)), others) {
                (Some(known), _) => self.within(name, |checker| checker.value(known, value)),
                (None, Some(others)) => self.within(name, |checker| checker.value(others, value)),
                (None, None) => {
                    if let Some(known) = properties {
                        let names: Vec<&str> = known.keys().map(String::as_str).collect();
                        self.unknown(name, &names);
                    }
                }
            }
        }
    }

    /// `oneOf` in these schemas always means: at most one of these fields.
    fn exclusive(&mut self, schema: &Value, fields: &Map<String, Value>) {
        let alternatives = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
        let names = alternatives.filter_map(|alternative| alternative.pointer("/required/0")?.as_str());
        let present: Vec<&str> = names.filter(|name| fields.contains_key(*name)).collect();
        if present.len() > 1 {
            self.problem(&format!("only one of {} can be set", present.join(", ")));
        }
    }

    fn items(&mut self, schema: &Value, items: &[Value]) {
        self.length(schema, "Items", items.len(), "entries");
        let Some(of) = schema.get("items") else { return };
        for (index, item) in items.iter().enumerate() {
            self.within(&format!("[{index}]"), |checker| checker.value(of, item));
        }
    }

    fn text(&mut self, schema: &Value, text: &str) {
        self.length(schema, "Length", text.chars().count(), "characters");
        if let Some(Value::Array(names)) = schema.get("enum")
            && !names.iter().any(|name| name == text)
        {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            let meant = unknown::closest(text, &names).map(|name| format!("; did you mean {name}?"));
            self.problem(&format!(
                "{text:?} is not one of {}{}",
                names.join(", "),
                meant.unwrap_or_default()
            ));
        }
        if schema.get(DURATION).is_some()
            && let Err(error) = text.parse::<Duration>()
        {
            self.problem(&error.to_string());
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && regex::Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(text))
        {
            self.problem(&format!("{text:?} must match {pattern}"));
        }
    }

    fn length(&mut self, schema: &Value, what: &str, length: usize, unit: &str) {
        let limit = |bound: &str| schema.get(format!("{bound}{what}")).and_then(Value::as_u64);
        if let Some(most) = limit("max").filter(|most| length as u64 > *most) {
            self.problem(&format!("has {length} {unit}; at most {most} are allowed"));
        }
        if let Some(least) = limit("min").filter(|least| (length as u64) < *least) {
            self.problem(&format!("has {length} {unit}; at least {least} are needed"));
        }
    }

    fn range(&mut self, schema: &Value, number: &serde_json::Number) {
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let int32 = schema.get("format").and_then(Value::as_str) == Some("int32");
        let lowest = bound("minimum").or(int32.then_some(f64::from(i32::MIN)));
        let highest = bound("maximum").or(int32.then_some(f64::from(i32::MAX)));
        let Some(value) = number.as_f64() else { return };
        if let Some(lowest) = lowest.filter(|lowest| value < *lowest) {
            self.problem(&format!("{number} is less than {lowest}"));
        }
        if let Some(highest) = highest.filter(|highest| value > *highest) {
            self.problem(&format!("{number} is greater than {highest}"));
        }
    }

    fn wrong_type(&mut self, wanted: &str, found: &Value) {
        let shown = match found {
            Value::Object(_) => "a map".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            simple => simple.to_string().chars().take(80).collect(),
        };
        let remedy = if wanted == "a string" && !found.is_array() && !found.is_object() {
            "; put it in quotes"
        } else {
            ""
        };
        self.problem(&format!("must be {wanted}, not {shown}{remedy}"));
    }

    fn within(&mut self, segment: &str, inner: impl FnOnce(&mut Self)) {
        self.path.push(segment.to_owned());
        inner(self);
        self.path.pop();
    }

    fn problem(&mut self, message: &str) {
        if self.report.problems.len() < MOST_FINDINGS {
            self.report.problems.push(Problem { field: join(&self.path), message: message.to_owned() });
        }
    }

    fn unknown(&mut self, name: &str, siblings: &[&str]) {
        if self.report.unknown.len() < MOST_FINDINGS {
            let found = unknown::explain(self.kind, self.root, &self.path, name, siblings);
            self.report.unknown.push(found);
        }
    }
}

/// `spec.http[0].route`, of its segments.
pub(super) fn join(path: &[String]) -> String {
    let mut joined = String::new();
    for segment in path {
        if !joined.is_empty() && !segment.starts_with('[') {
            joined.push('.');
        }
        joined.push_str(segment);
    }
    joined
}
