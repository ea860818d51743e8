//! `.status` of Istio's kinds (`istio.meta.v1alpha1.IstioStatus`).

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::macros::{keywords, message};

message! {
    /// What the mesh made of an object.
    #[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
    pub struct IstioStatus {
        /// Conditions.
        pub conditions: Vec<IstioCondition>,
        /// Findings of the analysis.
        pub validation_messages: Vec<AnalysisMessageBase>,
        /// Generation of the spec that this status is about.
        pub observed_generation: Option<Int64>,
    }

    /// One condition.
    pub struct IstioCondition {
        /// Its name.
        #[serde(rename = "type")]
        pub kind: Option<String>,
        /// True, False or Unknown.
        pub status: Option<String>,
        /// When it was last looked at, RFC 3339.
        #[schemars(extend("format" = "date-time"))]
        pub last_probe_time: Option<String>,
        /// When its status last changed, RFC 3339.
        #[schemars(extend("format" = "date-time"))]
        pub last_transition_time: Option<String>,
        /// The reason in one word.
        pub reason: Option<String>,
        /// The reason in a sentence.
        pub message: Option<String>,
        /// Generation of the spec that this condition is about.
        pub observed_generation: Option<Int64>,
    }

    /// A finding of the analysis.
    pub struct AnalysisMessageBase {
        /// Which finding.
        #[serde(rename = "type")]
        pub kind: Option<AnalysisMessageType>,
        /// How bad it is.
        pub level: Option<AnalysisLevel>,
        /// Where to read more.
        pub documentation_url: Option<String>,
    }

    /// Name and code of a finding.
    pub struct AnalysisMessageType {
        /// Its name.
        pub name: Option<String>,
        /// Its code, `IST0101`.
        pub code: Option<String>,
    }
}

keywords! {
    /// How bad a finding is.
    pub enum AnalysisLevel {
        /// Not said.
        Unknown = "UNKNOWN",
        /// Something doesn't work.
        Error = "ERROR",
        /// Something may not do what was meant.
        Warning = "WARNING",
        /// Good to know.
        Info = "INFO",
    }
}

/// A 64-bit integer; protobuf's JSON writes it as a string, Kubernetes as a number. Both are read, a number is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Int64(pub i64);

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written<'a> {
            Number(i64),
            Text(Cow<'a, str>),
        }
        match Written::deserialize(d)? {
            Written::Number(number) => Ok(Self(number)),
            Written::Text(text) => text.parse().map(Self).map_err(de::Error::custom),
        }
    }
}

impl JsonSchema for Int64 {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Int64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] })
    }
}
