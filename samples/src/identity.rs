//! Who is answering: service, version and pod, from the environment that the
//! manifests set. Every reply of both apps carries it.

use serde::Serialize;

/// The process's own name tag.
#[derive(Clone, Debug, Serialize)]
pub struct Identity {
    /// The app's name, such as `reviews`.
    pub service: String,
    /// From `SERVICE_VERSION`, such as `v2`.
    pub version: String,
    /// The pod's name, or the host's outside Kubernetes.
    pub pod: String,
}

impl Identity {
    /// Reads the environment; `service` is what the process was told to be.
    pub fn from_env(service: &str) -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            service: service.to_owned(),
            version: var("SERVICE_VERSION").unwrap_or_else(|| "v1".to_owned()),
            pod: var("POD_NAME")
                .or_else(|| var("HOSTNAME"))
                .or_else(|| std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned()))
                .unwrap_or_else(|| "unknown".to_owned()),
        }
    }
}
