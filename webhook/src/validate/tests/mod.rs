//! One row for each rule: a spec, the field that is blamed, and a part of the reason.

mod destination_rules;
mod gateways;
mod others;
mod virtual_services;

use serde_json::{Value, json};

use super::{Verdict, validate};

fn object(kind: &str, spec: &str) -> Value {
    let group = match kind {
        "PeerAuthentication" => "security.istio.io/v1",
        "MeshInstall" => "mesh.trysail.dev/v1alpha1",
        _ => "networking.istio.io/v1",
    };
    let spec: Value = serde_saphyr::from_str(spec).expect(spec);
    json!({ "apiVersion": group, "kind": kind, "metadata": {"name": "a", "namespace": "default"}, "spec": spec })
}

/// The verdict, without the warnings about fields that have no effect yet, which change from version to version.
fn judge(kind: &str, spec: &str) -> Verdict {
    let mut verdict = validate(&object(kind, spec), None);
    verdict.warnings.retain(|warning| !warning.contains("has no effect yet"));
    verdict
}

/// Each spec has exactly the error given.
fn refused(kind: &str, rows: &[(&str, &str, &str)]) {
    for (spec, field, reason) in rows {
        let verdict = judge(kind, spec);
        assert!(
            matches!(verdict.errors.as_slice(), [e] if e.field == *field && e.message.contains(reason)),
            "{spec}\nwanted {field}: {reason}\nfound {:?}",
            verdict.errors
        );
    }
}

/// Each spec is accepted, with exactly the warning given.
fn warned(kind: &str, rows: &[(&str, &str)]) {
    for (spec, warning) in rows {
        let verdict = judge(kind, spec);
        assert_eq!(verdict.errors, [], "{spec}");
        assert!(
            matches!(verdict.warnings.as_slice(), [found] if found.contains(warning)),
            "{spec}\nwanted {warning}\nfound {:?}",
            verdict.warnings
        );
    }
}

/// Each spec is accepted without a word.
fn accepted(kind: &str, rows: &[&str]) {
    for spec in rows {
        assert_eq!(judge(kind, spec), Verdict::default(), "{spec}");
    }
}

#[test]
fn kinds_of_others_are_none_of_our_business() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"anything": 1}});
    assert_eq!(validate(&pod, None), Verdict::default());
    for odd in [
        json!(null),
        json!([]),
        json!({"kind": 5}),
        json!({"apiVersion": "networking.istio.io/v9", "kind": "Gateway"}),
    ] {
        assert_eq!(validate(&odd, None), Verdict::default());
    }
}

#[test]
fn what_cannot_be_read_is_refused_field_by_field() {
    let verdict = judge("VirtualService", "{hosts: a, http: [{timeout: soon, route: [{weight: 1}]}]}");
    let fields: Vec<&str> = verdict.errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["spec.hosts", "spec.http[0].route[0].destination", "spec.http[0].timeout"]);
    let refusal = verdict.refusal(&object("VirtualService", "{}"));
    assert!(
        refusal.starts_with("VirtualService default/a is not valid: spec.hosts: must be a list"),
        "{refusal}"
    );
}

#[test]
fn an_unknown_field_that_the_server_removed_is_still_named() {
    let mut seen =
        object("DestinationRule", "{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}}");
    let written = object(
        "DestinationRule",
        "{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1, maxRetries: 3}}}}",
    );
    seen["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
        written.to_string().into();
    let verdict = validate(&seen, None);
    assert!(verdict.is_accepted());
    assert_eq!(
        verdict.warnings,
        ["spec.trafficPolicy.connectionPool.tcp.maxRetries: unknown field, ignored; \
          did you mean spec.trafficPolicy.connectionPool.http.maxRetries?"]
    );
}

#[test]
fn fields_without_effect_are_named() {
    let verdict = validate(&object("ServiceEntry", "{hosts: ['*.a.b'], resolution: DYNAMIC_DNS}"), None);
    assert_eq!(
        verdict.warnings,
        ["spec.resolution: DYNAMIC_DNS has no effect yet: the hosts are not reachable"]
    );
}

#[test]
fn a_hostile_object_gets_a_short_answer() {
    let routes: Vec<Value> =
        (0..5000).map(|i| json!({"match": [{"uri": {"prefix": format!("/{i}")}}]})).collect();
    let big = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "a"},
        "spec": {"hosts": ["a"], "http": routes},
    });
    let verdict = validate(&big, None);
    assert!(verdict.errors.len() == 50 && verdict.warnings.len() <= 50);
}

/// Paths of every value in a document.
fn pointers(value: &Value, path: &str, all: &mut Vec<String>) {
    all.push(path.to_owned());
    let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, inner)| pointers(inner, &format!("{path}/{}", escape(key)), all));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, inner)| pointers(inner, &format!("{path}/{index}"), all));
        }
        _ => {}
    }
}

#[test]
fn any_value_in_any_place_gets_an_answer() {
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("*"),
        json!("%"),
        json!("💥/é"),
        json!("(((("),
        json!("a".repeat(2000)),
        json!([]),
        json!([null]),
        json!({}),
        json!({"": {}}),
        json!({"💥": "💥"}),
    ];
    for yaml in include_str!("../../../../crds/tests/it/objects/accepted.yaml").split("\n---\n") {
        let object: Value = serde_saphyr::from_str(yaml).expect(yaml);
        let mut places = Vec::new();
        pointers(&object, "", &mut places);
        // Each place meets some of the values, each value many places.
        for (index, place) in places.into_iter().enumerate() {
            for value in odd.iter().cycle().skip(index * 2).take(2) {
                let mut object = object.clone();
                *object.pointer_mut(&place).expect(&place) = value.clone();
                let verdict = validate(&object, Some(&object));
                assert!(verdict.errors.iter().all(|error| !error.message.is_empty()));
            }
        }
    }
}
