//! Probes and hooks of applications go through the proxy: the kubelet has no certificate, so it asks port 15020, and the
//! proxy asks the application as the pod's author wrote it (environment variable `ISTIO_KUBE_APP_PROBERS`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, GRPCAction, HTTPGetAction, Pod, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};

use super::{
    annotations::parse_bool,
    environment,
    names::{self, APP_PROBERS, PROXY_CONTAINER, all_containers_mut},
    settings::Settings,
};

/// One probe as its author wrote it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Prober {
    #[serde(skip_serializing_if = "Option::is_none")]
    http_get: Option<HTTPGetAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_socket: Option<TCPSocketAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc: Option<GRPCAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<i32>,
}

/// The handlers of a probe or hook, wherever they are.
struct Handlers<'a> {
    path: String,
    http_get: &'a mut Option<HTTPGetAction>,
    tcp_socket: &'a mut Option<TCPSocketAction>,
    grpc: Option<&'a mut Option<GRPCAction>>,
    timeout_seconds: Option<i32>,
}

/// Points probes and hooks at the proxy and tells it what they were.
pub(super) fn rewrite(pod: &mut Pod, settings: &Settings<'_>) {
    let wanted = settings
        .annotation(names::REWRITE_PROBES)
        .and_then(parse_bool)
        .unwrap_or(settings.values.sidecar_injector_webhook.rewrite_app_http_probe);
    let has_proxy = names::proxy_mut(pod).is_some();
    if !wanted || !has_proxy || settings.status_port == 0 {
        return;
    }
    let mut probers = BTreeMap::new();
    for container in all_containers_mut(pod).filter(|container| container.name != PROXY_CONTAINER) {
        let ports = named_ports(container);
        for handlers in handlers(container) {
            let path = handlers.path.clone();
            if let Some(prober) = take_over(handlers, &ports, settings.status_port) {
                probers.insert(path, prober);
            }
        }
    }
    let text = serde_json::to_string(&probers).unwrap_or_default();
    if let Some(proxy) = names::proxy_mut(pod).filter(|_| !probers.is_empty()) {
        proxy.env.get_or_insert_default().push(environment::value(APP_PROBERS, &text));
    }
}

fn named_ports(container: &Container) -> BTreeMap<String, i32> {
    let ports = container.ports.iter().flatten();
    ports.filter_map(|port| Some((port.name.clone()?, port.container_port))).collect()
}

fn handlers(container: &mut Container) -> Vec<Handlers<'_>> {
    let name = &container.name;
    let probes = [
        ("readyz", &mut container.readiness_probe),
        ("livez", &mut container.liveness_probe),
        ("startupz", &mut container.startup_probe),
    ];
    let mut found = Vec::new();
    for (what, probe) in probes {
        if let Some(probe) = probe {
            found.push(Handlers {
                path: format!("/app-health/{name}/{what}"),
                timeout_seconds: probe.timeout_seconds,
                http_get: &mut probe.http_get,
                tcp_socket: &mut probe.tcp_socket,
                grpc: Some(&mut probe.grpc),
            });
        }
    }
    if let Some(hooks) = &mut container.lifecycle {
        for (what, hook) in [("prestopz", &mut hooks.pre_stop), ("poststartz", &mut hooks.post_start)] {
            if let Some(hook) = hook {
                found.push(Handlers {
                    path: format!("/app-lifecycle/{name}/{what}"),
                    timeout_seconds: None,
                    http_get: &mut hook.http_get,
                    tcp_socket: &mut hook.tcp_socket,
                    grpc: None,
                });
            }
        }
    }
    found
}

/// Replaces the handlers by a question to the proxy. `None` when they stay: commands, other hosts, ports nobody has.
fn take_over(handlers: Handlers<'_>, ports: &BTreeMap<String, i32>, status_port: u16) -> Option<Prober> {
    let number = |port: &IntOrString| match port {
        IntOrString::Int(port) => Some(*port),
        IntOrString::String(name) => ports.get(name).copied().or_else(|| name.parse().ok()),
    };
    let mut prober = Prober { timeout_seconds: handlers.timeout_seconds, ..Prober::default() };
    let mut headers = None;
    if let Some(http) = handlers.http_get {
        // With a host, the kubelet asks that host and not the pod.
        if http.host.as_ref().is_some_and(|host| !host.is_empty()) {
            return None;
        }
        let port = number(&http.port)?;
        headers.clone_from(&http.http_headers);
        prober.http_get = Some(HTTPGetAction { port: IntOrString::Int(port), ..http.clone() });
    } else if let Some(tcp) = handlers.tcp_socket {
        if tcp.host.as_ref().is_some_and(|host| !host.is_empty()) {
            return None;
        }
        prober.tcp_socket = Some(TCPSocketAction { port: IntOrString::Int(number(&tcp.port)?), host: None });
    } else if let Some(Some(grpc)) = &handlers.grpc {
        prober.grpc = Some(grpc.clone());
    } else {
        return None;
    }
    if prober.port() == Some(status_port.into()) {
        return None;
    }
    *handlers.http_get = Some(HTTPGetAction {
        path: Some(handlers.path),
        port: IntOrString::Int(status_port.into()),
        scheme: handlers.http_get.as_ref().and_then(|http| http.scheme.clone()).map(|_| "HTTP".to_owned()),
        http_headers: headers,
        host: None,
    });
    *handlers.tcp_socket = None;
    if let Some(grpc) = handlers.grpc {
        *grpc = None;
    }
    Some(prober)
}

impl Prober {
    fn port(&self) -> Option<i32> {
        let port = |port: &IntOrString| match port {
            IntOrString::Int(port) => Some(*port),
            IntOrString::String(_) => None,
        };
        let http = self.http_get.as_ref().and_then(|http| port(&http.port));
        let tcp = self.tcp_socket.as_ref().and_then(|tcp| port(&tcp.port));
        http.or(tcp).or_else(|| self.grpc.as_ref().map(|grpc| grpc.port))
    }
}

/// Gives applications their own probes back, as an earlier injection remembers them.
pub(super) fn restore(pod: &mut Pod, probers: &str) {
    let Ok(mut probers) = serde_json::from_str::<BTreeMap<String, Prober>>(probers) else { return };
    for container in all_containers_mut(pod) {
        for handlers in handlers(container) {
            let Some(prober) = probers.remove(&handlers.path) else { continue };
            *handlers.http_get = prober.http_get;
            *handlers.tcp_socket = prober.tcp_socket;
            if let Some(grpc) = handlers.grpc {
                *grpc = prober.grpc;
            }
        }
    }
}
