//! ConfigMaps `istio` and `istio-sidecar-injector`, which control plane and tools read.

use serde_json::{Map, Value, json};

use super::object::{Made, objects};
use crate::{Settings, SettingsError};

/// The two ConfigMaps.
pub(super) fn config_maps(settings: &Settings) -> Made {
    let networks = match settings.value("global.meshNetworks") {
        Some(networks) => json!({ "networks": networks }),
        None => json!({ "networks": {} }),
    };
    objects([
        config_map(
            settings,
            "istio",
            &[("mesh", yaml(&settings.mesh_config)?), ("meshNetworks", yaml(&networks)?)],
        ),
        config_map(
            settings,
            "istio-sidecar-injector",
            &[
                ("config", injector(settings)?),
                ("values", serde_json::to_string_pretty(&settings.injector_values()).unwrap_or_default()),
            ],
        ),
    ])
}

fn config_map(settings: &Settings, name: &str, data: &[(&str, String)]) -> Value {
    let data: Map<String, Value> = data.iter().map(|(key, text)| ((*key).to_owned(), json!(text))).collect();
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": settings.named(name), "namespace": settings.namespace },
        "data": data,
    })
}

/// Key `mesh` of ConfigMap `istio`, as text.
pub(super) fn mesh(settings: &Settings) -> Result<String, SettingsError> {
    yaml(&settings.mesh_config)
}

/// Key `config` of ConfigMap `istio-sidecar-injector`: who is injected, and with which templates.
pub(super) fn injector(settings: &Settings) -> Result<String, SettingsError> {
    let webhook = settings.value("sidecarInjectorWebhook").cloned().unwrap_or_default();
    let of = |name: &str, absent: Value| {
        webhook.get(name).filter(|value| !value.is_null()).cloned().unwrap_or(absent)
    };
    let templates = match of("defaultTemplates", json!([])) {
        Value::Array(names) if !names.is_empty() => Value::Array(names),
        _ => json!(["sidecar"]),
    };
    yaml(&json!({
        "policy": settings.text("global.proxy.autoInject").unwrap_or("enabled"),
        "defaultTemplates": templates,
        "aliases": of("aliases", json!({})),
        "alwaysInjectSelector": of("alwaysInjectSelector", json!([])),
        "neverInjectSelector": of("neverInjectSelector", json!([])),
        "injectedAnnotations": of("injectedAnnotations", json!({})),
        "templates": of("templates", json!({})),
    }))
}

fn yaml(value: &Value) -> Result<String, SettingsError> {
    serde_saphyr::to_string(value).map_err(|error| SettingsError {
        field: "spec".to_owned(),
        problem: format!("can't be written as YAML: {error}"),
    })
}
