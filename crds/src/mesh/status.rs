//! Status of a MeshInstall, in the form that `kubectl wait`, Argo CD and Flux understand (kstatus).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::macros::message;

message! {
    /// What the operator made of a MeshInstall.
    pub struct MeshInstallStatus {
        /// Generation of the spec that this status is about.
        pub observed_generation: Option<i64>,
        /// `Ready`, `Reconciling` and `Stalled`.
        #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
        pub conditions: Vec<Condition>,
        /// Version that is installed.
        pub version: Option<String>,
        /// Components, one by one.
        pub components: Vec<ComponentStatus>,
    }
}

/// State of one component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Whether all of it is ready.
    pub ready: bool,
    /// What it waits for, when it isn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
