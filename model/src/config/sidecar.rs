//! Sidecar: what a workload's proxy needs to know.

use std::net::IpAddr;

use crds::networking::{
    CaptureMode, ConnectionPoolSettings, Destination, IstioEgressListener, IstioIngressListener, SidecarSpec,
};

use super::OutboundMode;
use crate::value::{Labels, Meta, Protocol, Text, host_matches, intern, is_wildcard, resolve_host};

/// Scope of a namespace's or a workload's proxies.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// Identity and age.
    pub meta: Meta,
    /// Workloads it is for; empty means all of its namespace.
    pub selector: Labels,
    /// What may be reached; empty means everything.
    pub egress: Vec<EgressListener>,
    /// What the workload serves, instead of what services say.
    pub ingress: Vec<IstioIngressListener>,
    /// Limits of connections to the workload.
    pub inbound_pool: Option<ConnectionPoolSettings>,
    /// What happens to traffic to unknown destinations; none means the mesh's default.
    pub outbound: Option<OutboundMode>,
    /// Where traffic to unknown destinations goes instead, if it may go anywhere; its host is fully qualified.
    pub outbound_proxy: Option<Destination>,
}

/// Port of an egress listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarPort {
    /// Number.
    pub number: u16,
    /// What it speaks.
    pub protocol: Protocol,
}

/// A listener for outbound traffic and the hosts behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressListener {
    /// Its port; none means every port of the hosts.
    pub port: Option<SidecarPort>,
    /// Address to listen on.
    pub bind: Option<IpAddr>,
    /// Whether it really binds its port, instead of taking captured traffic.
    pub bind_to_port: bool,
    /// Hosts that may be reached.
    pub hosts: Vec<EgressHost>,
}

/// Which namespaces a host is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EgressNamespace {
    /// `*`
    Any,
    /// `~`
    Nobody,
    /// `.`: that of the workload, which a Sidecar of the root namespace may be for.
    Own,
    /// A name.
    Named(Text),
}

/// `namespace/host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressHost {
    /// Namespace that declares the service.
    pub namespace: EgressNamespace,
    /// Host or wildcard.
    pub host: Text,
}

impl EgressHost {
    fn parse(written: &str, own: &str, domain: &str) -> Self {
        let (namespace, host) = written.split_once('/').unwrap_or(("*", written));
        let (namespace, of) = match namespace {
            "*" => (EgressNamespace::Any, own),
            "~" => (EgressNamespace::Nobody, own),
            "." => (EgressNamespace::Own, own),
            named => (EgressNamespace::Named(intern(named)), named),
        };
        Self { namespace, host: resolve_host(host, of, domain) }
    }

    /// Whether a host declared in a namespace is meant, for a workload of the namespace `own`.
    pub fn covers(&self, host: &str, namespace: &str, own: &str) -> bool {
        let namespace_fits = match &self.namespace {
            EgressNamespace::Any => true,
            EgressNamespace::Nobody => false,
            EgressNamespace::Own => *own == *namespace,
            EgressNamespace::Named(named) => **named == *namespace,
        };
        // A wildcard service (`*.example.com`) is also meant by a host that it covers.
        namespace_fits
            && (host_matches(&self.host, host) || (is_wildcard(host) && host_matches(host, &self.host)))
    }
}

impl Sidecar {
    /// Resolves what is written relative to the object's namespace.
    pub fn new(meta: Meta, spec: SidecarSpec, domain: &str) -> Self {
        let namespace = meta.name.namespace.clone();
        let selector = spec.workload_selector.as_ref().map(|selector| &selector.labels);
        let mode = spec.outbound_traffic_policy.as_ref().and_then(|policy| policy.mode);
        Self {
            selector: Labels::of(selector),
            egress: spec.egress.iter().filter_map(|listener| egress(listener, &namespace, domain)).collect(),
            ingress: spec.ingress,
            inbound_pool: spec.inbound_connection_pool,
            outbound: mode.map(|mode| OutboundMode::from_name(mode.as_str())),
            outbound_proxy: spec.outbound_traffic_policy.and_then(|policy| policy.egress_proxy).map(
                |proxy| {
                    let host = resolve_host(&proxy.host, &namespace, domain).to_string();
                    Destination { host, ..proxy }
                },
            ),
            meta,
        }
    }
}

fn egress(listener: &IstioEgressListener, namespace: &str, domain: &str) -> Option<EgressListener> {
    let port = match &listener.port {
        None => None,
        // A port that is no port cannot be listened on.
        Some(port) => Some(SidecarPort {
            number: u16::try_from(port.number.unwrap_or_default()).ok().filter(|number| *number > 0)?,
            protocol: Protocol::parse(port.protocol.as_deref().unwrap_or_default()),
        }),
    };
    Some(EgressListener {
        port,
        bind: listener.bind.as_deref().and_then(|bind| bind.parse().ok()),
        bind_to_port: listener.capture_mode == Some(CaptureMode::None),
        hosts: listener.hosts.iter().map(|host| EgressHost::parse(host, namespace, domain)).collect(),
    })
}
