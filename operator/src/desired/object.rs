//! One object to apply, and when.

use serde_json::Value;

/// When an object is applied; it is removed in the opposite order, webhooks first of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Namespaces.
    Namespace,
    /// Service accounts, roles and ConfigMaps.
    Foundation,
    /// The control plane.
    ControlPlane,
    /// The webhook configurations.
    Webhook,
    /// Gateways, whose pods need the webhook.
    Gateway,
}

/// An object to apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// When.
    pub stage: Stage,
    /// The object as Kubernetes reads it.
    pub value: Value,
}

impl Object {
    pub(super) fn new(stage: Stage, value: Value) -> Self {
        Self { stage, value: without_empty(value) }
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Its namespace, or the empty string.
    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    fn text(&self, pointer: &str) -> &str {
        self.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Leaves out nulls: server-side apply would claim the field.
fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_empty(value)))
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.into_iter().map(without_empty).collect()),
        other => other,
    }
}
