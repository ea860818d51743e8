//! The effective `ProxyConfig`: defaults, then the mesh file (gateways), then `PROXY_CONFIG` (sidecars), then the
//! annotation `proxy.istio.io/config`. Each source replaces whole fields, as in Istio.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{BootstrapError, Environment, ProxyArgs, duration};

/// Where the control plane is unless somebody says otherwise.
pub const DEFAULT_DISCOVERY_ADDRESS: &str = "istiod.istio-system.svc:15012";
const ANNOTATION: &str = "proxy.istio.io/config";

/// A proxy configuration as a JSON object, field names as in Istio's API. Announced as it is in the node's metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyConfig(Map<String, Value>);

impl ProxyConfig {
    pub(super) fn load(
        args: &ProxyArgs,
        env: &Environment,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, BootstrapError> {
        let mut effective = Self::defaults();
        if let Some(mesh) = mesh_file(args, env)? {
            effective
                .overlay(mesh.get("defaultConfig").cloned().unwrap_or(Value::Null), &args.mesh_config)?;
        }
        let sources = [
            ("environment variable PROXY_CONFIG", env.text("PROXY_CONFIG")),
            ("annotation proxy.istio.io/config", annotations.get(ANNOTATION).cloned()),
        ];
        for (name, text) in sources {
            if let Some(text) = text {
                effective.overlay(yaml(name, &text)?, name)?;
            }
        }
        // Older annotations that override single fields.
        if let Some(address) = annotations.get("sidecar.istio.io/discoveryAddress") {
            effective.0.insert("discoveryAddress".to_owned(), json!(address));
        }
        if let Some(port) = annotations.get("status.sidecar.istio.io/port") {
            effective.0.insert("statusPort".to_owned(), json!(port));
        }
        Ok(effective)
    }

    /// A control plane that gets a proxy configuration takes it as the whole, so what it relies on must be there.
    fn defaults() -> Self {
        let defaults = json!({
            "configPath": "./etc/istio/proxy",
            "serviceCluster": "istio-proxy",
            "drainDuration": "45s",
            "terminationDrainDuration": "5s",
            "discoveryAddress": DEFAULT_DISCOVERY_ADDRESS,
            "proxyAdminPort": 15000,
            "statusPort": 15020,
            "statNameLength": 189,
            "controlPlaneAuthPolicy": "MUTUAL_TLS",
        });
        match defaults {
            Value::Object(map) => Self(map),
            _ => Self(Map::new()),
        }
    }

    fn overlay(&mut self, value: Value, source: &str) -> Result<(), BootstrapError> {
        match value {
            Value::Null => Ok(()),
            Value::Object(fields) => {
                self.0.extend(fields);
                Ok(())
            }
            other => Err(BootstrapError::ProxyConfig {
                source_name: source.to_owned(),
                problem: format!("expected a map of fields, found {other}"),
            }),
        }
    }

    /// The value of a field.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// All of it.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    pub(super) fn concurrency(&self) -> Result<Option<usize>, BootstrapError> {
        self.number("concurrency", "a number of threads")
    }

    pub(super) fn status_port(&self) -> Result<u16, BootstrapError> {
        Ok(self.number("statusPort", "a port")?.unwrap_or(15020))
    }

    pub(super) fn admin_port(&self) -> Result<u16, BootstrapError> {
        Ok(self.number("proxyAdminPort", "a port")?.unwrap_or(15000))
    }

    pub(super) fn drain_duration(&self) -> Result<Duration, BootstrapError> {
        self.duration("drainDuration", Duration::from_secs(45))
    }

    pub(super) fn termination_drain_duration(&self) -> Result<Duration, BootstrapError> {
        self.duration("terminationDrainDuration", Duration::from_secs(5))
    }

    pub(super) fn discovery_address(&self) -> Result<String, BootstrapError> {
        let address =
            self.get("discoveryAddress").and_then(Value::as_str).unwrap_or(DEFAULT_DISCOVERY_ADDRESS);
        host_and_port("proxy configuration: discoveryAddress", address)
    }

    pub(super) fn plaintext_discovery(&self) -> bool {
        self.get("controlPlaneAuthPolicy").and_then(Value::as_str) == Some("NONE")
    }

    /// `proxyMetadata`, which also reaches the node's metadata.
    pub(super) fn proxy_metadata(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.get("proxyMetadata")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.as_str(), v))
    }

    fn number<T: TryFrom<u64>>(
        &self,
        field: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, BootstrapError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        let bad = || BootstrapError::Field { field, value: value.to_string(), expected };
        Ok(Some(T::try_from(number.ok_or_else(bad)?).map_err(|_| bad())?))
    }

    fn duration(&self, field: &'static str, default: Duration) -> Result<Duration, BootstrapError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        value.as_str().and_then(duration::parse).ok_or_else(|| BootstrapError::Field {
            field,
            value: value.to_string(),
            expected: "a duration such as 45s",
        })
    }
}

/// Checks that an address has a host and a port.
pub(super) fn host_and_port(field: &'static str, address: &str) -> Result<String, BootstrapError> {
    let usable = address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    if usable {
        return Ok(address.to_owned());
    }
    Err(BootstrapError::Address { field, value: address.to_owned() })
}

fn mesh_file(args: &ProxyArgs, env: &Environment) -> Result<Option<Value>, BootstrapError> {
    let path = env.path(args.mesh_config.strip_prefix('.').unwrap_or(&args.mesh_config));
    match std::fs::read_to_string(&path) {
        Ok(text) => yaml(&args.mesh_config, &text).map(Some),
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BootstrapError::File { path: path.display().to_string(), source }),
    }
}

/// YAML, which JSON is a part of.
fn yaml(source: &str, text: &str) -> Result<Value, BootstrapError> {
    serde_saphyr::from_str(text).map_err(|problem| BootstrapError::ProxyConfig {
        source_name: source.to_owned(),
        problem: problem.to_string(),
    })
}
