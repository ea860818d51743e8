//! Rules that a VirtualService leaves to another one: what the root says and what the delegate says, as one rule.

use std::collections::BTreeMap;

use crds::networking::{HttpMatchRequest, HttpRoute, StringMatch};

/// The rules of a delegate as they take effect under a rule of the root. A rule whose conditions lie outside of the
/// root's is left out.
pub(crate) fn under(root: &HttpRoute, delegate: &[HttpRoute]) -> Vec<HttpRoute> {
    delegate.iter().filter_map(|rule| merged(root, rule)).collect()
}

/// What the delegate's rule leaves open is as the root says.
fn merged(root: &HttpRoute, rule: &HttpRoute) -> Option<HttpRoute> {
    let mirrors = if rule.mirrors.is_empty() { &root.mirrors } else { &rule.mirrors };
    Some(HttpRoute {
        name: joined(root.name.as_ref(), rule.name.as_ref()),
        matches: conditions(&root.matches, &rule.matches)?,
        route: rule.route.clone(),
        redirect: rule.redirect.clone(),
        delegate: None,
        direct_response: either(rule.direct_response.as_ref(), root.direct_response.as_ref()),
        rewrite: either(rule.rewrite.as_ref(), root.rewrite.as_ref()),
        timeout: either(rule.timeout.as_ref(), root.timeout.as_ref()),
        retries: either(rule.retries.as_ref(), root.retries.as_ref()),
        fault: either(rule.fault.as_ref(), root.fault.as_ref()),
        mirror: either(rule.mirror.as_ref(), root.mirror.as_ref()),
        mirrors: mirrors.clone(),
        mirror_percent: either(rule.mirror_percent.as_ref(), root.mirror_percent.as_ref()),
        mirror_percentage: either(rule.mirror_percentage.as_ref(), root.mirror_percentage.as_ref()),
        cors_policy: either(rule.cors_policy.as_ref(), root.cors_policy.as_ref()),
        headers: either(rule.headers.as_ref(), root.headers.as_ref()),
    })
}

fn either<T: Clone>(first: Option<&T>, second: Option<&T>) -> Option<T> {
    first.or(second).cloned()
}

fn joined(root: Option<&String>, own: Option<&String>) -> Option<String> {
    let given = |name: Option<&String>| name.filter(|name| !name.is_empty()).cloned();
    match (given(root), given(own)) {
        (Some(root), Some(own)) => Some(format!("{root}-{own}")),
        (root, own) => own.or(root),
    }
}

/// Each of the delegate's conditions within each of the root's that it can lie in; none if one of them lies in none.
fn conditions(root: &[HttpMatchRequest], own: &[HttpMatchRequest]) -> Option<Vec<HttpMatchRequest>> {
    if root.is_empty() || own.is_empty() {
        return Some(if root.is_empty() { own } else { root }.to_vec());
    }
    let mut all = Vec::new();
    for inner in own {
        let before = all.len();
        all.extend(root.iter().filter(|outer| can_hold_both(outer, inner)).map(|outer| both(outer, inner)));
        if all.len() == before {
            return None;
        }
    }
    Some(all)
}

fn both(root: &HttpMatchRequest, own: &HttpMatchRequest) -> HttpMatchRequest {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let gateways = if own.gateways.is_empty() { &root.gateways } else { &own.gateways };
    HttpMatchRequest {
        name: joined(root.name.as_ref(), own.name.as_ref()),
        uri: either(own.uri.as_ref(), root.uri.as_ref()),
        scheme: either(own.scheme.as_ref(), root.scheme.as_ref()),
        method: either(own.method.as_ref(), root.method.as_ref()),
        authority: either(own.authority.as_ref(), root.authority.as_ref()),
        headers: united(&root.headers, &own.headers),
        without_headers: united(&root.without_headers, &own.without_headers),
        query_params: united(&root.query_params, &own.query_params),
        source_labels: united(&root.source_labels, &own.source_labels),
        source_namespace: given(&own.source_namespace).or_else(|| given(&root.source_namespace)),
        port: port(own).or_else(|| port(root)),
        gateways: gateways.clone(),
        ignore_uri_case: own.ignore_uri_case,
        stat_prefix: given(&own.stat_prefix).or_else(|| given(&root.stat_prefix)),
    }
}

fn united<V: Clone>(root: &BTreeMap<String, V>, own: &BTreeMap<String, V>) -> BTreeMap<String, V> {
    root.iter().chain(own).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn port(condition: &HttpMatchRequest) -> Option<u32> {
    condition.port.filter(|port| *port != 0)
}

/// Whether a condition of the delegate lies within one of the root.
fn can_hold_both(root: &HttpMatchRequest, own: &HttpMatchRequest) -> bool {
    let texts = [
        (&root.uri, &own.uri),
        (&root.scheme, &own.scheme),
        (&root.method, &own.method),
        (&root.authority, &own.authority),
    ];
    let maps = [
        (&root.headers, &own.headers),
        (&root.without_headers, &own.without_headers),
        (&root.query_params, &own.query_params),
    ];
    let same = |one: Option<&str>, other: Option<&str>| match (one.unwrap_or(""), other.unwrap_or("")) {
        ("", _) | (_, "") => true,
        (one, other) => one == other,
    };
    texts.iter().all(|(root, own)| lies_within(own.as_ref(), root.as_ref()))
        && maps
            .iter()
            .all(|(root, own)| own.iter().all(|(name, value)| lies_within(Some(value), root.get(name))))
        && root.ignore_uri_case.unwrap_or_default() == own.ignore_uri_case.unwrap_or_default()
        && port(root).is_none_or(|outer| port(own).is_none_or(|inner| inner == outer))
        && same(root.source_namespace.as_deref(), own.source_namespace.as_deref())
        && own
            .source_labels
            .iter()
            .all(|(key, value)| root.source_labels.get(key).is_none_or(|it| it == value))
        && (root.gateways.is_empty() || own.gateways.iter().all(|gateway| root.gateways.contains(gateway)))
}

/// Whether what satisfies the one certainly satisfies the other; nobody knows that of regular expressions.
fn lies_within(own: Option<&StringMatch>, root: Option<&StringMatch>) -> bool {
    let (Some(own), Some(root)) = (own, root) else { return true };
    match (&own.exact, &own.prefix, &root.exact, &root.prefix) {
        (Some(own), _, Some(root), _) => own == root,
        (Some(own), _, _, Some(root)) | (_, Some(own), _, Some(root)) => own.starts_with(root.as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn matches(written: Value) -> Vec<HttpMatchRequest> {
        serde_json::from_value(written).unwrap()
    }

    #[test]
    fn conditions_lie_within_those_of_the_root() {
        for (root, own, expected) in [
            (json!([]), json!([{"uri": {"prefix": "/a"}}]), Some(json!([{"uri": {"prefix": "/a"}}]))),
            (json!([{"uri": {"prefix": "/a"}}]), json!([]), Some(json!([{"uri": {"prefix": "/a"}}]))),
            (
                json!([{"uri": {"prefix": "/a"}, "name": "r"}, {"uri": {"exact": "/b"}}]),
                json!([{"uri": {"prefix": "/a/b"}, "name": "d"}]),
                Some(json!([{"uri": {"prefix": "/a/b"}, "name": "r-d"}])),
            ),
            (
                json!([{"headers": {"x": {"exact": "1"}}, "port": 80}]),
                json!([{"headers": {"y": {}}, "gateways": ["mesh"]}]),
                Some(json!([{"headers": {"x": {"exact": "1"}, "y": {}}, "port": 80, "gateways": ["mesh"]}])),
            ),
            (json!([{"uri": {"prefix": "/a"}}]), json!([{"uri": {"prefix": "/b"}}]), None),
            (
                json!([{"uri": {"prefix": "/a"}}]),
                json!([{"uri": {"prefix": "/a"}}, {"uri": {"exact": "/b"}}]),
                None,
            ),
            (json!([{"uri": {"exact": "/a"}}]), json!([{"uri": {"prefix": "/a"}}]), None),
            (json!([{"uri": {"regex": "/a.*"}}]), json!([{"uri": {"exact": "/a"}}]), None),
            (json!([{"port": 80}]), json!([{"port": 81}]), None),
            (json!([{"ignoreUriCase": true}]), json!([{"uri": {"prefix": "/a"}}]), None),
            (json!([{"sourceLabels": {"a": "1"}}]), json!([{"sourceLabels": {"a": "2"}}]), None),
            (json!([{"sourceNamespace": "a"}]), json!([{"sourceNamespace": "b"}]), None),
            (json!([{"gateways": ["mesh"]}]), json!([{"gateways": ["a/b"]}]), None),
        ] {
            assert_eq!(
                conditions(&matches(root.clone()), &matches(own.clone())),
                expected.map(matches),
                "{root} {own}"
            );
        }
    }
}
