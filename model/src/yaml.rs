//! YAML as people write it and as tools print it: several documents in a text, lists of objects, JSON.

use serde_json::Value;

use crate::object::Object;
use crate::value::{Key, Kind};

/// The documents of a YAML text. A line that begins with `---` is never anything but a boundary.
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let boundary = current.match_indices("---").map(|(at, _)| at).find(|at| {
            let (before, after) = (&current[..*at], &current[at + 3..]);
            (before.is_empty() || before.ends_with('\n'))
                && after.chars().next().is_none_or(char::is_whitespace)
        });
        let document = match boundary {
            Some(at) => {
                rest = Some(&current[at + 3..]);
                &current[..at]
            }
            None => {
                rest = None;
                current
            }
        };
        Some(document)
    })
    .filter(|document| {
        document.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    })
}

/// One document as values: an object, or the items of a `List`.
pub fn values(document: &str) -> Result<Vec<Value>, String> {
    let value: Value = if document.trim_start().starts_with('{') {
        serde_json::from_str(document).map_err(|e| format!("not valid JSON: {e}"))?
    } else {
        serde_saphyr::from_str(document).map_err(|e| format!("not valid YAML: {e}"))?
    };
    match value {
        Value::Object(mut list) if list.get("kind").is_some_and(|kind| kind == "List") => {
            match list.remove("items") {
                Some(Value::Array(items)) => Ok(items),
                _ => Err("a List without items".to_owned()),
            }
        }
        Value::Null => Ok(Vec::new()),
        value => Ok(vec![value]),
    }
}

/// The object of a document, or the problem and whose it is.
pub fn object(value: Value) -> Result<Option<Object>, (Option<Key>, String)> {
    let key = key_of(&value);
    Object::from_json(value).map_err(|error| (key, error.to_string()))
}

/// The key that a broken object would have.
fn key_of(value: &Value) -> Option<Key> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let kind = Kind::named(text("/kind")?)?;
    let namespace = if kind.is_namespaced() { text("/metadata/namespace").unwrap_or("default") } else { "" };
    Some(Key::new(kind, namespace, text("/metadata/name")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_at_boundaries_only() {
        let text = "---\na: 1\n--- # next\nb: |\n  ---\n  text\n---\n# only a comment\n---\nc: ---x\n";
        let documents: Vec<_> = split(text).map(str::trim).collect();
        assert_eq!(documents, ["a: 1", "# next\nb: |\n  ---\n  text", "c: ---x"]);
    }
}
