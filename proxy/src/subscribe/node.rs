//! The node as a message: who we are and what we understand.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3 as pb;
use envoy_types::pb::google::protobuf as wkt;
use serde_json::Value;

use crate::bootstrap::NodeIdentity;

/// The name by which a control plane of ours knows that it may send virtual hosts one by one and hints of its own.
const USER_AGENT: &str = "trysail";

/// The message that introduces us on a stream.
pub fn node(identity: &NodeIdentity) -> pb::Node {
    pb::Node {
        id: identity.id.clone(),
        cluster: identity.cluster.clone(),
        metadata: Some(structure(&identity.metadata)),
        locality: identity.locality.as_ref().map(|place| pb::Locality {
            region: place.region.clone(),
            zone: place.zone.clone(),
            sub_zone: place.sub_zone.clone(),
        }),
        user_agent_name: USER_AGENT.to_owned(),
        user_agent_version_type: Some(pb::node::UserAgentVersionType::UserAgentVersion(
            env!("CARGO_PKG_VERSION").to_owned(),
        )),
        ..pb::Node::default()
    }
}

fn structure(map: &serde_json::Map<String, Value>) -> wkt::Struct {
    let fields: HashMap<String, wkt::Value> =
        map.iter().map(|(key, value)| (key.clone(), value_of(value))).collect();
    wkt::Struct { fields }
}

fn value_of(value: &Value) -> wkt::Value {
    use wkt::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(list) => Kind::ListValue(wkt::ListValue { values: list.iter().map(value_of).collect() }),
        Value::Object(map) => Kind::StructValue(structure(map)),
    };
    wkt::Value { kind: Some(kind) }
}
