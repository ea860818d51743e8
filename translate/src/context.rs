//! What every generator gets: the mesh, the view, and what the view sees of the mesh.

use std::sync::Arc;

use model::config::{MergedRule, OutboundMode};
use model::{Mesh, Scope, Service};
use xds::names::{self, Role};

use crate::memo::{Inputs, Memo};
use crate::node::Client;
use crate::view::ProxyView;

/// One view of one mesh.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) mesh: &'a Mesh,
    pub(crate) view: &'a ProxyView,
    pub(crate) scope: Scope<'a>,
    pub(crate) memo: &'a Memo,
    /// A gateway that passes the mesh's own TLS on by its SNI (`AUTO_PASSTHROUGH`).
    pub(crate) passes_by_sni: bool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(mesh: &'a Mesh, view: &'a ProxyView, memo: &'a Memo) -> Self {
        let passes_by_sni = view.role == Role::Router && crate::gateway::passes_by_sni(mesh, view);
        Self {
            mesh,
            view,
            scope: Scope::new(mesh, &view.namespace, view.sidecar.as_ref()),
            memo,
            passes_by_sni,
        }
    }

    /// A gateway rather than a sidecar.
    pub(crate) fn is_gateway(&self) -> bool {
        self.view.role == Role::Router
    }

    /// A stock Envoy rather than a proxy of ours.
    pub(crate) fn is_envoy(&self) -> bool {
        self.view.client == Client::Envoy
    }

    /// The address that means all of them.
    pub(crate) fn wildcard(&self) -> std::net::IpAddr {
        if self.view.ipv6 {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv4Addr::UNSPECIFIED.into()
        }
    }

    /// The address that means the pod itself.
    pub(crate) fn loopback(&self) -> std::net::IpAddr {
        if self.view.ipv6 {
            std::net::Ipv6Addr::LOCALHOST.into()
        } else {
            std::net::Ipv4Addr::LOCALHOST.into()
        }
    }

    /// The rule by which this client talks to a service.
    pub(crate) fn rule(&self, service: &Service) -> Option<&'a Arc<MergedRule>> {
        self.rule_for(&service.key.host, &service.key.namespace)
    }

    /// The rule by which this client talks to a host.
    pub(crate) fn rule_for(&self, host: &str, namespace: &str) -> Option<&'a Arc<MergedRule>> {
        self.mesh.destination_rule(&self.view.namespace, &self.view.labels, host, namespace)
    }

    /// Where traffic to unknown destinations goes.
    pub(crate) fn unknown_cluster(&self) -> String {
        let proxy = self.scope.sidecar().and_then(|sidecar| sidecar.outbound_proxy.as_ref());
        match (self.scope.outbound_mode(), proxy) {
            (OutboundMode::RegistryOnly, _) => names::BLACK_HOLE_CLUSTER.to_owned(),
            (OutboundMode::AllowAny, Some(proxy)) => crate::route::resolve(self, proxy, 0).cluster,
            (OutboundMode::AllowAny, None) => names::PASSTHROUGH_CLUSTER.to_owned(),
        }
    }

    /// Inputs that nearly every resource has: mesh-wide settings and the kind of proxy.
    pub(crate) fn inputs(&self) -> Inputs {
        let mut inputs = Inputs::default();
        let kind =
            u64::from(self.is_gateway()) | u64::from(self.is_envoy()) << 1 | u64::from(self.view.ipv6) << 2;
        inputs.object(&self.mesh.settings).word(kind);
        inputs
    }

    /// Inputs of resources that say how requests are logged and traced.
    pub(crate) fn add_telemetry(&self, inputs: &mut Inputs) {
        let settings = &self.view.settings;
        inputs.word(settings.interception as u64).word(settings.sampling.map_or(u64::MAX, u64::from));
        if let Some((service, revision)) = &self.view.canonical {
            inputs.text(&self.view.namespace).text(service).text(revision);
        }
    }
}
