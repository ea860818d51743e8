//! JSON patch between two pods. Containers and volumes are told apart by name and inserted or removed as wholes, so that
//! fields a newer server knows, and we don't, stay with the container they belong to.

use json_patch::{
    AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation, jsonptr::PointerBuf,
};
use serde_json::{Map, Value};

/// The operations that turn `before` into `after`.
pub fn diff(before: &Value, after: &Value) -> Patch {
    let mut operations = Vec::new();
    values(before, after, &mut PointerBuf::new(), &mut operations);
    Patch(operations)
}

fn values(before: &Value, after: &Value, path: &mut PointerBuf, out: &mut Vec<PatchOperation>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(before), Value::Object(after)) => objects(before, after, path, out),
        (Value::Array(old), Value::Array(new)) if named(old) && named(new) => lists(old, new, path, out),
        _ => out.push(PatchOperation::Replace(ReplaceOperation { path: path.clone(), value: after.clone() })),
    }
}

fn objects(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    path: &mut PointerBuf,
    out: &mut Vec<PatchOperation>,
) {
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        at(path, key, |path| out.push(PatchOperation::Remove(RemoveOperation { path: path.clone() })));
    }
    for (key, value) in after {
        at(path, key, |path| match before.get(key) {
            Some(old) => values(old, value, path, out),
            None => out.push(add(path, value)),
        });
    }
}

fn lists(before: &[Value], after: &[Value], path: &mut PointerBuf, out: &mut Vec<PatchOperation>) {
    let mut current: Vec<&Value> = before.iter().collect();
    for index in (0..current.len()).rev() {
        if after.iter().all(|new| name(new) != name(current[index])) {
            remove(&mut current, index, path, out);
        }
    }
    for (index, new) in after.iter().enumerate() {
        match current.iter().position(|old| name(old) == name(new)) {
            Some(place) if place == index => {
                at(path, &index.to_string(), |path| values(current[index], new, path, out));
            }
            place => {
                if let Some(place) = place {
                    remove(&mut current, place, path, out);
                }
                at(path, &index.to_string(), |path| out.push(add(path, new)));
                current.insert(index, new);
            }
        }
    }
}

fn remove(current: &mut Vec<&Value>, index: usize, path: &mut PointerBuf, out: &mut Vec<PatchOperation>) {
    current.remove(index);
    at(path, &index.to_string(), |path| {
        out.push(PatchOperation::Remove(RemoveOperation { path: path.clone() }));
    });
}

fn add(path: &PointerBuf, value: &Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: path.clone(), value: value.clone() })
}

fn at(path: &mut PointerBuf, token: &str, act: impl FnOnce(&mut PointerBuf)) {
    path.push_back(token);
    act(path);
    path.pop_back();
}

fn name(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}

/// Whether every item has a name of its own.
fn named(list: &[Value]) -> bool {
    let mut names: Vec<_> = list.iter().filter_map(name).collect();
    names.sort_unstable();
    names.dedup();
    names.len() == list.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn applying_the_difference_gives_the_other() {
        let cases = [
            (json!({"a": 1}), json!({"a": 1})),
            (json!({"a": 1, "b": {"c/d": 2}}), json!({"b": {"c/d": 3, "e~f": []}})),
            (json!([{"name": "app"}]), json!([{"name": "init"}, {"name": "proxy"}, {"name": "app", "x": 1}])),
            (json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]), json!([{"name": "c"}, {"name": "a"}])),
            (json!([{"name": "a"}, {"name": "a"}]), json!([{"name": "a"}])),
            (json!(["x", "y"]), json!(["y"])),
            (json!({"list": []}), json!({"list": [{"name": "a"}]})),
        ];
        for (before, after) in cases {
            let mut patched = before.clone();
            json_patch::patch(&mut patched, &diff(&before, &after)).unwrap();
            assert_eq!(patched, after);
        }
    }

    #[test]
    fn a_container_before_another_does_not_take_its_unknown_fields() {
        let known = json!({"c": [{"name": "app", "image": "a"}]});
        let result = json!({"c": [{"name": "proxy", "image": "p"}, {"name": "app", "image": "a"}]});
        let mut raw = json!({"c": [{"name": "app", "image": "a", "newField": true}]});
        json_patch::patch(&mut raw, &diff(&known, &result)).unwrap();
        assert_eq!(raw["c"][1], json!({"name": "app", "image": "a", "newField": true}));
        assert_eq!(raw["c"][0], json!({"name": "proxy", "image": "p"}));
    }
}
