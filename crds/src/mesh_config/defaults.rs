//! Istio's defaults for settings that are absent, and reading of the ConfigMap's YAML.

use std::time;

use super::{MeshConfig, MeshOutboundMode};

/// Why mesh-wide settings can't be read.
#[derive(Debug, thiserror::Error)]
pub enum MeshConfigError {
    /// The text isn't YAML.
    #[error("mesh configuration is not YAML: {0}")]
    Yaml(String),
    /// A field has a value of the wrong type.
    #[error("mesh configuration: {0}")]
    Field(#[from] crate::DecodeError),
}

impl MeshConfig {
    /// Reads key `mesh` of ConfigMap `istio`. An empty text is an empty configuration.
    pub fn from_yaml(text: &str) -> Result<Self, MeshConfigError> {
        let value: serde_json::Value =
            serde_saphyr::from_str(text).map_err(|error| MeshConfigError::Yaml(error.to_string()))?;
        if value.is_null() {
            return Ok(Self::default());
        }
        Ok(crate::decode_part(&value)?)
    }

    /// Trust domain of all identities.
    pub fn trust_domain(&self) -> &str {
        self.trust_domain.as_deref().filter(|name| !name.is_empty()).unwrap_or("cluster.local")
    }

    /// Namespace whose policies are those of the mesh, when the control plane runs in `own`.
    pub fn root_namespace<'a>(&'a self, own: &'a str) -> &'a str {
        self.root_namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(own)
    }

    /// Time for a connection to be made.
    pub fn connect_timeout(&self) -> time::Duration {
        self.connect_timeout.map_or(time::Duration::from_secs(10), |set| set.0)
    }

    /// Whether mutual TLS is used with every endpoint that can.
    pub fn auto_mtls(&self) -> bool {
        self.enable_auto_mtls.unwrap_or(true)
    }

    /// Whether applications' metrics are offered with the proxy's.
    pub fn prometheus_merge(&self) -> bool {
        self.enable_prometheus_merge.unwrap_or(true)
    }

    /// What happens to traffic for unknown destinations.
    pub fn outbound_mode(&self) -> MeshOutboundMode {
        match &self.outbound_traffic_policy {
            None => MeshOutboundMode::AllowAny,
            // Protobuf's zero value: a policy without a mode is REGISTRY_ONLY.
            Some(policy) => match policy.mode.unwrap_or_default() {
                MeshOutboundMode::Unrecognized => MeshOutboundMode::AllowAny,
                mode => mode,
            },
        }
    }

    /// How often names are looked up.
    pub fn dns_refresh_rate(&self) -> time::Duration {
        self.dns_refresh_rate.map_or(time::Duration::from_mins(1), |set| set.0)
    }

    /// Where access logs go; `None` when they are off.
    pub fn access_log_file(&self) -> Option<&str> {
        self.access_log_file.as_deref().filter(|path| !path.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_configuration_has_istios_defaults() {
        for text in ["", "{}", "# nothing"] {
            let mesh = MeshConfig::from_yaml(text).unwrap();
            assert_eq!(mesh.trust_domain(), "cluster.local");
            assert_eq!(mesh.root_namespace("istio-system"), "istio-system");
            assert_eq!(mesh.connect_timeout(), time::Duration::from_secs(10));
            assert_eq!(mesh.outbound_mode(), MeshOutboundMode::AllowAny);
            assert!(mesh.auto_mtls() && mesh.prometheus_merge() && mesh.access_log_file().is_none());
        }
    }

    #[test]
    fn unknown_fields_are_passed_over_and_wrong_types_are_named() {
        let mesh =
            MeshConfig::from_yaml("accessLogFile: /dev/stdout\nfromTheFuture: {a: 1}\nmeshMTLS: {}").unwrap();
        assert_eq!(mesh.access_log_file(), Some("/dev/stdout"));
        assert!(mesh.mesh_mtls.is_some());
        let error = MeshConfig::from_yaml("defaultConfig: {drainDuration: soon}").unwrap_err().to_string();
        assert!(error.contains("defaultConfig.drainDuration") && error.contains("soon"), "{error}");
    }

    #[test]
    fn a_policy_without_a_mode_is_registry_only() {
        let mesh = MeshConfig::from_yaml("outboundTrafficPolicy: {}").unwrap();
        assert_eq!(mesh.outbound_mode(), MeshOutboundMode::RegistryOnly);
    }
}
