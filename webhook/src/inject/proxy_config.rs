//! Proxy settings of one pod: annotation `proxy.istio.io/config` over `meshConfig.defaultConfig`, and their form in
//! environment variable `PROXY_CONFIG`.

use crds::mesh_config::ProxyConfig;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};

use super::{InjectContext, InjectError, annotations::refuse, names};

/// What a proxy assumes unless told otherwise; need not be in the pod. Istio leaves these out too.
const DEFAULTS: [(&str, &str); 6] = [
    ("discoveryAddress", "istiod.istio-system.svc:15012"),
    ("drainDuration", "45s"),
    ("terminationDrainDuration", "5s"),
    ("configPath", "./etc/istio/proxy"),
    ("binaryPath", "/usr/local/bin/envoy"),
    ("serviceCluster", "istio-proxy"),
];

/// The pod's settings over the mesh's. A field of the annotation replaces the mesh's field; `proxyMetadata` is merged.
pub(super) fn effective(pod: &Pod, ctx: &InjectContext) -> Result<ProxyConfig, InjectError> {
    let mesh = ctx.mesh.default_config.clone().unwrap_or_default();
    let Some(text) = names::annotation(pod, names::PROXY_CONFIG) else { return Ok(mesh) };
    let wrong = |problem: String| refuse(pod, names::PROXY_CONFIG, text, problem);
    let value: Value =
        serde_saphyr::from_str(text).map_err(|error| wrong(format!("is not YAML: {error}")))?;
    let own: Map<String, Value> = match value {
        Value::Null => return Ok(mesh),
        Value::Object(fields) => fields,
        _ => {
            return Err(wrong(
                "is no map of settings; write one such as holdApplicationUntilProxyStarts: true".into(),
            ));
        }
    };
    let mut merged = to_map(&mesh);
    for (field, value) in own {
        match (merged.get_mut(&field), value) {
            (Some(Value::Object(metadata)), Value::Object(more)) if field == "proxyMetadata" => {
                metadata.extend(more.into_iter().map(|(name, value)| (name, as_text(value))));
            }
            (_, Value::Object(more)) if field == "proxyMetadata" => {
                merged.insert(field, more.into_iter().map(|(name, value)| (name, as_text(value))).collect());
            }
            (_, value) => {
                merged.insert(field, value);
            }
        }
    }
    crds::decode_part(&Value::Object(merged)).map_err(|error| wrong(format!("can't be used: {error}")))
}

/// Environment variables are text; people write `DNS_CAPTURE: true`.
fn as_text(value: Value) -> Value {
    match value {
        text @ Value::String(_) => text,
        other => json!(other.to_string()),
    }
}

/// The settings as JSON, without those that the proxy assumes anyway.
pub(super) fn to_json(proxy: &ProxyConfig, ctx: &InjectContext) -> String {
    let mut fields = to_map(proxy);
    fields.entry("discoveryAddress").or_insert_with(|| {
        json!(format!("{}.{}.svc:15012", ctx.control_plane(), ctx.values.global.istio_namespace))
    });
    for (name, default) in DEFAULTS {
        if fields.get(name).is_some_and(|value| value == default) {
            fields.remove(name);
        }
    }
    for (name, default) in [("statusPort", 15020), ("proxyAdminPort", 15000)] {
        if fields.get(name).is_some_and(|value| *value == json!(default)) {
            fields.remove(name);
        }
    }
    Value::Object(fields).to_string()
}

fn to_map(proxy: &ProxyConfig) -> Map<String, Value> {
    match serde_json::to_value(proxy) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}
