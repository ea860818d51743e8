//! Tables from a proxy's configuration dump, column for column as `istioctl proxy-config` prints them.
//!
//! In: the JSON of `/config_dump` (or `/clusters?format=json`) in Envoy's shape, from our proxy or from Envoy. Out: text, or JSON as istioctl
//! spells it.

pub mod cluster;
pub mod endpoint;
mod json;
pub mod listener;
pub mod route;
pub mod secret;
pub mod sync;

use serde_json::Value;

/// Every resource of the section of `dump` whose type ends with `section`, found at `lists` (a list name and the field
/// of its entries that holds the resource).
fn resources<'a>(dump: &'a Value, section: &str, lists: &[(&str, &str)]) -> Vec<&'a Value> {
    let sections = dump.get("configs").and_then(Value::as_array).into_iter().flatten();
    let wanted = sections.filter(|entry| {
        entry.get("@type").and_then(Value::as_str).is_some_and(|kind| kind.ends_with(section))
    });
    let mut found = Vec::new();
    for entry in wanted {
        for (list, pointer) in lists {
            let items = entry.get(*list).and_then(Value::as_array).into_iter().flatten();
            found.extend(items.filter_map(|item| item.pointer(pointer)));
        }
    }
    found
}

/// The messages as `istioctl proxy-config -o json` prints them; `kind` is the full name of those without `@type`.
pub fn istioctl(messages: &[&Value], kind: &str) -> Value {
    messages.iter().map(|message| json::istioctl(message, kind)).collect()
}

/// A string field, or the empty string.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The strings of a list field.
fn strings<'a>(value: &'a Value, pointer: &str) -> Vec<&'a str> {
    let list = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

/// `reviews.default` from the origin in a resource's metadata, as istiod writes it.
fn origin(resource: &Value) -> String {
    let config = text(resource, "/metadata/filter_metadata/istio/config");
    let parts: Vec<_> = config.split('/').collect();
    match parts.as_slice() {
        ["", "apis", "networking.istio.io", _, "namespaces", namespace, _, name] => {
            format!("{name}.{namespace}")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_origin_is_name_and_namespace() {
        let config = "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/reviews";
        let route = json!({ "metadata": { "filter_metadata": { "istio": { "config": config } } } });
        assert_eq!(origin(&route), "reviews.shop");
        assert_eq!(origin(&json!({})), "");
    }
}
