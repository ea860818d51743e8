//! ConfigMaps `istio` and `istio-sidecar-injector`, with Istio's keys.

use serde_json::{Value, json};

use super::{Object, Settings, Stage};

/// The two ConfigMaps that control plane and webhook read.
pub(super) fn objects(settings: &Settings) -> Vec<Object> {
    let names = &settings.names;
    let networks = json!({ "networks": {} });
    vec![
        config_map(
            settings,
            &names.mesh_config_map(),
            json!({
                "mesh": yaml(&settings.mesh_config),
                "meshNetworks": yaml(&networks),
            }),
        ),
        config_map(
            settings,
            &names.injector(),
            json!({
                "config": yaml(&settings.injector),
                "values": format!("{:#}", settings.values),
            }),
        ),
    ]
}

fn config_map(settings: &Settings, name: &str, data: Value) -> Object {
    Object::new(
        Stage::Foundation,
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": name, "namespace": settings.names.namespace, "labels": settings.labels() },
            "data": data,
        }),
    )
}

/// JSON is YAML: should a value ever not fit the YAML writer, its JSON says the same.
fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|_| format!("{value:#}"))
}
