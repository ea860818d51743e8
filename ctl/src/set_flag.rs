//! `--set path=value`: writes one value into a tree, as Helm and istioctl read it.
//!
//! In: `values.global.proxy.resources.requests.cpu=100m`, `components.ingressGateways[0].enabled=false`. Out: the changed
//! tree.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

/// Applies one `path=value` to the `spec` of a MeshInstall.
///
/// # Errors
/// When the flag has no `=`, the path is malformed, or an index is beyond the list's end.
pub fn set(spec: &mut Value, flag: &str) -> Result<()> {
    let (path, text) = flag.split_once('=').with_context(|| format!("--set {flag}: expected path=value"))?;
    let steps = steps(path).with_context(|| format!("--set {flag}"))?;
    let mut place = spec;
    for step in steps {
        place = match step {
            Step::Field(name) => {
                if place.is_null() {
                    *place = Value::Object(Map::new());
                }
                let object = place.as_object_mut();
                object
                    .with_context(|| format!("--set {flag}: {name} lies below something that isn't a map"))?
                    .entry(name)
                    .or_insert(Value::Null)
            }
            Step::Index(index) => {
                if place.is_null() {
                    *place = json!([]);
                }
                let list =
                    place.as_array_mut().with_context(|| format!("--set {flag}: [{index}] needs a list"))?;
                if index == list.len() {
                    list.push(Value::Null);
                }
                let length = list.len();
                list.get_mut(index).with_context(|| format!("--set {flag}: the list has {length} items"))?
            }
        };
    }
    *place = value(text);
    Ok(())
}

enum Step {
    Field(String),
    Index(usize),
}

fn steps(path: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut field = String::new();
    let mut rest = path.chars();
    while let Some(character) = rest.next() {
        match character {
            // A dot in a key is written `\.`, as Helm has it.
            '\\' => field.extend(rest.next()),
            '.' => push(&mut steps, &mut field),
            '[' => {
                push(&mut steps, &mut field);
                let index: String = rest.by_ref().take_while(|character| *character != ']').collect();
                steps.push(Step::Index(index.parse().with_context(|| format!("[{index}] is not an index"))?));
            }
            other => field.push(other),
        }
    }
    push(&mut steps, &mut field);
    if steps.is_empty() {
        bail!("the path is empty");
    }
    Ok(steps)
}

fn push(steps: &mut Vec<Step>, field: &mut String) {
    if !field.is_empty() {
        steps.push(Step::Field(std::mem::take(field)));
    }
}

/// `true`, `3` and `null` mean what they say; everything else is text.
fn value(text: &str) -> Value {
    match text {
        "true" => json!(true),
        "false" => json!(false),
        "null" => Value::Null,
        _ => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => json!(number),
            _ => json!(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_reach_into_maps_and_lists() -> Result<()> {
        let cases = [
            ("profile=demo", json!({ "profile": "demo" })),
            (
                "meshConfig.accessLogFile=/dev/stdout",
                json!({ "meshConfig": { "accessLogFile": "/dev/stdout" } }),
            ),
            (
                "components.ingressGateways[0].enabled=false",
                json!({ "components": { "ingressGateways": [{ "enabled": false }] } }),
            ),
            ("values.global.logAsJson=true", json!({ "values": { "global": { "logAsJson": true } } })),
            (r"a.b\.c=1", json!({ "a": { "b.c": 1 } })),
            ("tag=007", json!({ "tag": "007" })),
        ];
        for (flag, wanted) in cases {
            let mut spec = Value::Null;
            set(&mut spec, flag)?;
            assert_eq!(spec, wanted, "{flag}");
        }
        Ok(())
    }

    #[test]
    fn a_bad_flag_is_named() {
        for flag in ["profile", "a[x]=1", "a[3]=1", "=1"] {
            let error = set(&mut Value::Null, flag).map_err(|error| format!("{error:#}"));
            assert!(error.as_ref().is_err_and(|message| message.contains(flag)), "{flag}: {error:?}");
        }
    }

    #[test]
    fn a_path_through_a_text_is_refused() {
        let error = set(&mut json!({ "profile": "demo" }), "profile.x=1");
        assert!(error.is_err());
    }
}
