//! Protobuf `bytes` in JSON: standard or URL-safe base64, with or without padding.

use std::borrow::Cow;

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Bytes that YAML carries as base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&PLAIN.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(d)?;
        let decoded = PLAIN.decode(text.as_bytes()).or_else(|_| URL.decode(text.as_bytes()));
        decoded.map(Self).map_err(|e| de::Error::custom(format!("not base64: {e}")))
    }
}

impl JsonSchema for Bytes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "byte" })
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn both_alphabets_are_read_and_the_standard_one_is_written() {
        for (text, written) in [(r#""+/8=""#, r#""+/8=""#), (r#""-_8""#, r#""+/8=""#), (r#""""#, r#""""#)] {
            let bytes: Bytes = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&bytes).unwrap(), written);
        }
        assert!(serde_json::from_str::<Bytes>(r#""no base64!""#).is_err());
    }
}
