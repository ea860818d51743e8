//! Makes a configuration and a request smaller while they still differ.

use explain::Request;
use serde_json::Value;

/// Takes away what the difference doesn't need: objects, then parts of them, as long as anything can go.
pub(crate) fn configuration(mut rules: Vec<Value>, differs: &dyn Fn(&[Value]) -> bool) -> Vec<Value> {
    loop {
        let mut smaller = None;
        for at in 0..rules.len() {
            let mut without = rules.clone();
            without.remove(at);
            if differs(&without) {
                smaller = Some(without);
                break;
            }
            smaller = less(&rules[at]).into_iter().find_map(|part| {
                let mut with = rules.clone();
                with[at] = part;
                differs(&with).then_some(with)
            });
            if smaller.is_some() {
                break;
            }
        }
        match smaller {
            Some(next) => rules = next,
            None => return rules,
        }
    }
}

/// Every value that lacks one field or one item of this.
fn less(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                if ["apiVersion", "kind", "metadata"].contains(&key.as_str()) {
                    continue;
                }
                let mut without = fields.clone();
                without.remove(key);
                all.push(Value::Object(without));
                for part in less(inner) {
                    let mut with = fields.clone();
                    with.insert(key.clone(), part);
                    all.push(Value::Object(with));
                }
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                let mut without = items.clone();
                without.remove(at);
                all.push(Value::Array(without));
                for part in less(inner) {
                    let mut with = items.clone();
                    with[at] = part;
                    all.push(Value::Array(with));
                }
            }
        }
        _ => {}
    }
    all
}

/// Takes away headers, query and authority.
pub(crate) fn request(mut request: Request, differs: &dyn Fn(&Request) -> bool) -> Request {
    loop {
        let mut tries: Vec<Request> = (0..request.headers.len())
            .map(|at| {
                let mut without = request.clone();
                without.headers.remove(at);
                without
            })
            .collect();
        if request.authority.is_some() {
            tries.push(Request { authority: None, ..request.clone() });
        }
        if request.query().is_some() {
            tries.push(Request { path: request.bare_path().to_owned(), ..request.clone() });
        }
        match tries.into_iter().find(|smaller| differs(smaller)) {
            Some(smaller) => request = smaller,
            None => return request,
        }
    }
}
