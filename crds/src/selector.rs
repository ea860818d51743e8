//! The selector of policies (`istio.type.v1beta1.WorkloadSelector`).

use std::collections::BTreeMap;

use crate::{macros::message, rules::cel};

message! {
    /// Workloads by label.
    pub struct WorkloadSelector {
        /// Labels that the pods must have.
        #[schemars(schema_with = "match_labels_schema")]
        pub match_labels: BTreeMap<String, String>,
    }
}

fn match_labels_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "maxProperties": 4096,
        "additionalProperties": {
            "type": "string", "maxLength": 63,
            "x-kubernetes-validations": cel(&[("!self.contains('*')", "a selector can't have wildcards")]),
        },
        "x-kubernetes-validations": cel(&[
            ("self.all(key, !key.contains('*'))", "a selector can't have wildcards"),
            ("self.all(key, key.size() != 0)", "a label needs a name"),
        ]),
    })
}
