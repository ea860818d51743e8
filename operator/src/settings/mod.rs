//! A MeshInstall with everything filled in: profile, then `values`, then `meshConfig` and `components`.

mod gateways;
mod options;
mod profile;

use std::collections::BTreeSet;

use crds::mesh::{DEFAULT_HUB, KubernetesOptions, MeshInstall, MeshInstallSpec};
use serde_json::{Map, Value, json};

pub use self::gateways::Gateway;
pub(crate) use self::options::utilization;
use self::{options::options_of, profile::Layer};
use crate::Release;

/// A value that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct SettingsError {
    /// Path of the field.
    pub field: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// A MeshInstall with everything filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Name of the MeshInstall.
    pub owner: String,
    /// Namespace of the control plane.
    pub namespace: String,
    /// Revision; `default` for the default one.
    pub revision: String,
    /// Registry and path of images.
    pub hub: String,
    /// Tag of images.
    pub tag: String,
    /// Mesh-wide settings, for ConfigMap `istio`.
    pub mesh_config: Value,
    /// Helm values.
    pub values: Value,
    /// Settings of the control plane's objects; `None` when it isn't installed.
    pub pilot: Option<KubernetesOptions>,
    /// Gateways.
    pub gateways: Vec<Gateway>,
}

impl Settings {
    /// Fills everything in.
    pub fn of(install: &MeshInstall, release: &Release) -> Result<Self, SettingsError> {
        let spec = &install.spec;
        let layer = Layer::of(spec.profile());
        let mut settings = Self {
            owner: install.metadata.name.clone().unwrap_or_default(),
            namespace: spec.namespace().to_owned(),
            revision: spec.revision().unwrap_or("default").to_owned(),
            hub: hub(spec),
            tag: spec.tag.clone().or_else(|| global(spec, "tag")).unwrap_or_else(|| release.tag.clone()),
            mesh_config: Value::Null,
            values: Value::Null,
            pilot: None,
            gateways: Vec::new(),
        };
        settings.values = settings.merged_values(&layer, &spec.values);
        settings.mesh_config = settings.merged_mesh_config(&layer, &spec.mesh_config);

        let components = spec.components.clone().unwrap_or_default();
        let pilot = components.pilot.unwrap_or_default();
        if pilot.enabled.unwrap_or(layer.pilot) {
            let values = options_of(&settings.values["pilot"], "spec.values.pilot")?;
            settings.pilot = Some(options::over(values, pilot.k8s.unwrap_or_default()));
        }
        let listed = (components.ingress_gateways, components.egress_gateways);
        settings.gateways = gateways::all(&settings, &layer, listed)?;
        Ok(settings)
    }

    /// `istiod`, or `istiod-canary` for another revision.
    pub fn named(&self, name: &str) -> String {
        match self.revision.as_str() {
            "default" => name.to_owned(),
            revision => format!("{name}-{revision}"),
        }
    }

    /// Name of a cluster-scoped object, which must differ from those of other control planes.
    pub fn named_in_cluster(&self, name: &str) -> String {
        format!("{}-{}", self.named(name), self.namespace)
    }

    /// Every namespace that something is installed in.
    pub fn namespaces(&self) -> BTreeSet<String> {
        let gateways = self.gateways.iter().map(|gateway| gateway.namespace.clone());
        let own = (self.pilot.is_some() || !self.gateways.is_empty()).then(|| self.namespace.clone());
        gateways.chain(own).collect()
    }

    /// A value by its path, such as `global.proxy.clusterDomain`.
    pub fn value(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.values, |value, key| value.get(key)).filter(|value| !value.is_null())
    }

    /// A text among the values.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.value(path)?.as_str().filter(|text| !text.is_empty())
    }

    /// A switch among the values.
    pub fn switch(&self, path: &str) -> Option<bool> {
        self.value(path)?.as_bool()
    }

    /// Text of ConfigMap `istio-sidecar-injector`, key `values`: what injection reads.
    pub fn injector_values(&self) -> Value {
        let mut values = json!({
            "global": self.values["global"],
            "sidecarInjectorWebhook": self.values["sidecarInjectorWebhook"],
            "revision": if self.revision == "default" { "" } else { &self.revision },
        });
        for path in [["pilot", "env"], ["pilot", "cni"], ["gateways", "securityContext"]] {
            if let Some(value) = self.value(&path.join(".")) {
                values[path[0]][path[1]] = value.clone();
            }
        }
        values
    }

    fn merged_values(&self, layer: &Layer, own: &Map<String, Value>) -> Value {
        let mut values = profile::base_values();
        merge(&mut values, &layer.values);
        merge(&mut values, &Value::Object(own.clone()));
        // Wherever hub and tag were written, this is what became of them.
        values["global"]["hub"] = json!(self.hub);
        values["global"]["tag"] = json!(self.tag);
        values["global"]["istioNamespace"] = json!(self.namespace);
        values
    }

    fn merged_mesh_config(&self, layer: &Layer, own: &Map<String, Value>) -> Value {
        let mut config = json!({
            "trustDomain": "cluster.local",
            "rootNamespace": self.namespace,
            "enablePrometheusMerge": true,
            "defaultProviders": { "metrics": ["prometheus"] },
            "defaultConfig": {
                "discoveryAddress": format!("{}.{}.svc:15012", self.named("istiod"), self.namespace),
            },
        });
        merge(&mut config, &layer.mesh_config);
        merge(&mut config, &self.values["meshConfig"]);
        merge(&mut config, &Value::Object(own.clone()));
        config
    }
}

/// The schema fills in a hub, so the usual one may be nobody's choice: then a hub among the values, as IstioOperator has it,
/// is one.
fn hub(spec: &MeshInstallSpec) -> String {
    let chosen = Some(spec.hub()).filter(|hub| *hub != DEFAULT_HUB).map(str::to_owned);
    chosen.or_else(|| global(spec, "hub")).unwrap_or_else(|| DEFAULT_HUB.to_owned())
}

/// A text or number among `values.global`.
fn global(spec: &MeshInstallSpec, name: &str) -> Option<String> {
    let value = spec.values.get("global")?.get(name)?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Some(text).filter(|text| !text.is_empty())
}

/// Merges as Helm does: maps by key, everything else is replaced.
pub(crate) fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}
