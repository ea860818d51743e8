//! Encoding by hand where the generated types cannot be deterministic or would encode the same part twice.
//!
//! Prost keeps protobuf maps in hash maps, so the same message encodes differently each time. Versions are hashes of
//! bytes, and a proxy that reconnects must not be sent what it holds; so metadata and other maps are encoded here, in
//! order of keys, and appended to the message that they belong to: protobuf fields may come in any order.

use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::Value;

use crate::proto::Any;

/// Appends a length-delimited field: a message, a string, an entry of a repeated field.
pub(crate) fn append(buffer: &mut Vec<u8>, tag: u32, body: &[u8]) {
    encode_key(tag, WireType::LengthDelimited, buffer);
    encode_varint(body.len() as u64, buffer);
    buffer.extend_from_slice(body);
}

/// Appends a map field, in order of keys.
pub(crate) fn append_map(buffer: &mut Vec<u8>, tag: u32, mut entries: Vec<(&str, Vec<u8>)>) {
    entries.sort_by_key(|(key, _)| *key);
    for (key, value) in entries {
        let mut entry = Vec::with_capacity(key.len() + value.len() + 8);
        append(&mut entry, 1, key.as_bytes());
        append(&mut entry, 2, &value);
        append(buffer, tag, &entry);
    }
}

/// An encoded `google.protobuf.Any`.
pub(crate) fn any(any: &Any) -> Vec<u8> {
    prost::Message::encode_to_vec(any)
}

/// Encodes `envoy.config.core.v3.Metadata` from `filter_metadata`.
pub(crate) fn metadata(filters: &[(&str, Value)]) -> Vec<u8> {
    let mut buffer = Vec::new();
    append_map(&mut buffer, 1, filters.iter().map(|(name, value)| (*name, structure(value))).collect());
    buffer
}

/// Encodes `google.protobuf.Struct`. Anything but an object is an empty one.
pub(crate) fn structure(value: &Value) -> Vec<u8> {
    let mut buffer = Vec::new();
    if let Value::Object(fields) = value {
        let entries = fields.iter().map(|(key, value)| (key.as_str(), any_value(value)));
        append_map(&mut buffer, 1, entries.collect());
    }
    buffer
}

/// Encodes `google.protobuf.Value`.
fn any_value(value: &Value) -> Vec<u8> {
    let mut buffer = Vec::new();
    match value {
        Value::Null => {
            encode_key(1, WireType::Varint, &mut buffer);
            encode_varint(0, &mut buffer);
        }
        Value::Number(number) => {
            encode_key(2, WireType::SixtyFourBit, &mut buffer);
            buffer.extend_from_slice(&number.as_f64().unwrap_or_default().to_le_bytes());
        }
        Value::String(text) => append(&mut buffer, 3, text.as_bytes()),
        Value::Bool(flag) => {
            encode_key(4, WireType::Varint, &mut buffer);
            encode_varint((*flag).into(), &mut buffer);
        }
        Value::Object(_) => append(&mut buffer, 5, &structure(value)),
        Value::Array(items) => {
            let mut list = Vec::new();
            for item in items {
                append(&mut list, 1, &any_value(item));
            }
            append(&mut buffer, 6, &list);
        }
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::core;
    use envoy_types::pb::google::protobuf::value::Kind;
    use prost::Message;
    use serde_json::json;

    #[test]
    fn metadata_is_what_prost_would_read_and_always_the_same() {
        let value = json!({"b": "text", "a": 7, "c": [true, null, {"d": 1.5}]});
        let encoded = metadata(&[("z", json!({})), ("istio", value)]);
        let decoded = core::Metadata::decode(&*encoded).unwrap();
        assert_eq!(decoded.filter_metadata.len(), 2);
        let istio = &decoded.filter_metadata["istio"].fields;
        assert_eq!(istio["b"].kind, Some(Kind::StringValue("text".into())));
        assert_eq!(istio["a"].kind, Some(Kind::NumberValue(7.0)));
        let Some(Kind::ListValue(list)) = &istio["c"].kind else { panic!("a list") };
        assert_eq!(list.values[0].kind, Some(Kind::BoolValue(true)));
        assert_eq!(list.values[1].kind, Some(Kind::NullValue(0)));
        assert!(matches!(list.values[2].kind, Some(Kind::StructValue(_))));
    }
}
