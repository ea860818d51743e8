//! Key `config` of ConfigMap `istio-sidecar-injector`: who is injected, and with which templates.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

/// Who is injected, and with which templates.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InjectorConfig {
    /// Whether pods that say nothing are injected.
    pub policy: Policy,
    /// Templates of pods that name none.
    pub default_templates: Vec<String>,
    /// Names for lists of templates.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// Pods that are not injected unless they ask for it.
    pub never_inject_selector: Vec<LabelSelector>,
    /// Pods that are injected unless they refuse.
    pub always_inject_selector: Vec<LabelSelector>,
    /// Annotations of every injected pod.
    pub injected_annotations: BTreeMap<String, String>,
    /// Further templates: pods in YAML that are merged over the injected one. `sidecar` and `gateway` are built in.
    pub templates: BTreeMap<String, String>,
}

/// Whether pods that say nothing are injected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// They are.
    #[default]
    Enabled,
    /// They are not.
    Disabled,
}

impl Default for InjectorConfig {
    fn default() -> Self {
        Self {
            policy: Policy::Enabled,
            default_templates: vec!["sidecar".to_owned()],
            aliases: BTreeMap::new(),
            never_inject_selector: Vec::new(),
            always_inject_selector: Vec::new(),
            injected_annotations: BTreeMap::new(),
            templates: BTreeMap::new(),
        }
    }
}
