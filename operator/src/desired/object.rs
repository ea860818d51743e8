//! Typed objects and JSON as what is applied.

use kube::core::DynamicObject;
use serde::Serialize;

use crate::SettingsError;

/// Objects as they are applied.
pub(super) type Made = Result<Vec<DynamicObject>, SettingsError>;

/// An object as it is applied.
pub(super) fn object(value: impl Serialize) -> Result<DynamicObject, SettingsError> {
    serde_json::to_value(value).and_then(serde_json::from_value).map_err(|error| SettingsError {
        field: "spec".to_owned(),
        problem: format!("makes no object: {error}"),
    })
}

/// Objects as they are applied.
pub(super) fn objects<T: Serialize>(values: impl IntoIterator<Item = T>) -> Made {
    values.into_iter().map(object).collect()
}
