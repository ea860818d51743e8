//! Fields that nobody knows, and the ones that were probably meant.

use std::fmt;

use serde_json::Value;

use super::walk::join;

/// A field that its kind doesn't have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// Path of the field.
    pub field: String,
    /// The field that was probably meant, or where the setting belongs.
    pub hint: Option<String>,
}

impl fmt::Display for UnknownField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown field {}", self.field)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// Settings that guides put into the wrong kind.
const ELSEWHERE: [(&str, &str, &str); 8] = [
    ("DestinationRule", "retries", "retries belong in the VirtualService: spec.http[].retries"),
    ("DestinationRule", "retryPolicy", "retries belong in the VirtualService: spec.http[].retries"),
    ("DestinationRule", "timeout", "timeouts belong in the VirtualService: spec.http[].timeout"),
    ("DestinationRule", "fault", "faults belong in the VirtualService: spec.http[].fault"),
    ("DestinationRule", "mirror", "mirroring belongs in the VirtualService: spec.http[].mirror"),
    ("VirtualService", "trafficPolicy", "traffic policies belong in a DestinationRule: spec.trafficPolicy"),
    ("VirtualService", "subsets", "subsets belong in a DestinationRule: spec.subsets"),
    (
        "VirtualService",
        "outlierDetection",
        "outlier detection belongs in a DestinationRule: spec.trafficPolicy",
    ),
];

/// Builds the finding for field `name` below `path`, whose known fields are `siblings`.
pub(super) fn explain(
    kind: &str,
    root: &Value,
    path: &[String],
    name: &str,
    siblings: &[&str],
) -> UnknownField {
    let mut full = path.to_vec();
    full.push(name.to_owned());
    let meant = |field: &str| Some(format!("did you mean {field}?"));
    let sibling = |field: &str| meant(&join(&[path, &[field.to_owned()]].concat()));
    let hint = closest(name, siblings)
        .and_then(sibling)
        .or_else(|| {
            ELSEWHERE.iter().find(|(k, n, _)| *k == kind && *n == name).map(|(_, _, text)| (*text).into())
        })
        .or_else(|| same_name(root, path, name).and_then(|field| meant(&field)))
        .or_else(|| containing(name, siblings).and_then(sibling));
    UnknownField { field: join(&full), hint }
}

/// The known name that a misspelt one is closest to, if any is close.
pub fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = name.to_lowercase().replace(['_', '-'], "");
    known
        .iter()
        .map(|candidate| {
            (strsim::normalized_damerau_levenshtein(&lower, &candidate.to_lowercase()), *candidate)
        })
        .filter(|(similarity, _)| *similarity >= 0.7)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// A known name that contains the given one: `pendingRequests` is part of `http1MaxPendingRequests`.
fn containing<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known.iter().find(|candidate| lower.len() > 3 && candidate.to_lowercase().contains(&lower)).copied()
}

/// A field of the same name elsewhere in the kind, the one that shares the longest way from the root.
fn same_name(root: &Value, path: &[String], name: &str) -> Option<String> {
    let here: Vec<&str> =
        path.iter().map(String::as_str).filter(|segment| !segment.starts_with('[')).collect();
    let mut found = Vec::new();
    collect(root, &mut Vec::new(), name, &mut found);
    found
        .into_iter()
        .filter(|candidate| candidate.first().is_some_and(|first| first != "status"))
        .max_by_key(|candidate| {
            let way = candidate.iter().filter(|segment| *segment != "[]");
            (way.zip(&here).take_while(|(a, b)| a == *b).count(), std::cmp::Reverse(candidate.len()))
        })
        .map(|candidate| join(&candidate))
}

fn collect(schema: &Value, path: &mut Vec<String>, name: &str, found: &mut Vec<Vec<String>>) {
    if let Some(items) = schema.get("items") {
        path.push("[]".into());
        collect(items, path, name, found);
        path.pop();
    }
    for (property, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        path.push(property.clone());
        if property == name {
            found.push(path.clone());
        }
        collect(inner, path, name, found);
        path.pop();
    }
}
