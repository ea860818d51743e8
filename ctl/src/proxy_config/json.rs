//! What a proxy says of itself, spelled as `istioctl proxy-config -o json` spells it: `connectTimeout`, where Envoy's admin
//! port says `connect_timeout`. Keys that are data, such as those of metadata, stay as they are.

use serde_json::Value;
use xds::json::{Spelling, from_json, to_json};

/// The message in istioctl's spelling; as it is where it isn't quite of that type. `kind` is the full name, unless the
/// message names its own in `@type`.
pub(super) fn istioctl(value: &Value, kind: &str) -> Value {
    let mut fields = value.clone();
    let own = fields.as_object_mut().and_then(|fields| fields.remove("@type"));
    let kind = own.as_ref().and_then(Value::as_str).unwrap_or(kind);
    let body = from_json(kind, &fields);
    body.and_then(|body| to_json(kind, &body, Spelling::Camel)).unwrap_or(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_change_their_spelling_and_data_does_not() {
        let cluster = json!({
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": "outbound|9080||reviews", "connect_timeout": "10s",
            "metadata": { "filter_metadata": { "istio": { "default_original_port": 9080 } } },
        });
        let wanted = json!({
            "name": "outbound|9080||reviews", "connectTimeout": "10s",
            "metadata": { "filterMetadata": { "istio": { "default_original_port": 9080.0 } } },
        });
        assert_eq!(istioctl(&cluster, ""), wanted);
    }

    #[test]
    fn what_is_not_understood_stays_as_it_is() {
        let strange = json!({ "new_field": 1 });
        assert_eq!(istioctl(&strange, "envoy.admin.v3.ClusterStatus"), strange);
    }
}
