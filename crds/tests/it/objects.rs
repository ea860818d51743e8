//! Every kind, with every block of its spec, is read and written back the same; bad objects are refused by name.

use crds::{mesh::MeshInstall, networking, security};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub(crate) fn documents(text: &str) -> Vec<(&str, Value)> {
    text.split("\n---\n").map(|yaml| (yaml, serde_saphyr::from_str(yaml).expect(yaml))).collect()
}

fn round_trip<K: Serialize + DeserializeOwned>(object: &Value) -> Value {
    serde_json::to_value(crds::decode::<K>(object).unwrap()).unwrap()
}

#[test]
fn every_kind_is_written_back_as_it_was_read() {
    for (yaml, object) in documents(include_str!("objects/accepted.yaml")) {
        assert_eq!(crds::check(&object), Some(crds::Report::default()), "{yaml}");
        let written = match object["kind"].as_str().unwrap() {
            "VirtualService" => round_trip::<networking::VirtualService>(&object),
            "DestinationRule" => round_trip::<networking::DestinationRule>(&object),
            "Gateway" => round_trip::<networking::Gateway>(&object),
            "ServiceEntry" => round_trip::<networking::ServiceEntry>(&object),
            "Sidecar" => round_trip::<networking::Sidecar>(&object),
            "WorkloadEntry" => round_trip::<networking::WorkloadEntry>(&object),
            "PeerAuthentication" => round_trip::<security::PeerAuthentication>(&object),
            "MeshInstall" => round_trip::<MeshInstall>(&object),
            other => panic!("no type for {other}"),
        };
        similar_asserts(&object, &written);
    }
}

/// Kubernetes' own types write empty required fields; everything else must be the same.
fn similar_asserts(read: &Value, written: &Value) {
    match (read, written) {
        (Value::Object(read), Value::Object(written)) => {
            for (name, value) in read {
                similar_asserts(
                    value,
                    written.get(name).unwrap_or_else(|| panic!("{name} is lost in {written:?}")),
                );
            }
            for name in written.keys().filter(|name| !read.contains_key(*name)) {
                assert!(name == "scaleTargetRef", "{name} is new in {written:?}");
            }
        }
        (Value::Array(read), Value::Array(written)) => {
            assert_eq!(read.len(), written.len());
            read.iter().zip(written).for_each(|(read, written)| similar_asserts(read, written));
        }
        _ => assert_eq!(read, written),
    }
}

#[test]
fn other_served_versions_are_the_same_kind() {
    for version in ["v1alpha3", "v1beta1", "v1"] {
        let object = serde_json::json!({
            "apiVersion": format!("networking.istio.io/{version}"), "kind": "VirtualService",
            "metadata": {"name": "a"}, "spec": {"hosts": ["a"], "http": [{"mirror_percent": 5, "timeout": null}]},
        });
        let decoded: networking::VirtualService = crds::decode(&object).unwrap();
        assert_eq!(decoded.spec.http[0].mirror_percent, Some(5));
        assert_eq!(crds::check(&object).unwrap().unknown, []);
    }
}

#[test]
fn a_bad_object_is_refused_with_its_name_field_and_reason() {
    for (yaml, object) in documents(include_str!("objects/refused.yaml")) {
        let (by, reason) = yaml.lines().next().unwrap().split_once(": ").unwrap();
        let name = object["metadata"]["name"].as_str().unwrap();
        let answer = crds::decode::<Value>(&object);
        match by {
            "# refused by the schema" => {
                let message = answer.unwrap_err().to_string();
                assert!(message.contains(reason) && message.contains(name), "{message}\n{yaml}");
            }
            // Rules in CEL are the API server's to evaluate.
            "# refused by the server" => assert!(answer.is_ok(), "{yaml}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_unknown_name_is_read_as_unrecognized_and_does_not_end_a_watch() {
    let rule = r#"{"apiVersion":"networking.istio.io/v1","kind":"DestinationRule","metadata":{"name":"a"},
        "spec":{"trafficPolicy":{"loadBalancer":{"simple":"FROM_THE_FUTURE"}}}}"#;
    let rule: networking::DestinationRule = serde_json::from_str(rule).unwrap();
    let policy = rule.spec.traffic_policy.unwrap().load_balancer.unwrap();
    assert_eq!(policy.simple, Some(networking::SimpleLb::Unrecognized));
}
