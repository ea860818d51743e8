//! Everything an injection depends on besides the pod. Made once per change of a ConfigMap, shared by all requests.

use std::collections::BTreeMap;

use crds::mesh_config::MeshConfig;
use k8s_openapi::api::core::v1::Pod;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{InjectorConfig, Values};

/// Everything an injection depends on besides the pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InjectContext {
    /// Mesh-wide settings, key `mesh` of ConfigMap `istio`.
    pub mesh: MeshConfig,
    /// Key `config` of ConfigMap `istio-sidecar-injector`.
    pub config: InjectorConfig,
    /// Key `values` of ConfigMap `istio-sidecar-injector`.
    pub values: Values,
    /// Revision of the control plane; empty or `default` for the default one.
    pub revision: String,
    /// Version of the Kubernetes server; decides on native sidecars.
    pub server: Option<ServerVersion>,
    /// Labels of the pod's namespace, when nobody has chosen the pod yet. `None` when the API server has, by the
    /// selectors of the webhook configuration: its knowledge of the namespace is newer than ours.
    pub namespace_labels: Option<BTreeMap<String, String>>,
    /// [`InjectorConfig::templates`], read.
    pub(super) overlays: BTreeMap<String, Pod>,
}

/// Version of a Kubernetes server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// 1.
    pub major: u32,
    /// Such as 34.
    pub minor: u32,
}

impl ServerVersion {
    /// The first that starts containers of init containers with `restartPolicy: Always` without being asked to.
    pub const NATIVE_SIDECARS: Self = Self { major: 1, minor: 29 };

    /// Reads `v1.34.4`, and the `1` and `34+` of `/version`, joined by a dot.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim_start_matches('v').split('.');
        let number = |part: Option<&str>| {
            let part = part?;
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse().ok()
        };
        Some(Self { major: number(parts.next())?, minor: number(parts.next())? })
    }
}

/// Why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// ConfigMap `istio`.
    #[error("ConfigMap istio, key mesh: {0}")]
    Mesh(String),
    /// ConfigMap `istio-sidecar-injector`.
    #[error("ConfigMap istio-sidecar-injector, key {key}: {problem}")]
    Injector {
        /// The key.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl InjectContext {
    /// Reads the texts of the ConfigMaps. Empty texts mean Istio's defaults.
    pub fn read(mesh: &str, config: &str, values: &str, revision: &str) -> Result<Self, ContextError> {
        let config: InjectorConfig = yaml("config", config)?;
        let overlays = config
            .templates
            .iter()
            .map(|(name, text)| Ok((name.clone(), template(name, text)?)))
            .collect::<Result<_, ContextError>>()?;
        Ok(Self {
            mesh: MeshConfig::from_yaml(mesh).map_err(|error| ContextError::Mesh(error.to_string()))?,
            values: yaml("values", values)?,
            revision: revision.to_owned(),
            server: None,
            namespace_labels: None,
            config,
            overlays,
        })
    }

    /// The same, for a server of this version.
    pub fn for_server(mut self, version: Option<ServerVersion>) -> Self {
        self.server = version;
        self
    }

    /// The same, for a namespace with these labels.
    pub fn for_namespace(mut self, labels: BTreeMap<String, String>) -> Self {
        self.namespace_labels = Some(labels);
        self
    }

    /// Whether proxies are native sidecars, unless a pod says otherwise. `ENABLE_NATIVE_SIDECARS` is istiod's own name.
    pub(super) fn native_sidecars(&self) -> bool {
        let setting = self.values.pilot.env.get("ENABLE_NATIVE_SIDECARS").map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        match setting.as_deref() {
            Some("true") => true,
            Some("false") => false,
            _ => self.server.is_some_and(|version| version >= ServerVersion::NATIVE_SIDECARS),
        }
    }

    /// Revision as written into status and annotation.
    pub(super) fn revision_name(&self) -> &str {
        if self.revision.is_empty() { "default" } else { &self.revision }
    }

    /// Service of the control plane.
    pub(super) fn control_plane(&self) -> String {
        match self.revision_name() {
            "default" => "istiod".to_owned(),
            revision => format!("istiod-{revision}"),
        }
    }
}

fn yaml<T: DeserializeOwned + Default>(key: &'static str, text: &str) -> Result<T, ContextError> {
    let refuse = |problem: String| ContextError::Injector { key, problem };
    let mut value: Value = serde_saphyr::from_str(text).map_err(|error| refuse(error.to_string()))?;
    if value.is_null() {
        return Ok(T::default());
    }
    // Helm writes `alwaysInjectSelector:` with nothing behind it; that is as good as absent.
    crds::drop_nulls(&mut value);
    T::deserialize(value).map_err(|error| refuse(error.to_string()))
}

/// Templates are pods in YAML. Istio's own `sidecar` and `gateway` are built in, so their text is not looked at.
fn template(name: &str, text: &str) -> Result<Pod, ContextError> {
    if super::templates::is_built_in(name) {
        return Ok(Pod::default());
    }
    let refuse = |problem: String| ContextError::Injector {
        key: "config",
        problem: format!("templates.{name}: {problem}"),
    };
    if text.contains("{{") {
        return Err(refuse(
            "Go template actions ({{ }}) can't be used; write a pod in plain YAML, it is merged over the injected one"
                .to_owned(),
        ));
    }
    let value: Value = serde_saphyr::from_str(text).map_err(|error| refuse(error.to_string()))?;
    super::offline::pod_from(value).map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_servers_are_read_as_they_come() {
        for (text, expected) in [
            ("v1.34.4", Some((1, 34))),
            ("1.28+", Some((1, 28))),
            ("v1.31.2-gke.1", Some((1, 31))),
            ("", None),
        ] {
            let found = ServerVersion::parse(text).map(|version| (version.major, version.minor));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn empty_texts_are_istios_defaults() {
        let context = InjectContext::read("", "", "", "").unwrap();
        assert_eq!(context.config, InjectorConfig::default());
        assert_eq!(context.values.global.proxy.include_inbound_ports, "*");
        assert_eq!(context.revision_name(), "default");
    }

    #[test]
    fn what_helm_writes_is_read() {
        let config = "policy: enabled\nalwaysInjectSelector:\n  []\nneverInjectSelector:\ntemplates: {}\n";
        let values = r#"{"global": {"tag": 1.5, "proxy": {"statusPort": 15020}}, "revision": ""}"#;
        let context = InjectContext::read("", config, values, "canary").unwrap();
        assert_eq!(context.values.global.tag, "1.5");
        assert_eq!(context.values.global.proxy.status_port, "15020");
        assert_eq!(context.control_plane(), "istiod-canary");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let cases = [
            ("", "policy: sometimes", "", "key config: unknown variant `sometimes`"),
            ("", "", "{", "key values"),
            ("accessLogFile: {}", "", "", "ConfigMap istio, key mesh"),
            ("", "templates: {mine: 'metadata: {{ .Name }}'}", "", "templates.mine: Go template actions"),
        ];
        for (mesh, config, values, expected) in cases {
            let error = InjectContext::read(mesh, config, values, "").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
