//! The application's probes, which the injector moved to us: `ISTIO_KUBE_APP_PROBERS`.
//!
//! The kubelet has no certificate, so its probes can't pass a STRICT sidecar; it asks us, and we ask the application as the
//! kubelet would have.

mod grpc;
mod http_get;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::client::{ClientError, connect};

/// What a probe answers for at which path.
#[derive(Debug, Default)]
pub struct Probes {
    by_path: BTreeMap<String, Probe>,
    destination: Option<IpAddr>,
}

/// Why probes can't be configured, or why one failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Not the expected JSON.
    #[error("ISTIO_KUBE_APP_PROBERS: {0}; the injector writes a map from path to probe")]
    Json(#[from] serde_json::Error),
    /// A path that no probe may have.
    #[error(
        "ISTIO_KUBE_APP_PROBERS: path {0:?} is not of the form /app-health/<container>/{{livez,readyz,startupz}} or /app-lifecycle/<container>/{{prestopz,poststartz}}"
    )]
    Path(String),
    /// Not exactly one kind.
    #[error("ISTIO_KUBE_APP_PROBERS: probe {0:?} must have exactly one of httpGet, tcpSocket and grpc")]
    Kind(String),
    /// A port by name.
    #[error("ISTIO_KUBE_APP_PROBERS: probe {0:?}: the port must be a number from 1 to 65535")]
    Port(String),
    /// The application did not answer as it should.
    #[error("probe failed: {0}")]
    Failed(String),
    /// It took too long.
    #[error("probe failed: no answer within {0:?}")]
    Timeout(Duration),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    http_get: Option<http_get::HttpGet>,
    tcp_socket: Option<TcpSocket>,
    grpc: Option<grpc::Grpc>,
    #[serde(default)]
    timeout_seconds: u64,
}

#[derive(Debug, Deserialize)]
struct TcpSocket {
    port: serde_json::Value,
}

impl Probes {
    /// From the variable as found. `instance` is the pod's address; with `localhost`, probes go to its loopback address.
    pub fn parse(text: Option<&str>, instance: IpAddr, localhost: bool) -> Result<Self, ProbeError> {
        let by_path: BTreeMap<String, Probe> =
            text.map(serde_json::from_str).transpose()?.unwrap_or_default();
        for (path, probe) in &by_path {
            check(path, probe)?;
        }
        let loopback = match instance {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        Ok(Self { by_path, destination: Some(if localhost { loopback } else { instance }) })
    }

    /// Asks the application; none if no probe has this path.
    pub async fn run(&self, path: &str, headers: &HeaderMap) -> Option<Result<Response, ProbeError>> {
        let probe = self.by_path.get(path)?;
        let destination = self.destination?;
        // The kubelet's default is one second.
        let timeout = Duration::from_secs(probe.timeout_seconds.max(1));
        Some(match tokio::time::timeout(timeout, probe.run(destination, headers)).await {
            Ok(result) => result,
            Err(_) => Err(ProbeError::Timeout(timeout)),
        })
    }
}

impl Probe {
    async fn run(&self, destination: IpAddr, headers: &HeaderMap) -> Result<Response, ProbeError> {
        if let Some(http) = &self.http_get {
            return http.run(destination, headers).await;
        }
        if let Some(grpc) = &self.grpc {
            return grpc.run(destination).await.map(|()| "OK\n".into_response());
        }
        let port = self.tcp_socket.as_ref().and_then(|tcp| port(&tcp.port));
        let address = SocketAddr::new(destination, port.unwrap_or_default());
        connect(address).await.map(|_| "OK\n".into_response()).map_err(failed)
    }
}

fn failed(error: ClientError) -> ProbeError {
    ProbeError::Failed(error.to_string())
}

fn check(path: &str, probe: &Probe) -> Result<(), ProbeError> {
    let parts: Vec<&str> = path.split('/').collect();
    let known = match parts.as_slice() {
        ["", "app-health", container, kind] => {
            !container.is_empty() && matches!(*kind, "livez" | "readyz" | "startupz")
        }
        ["", "app-lifecycle", container, kind] => {
            !container.is_empty() && matches!(*kind, "prestopz" | "poststartz")
        }
        _ => false,
    };
    if !known {
        return Err(ProbeError::Path(path.to_owned()));
    }
    let ports = [
        probe.http_get.as_ref().map(|http| &http.port),
        probe.tcp_socket.as_ref().map(|tcp| &tcp.port),
        probe.grpc.as_ref().map(|grpc| &grpc.port),
    ];
    let mut given = ports.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(only), None) if port(only).is_some() => Ok(()),
        (Some(_), None) => Err(ProbeError::Port(path.to_owned())),
        _ => Err(ProbeError::Kind(path.to_owned())),
    }
}

/// A port by number; the injector has resolved names already.
fn port(value: &serde_json::Value) -> Option<u16> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests;
