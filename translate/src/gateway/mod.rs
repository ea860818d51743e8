//! Gateways: ports that a gateway proxy opens, from all Gateway objects that select it.

mod listener;
mod passing;
mod routes;
mod secret;
mod tls;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crds::networking::{Server, ServerTlsMode};
use model::Protocol;
use model::config::{Gateway, VirtualService};
use xds::ResourceType;
use xds::names;

use crate::context::Context;
use crate::resource::Resource;
use crate::view::ProxyView;

/// One server of a Gateway.
#[derive(Clone, Copy)]
pub(crate) struct Serving<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) server: &'a Server,
    pub(crate) protocol: Protocol,
    /// Port as written.
    pub(crate) port: u16,
    /// Port that the proxy listens on: the target port of its own Service.
    pub(crate) listen: u16,
}

impl Serving<'_> {
    fn tls_mode(&self) -> Option<ServerTlsMode> {
        let tls = self.server.tls.as_ref()?;
        // A block that only redirects has no mode, and a block without mode is PASSTHROUGH, protobuf's zero value.
        if !self.protocol.is_tls() && tls.mode.is_none() {
            return None;
        }
        Some(tls.mode.unwrap_or(ServerTlsMode::Passthrough))
    }

    /// Whether TLS ends here.
    fn terminates(&self) -> bool {
        matches!(
            self.tls_mode(),
            Some(
                ServerTlsMode::Simple
                    | ServerTlsMode::Mutual
                    | ServerTlsMode::OptionalMutual
                    | ServerTlsMode::IstioMutual
            )
        )
    }

    /// Whether TLS goes through unopened.
    fn passes_through(&self) -> bool {
        self.protocol.is_tls() && !self.terminates()
    }

    /// Whether it goes to the service that the SNI names, without any rule.
    fn passes_by_sni(&self) -> bool {
        self.passes_through() && self.tls_mode() == Some(ServerTlsMode::AutoPassthrough)
    }

    /// Whether requests are routed, once TLS is off.
    fn is_http(&self) -> bool {
        self.protocol.is_http() || (self.protocol == Protocol::Https && self.terminates())
    }

    /// Name of its routes.
    fn route_name(&self) -> String {
        if self.terminates() {
            let name = &self.gateway.meta.name;
            names::gateway_https_route(self.port, &self.server.port.name, &name.name, &name.namespace)
        } else {
            names::gateway_http_route(self.listen)
        }
    }
}

/// Whether a proxy's Gateways let the mesh's own TLS through by its SNI.
pub(crate) fn passes_by_sni(mesh: &model::Mesh, view: &ProxyView) -> bool {
    let automatic = |server: &Server| {
        server.tls.as_ref().and_then(|tls| tls.mode) == Some(ServerTlsMode::AutoPassthrough)
    };
    mesh.gateways
        .values()
        .filter(|gateway| gateway.servers.iter().any(automatic))
        .filter(|gateway| mesh.discovers(&gateway.meta.name.namespace))
        .any(|gateway| view.labels.satisfy(&gateway.selector))
}

/// Address and port of a listener.
type Place = (IpAddr, u16);

/// All servers of the proxy by where they listen, the oldest Gateway first.
fn servers<'a>(context: &Context<'a>) -> BTreeMap<Place, Vec<Serving<'a>>> {
    let mut gateways: Vec<&'a Arc<Gateway>> = context
        .mesh
        .gateways
        .values()
        .filter(|gateway| context.mesh.discovers(&gateway.meta.name.namespace))
        .filter(|gateway| context.view.labels.satisfy(&gateway.selector))
        .collect();
    gateways.sort_by_key(|gateway| gateway.meta.age_order());
    let mut places: BTreeMap<Place, Vec<Serving<'a>>> = BTreeMap::new();
    for gateway in gateways {
        for server in &gateway.servers {
            let Some(port) = u16::try_from(server.port.number).ok().filter(|port| *port > 0) else {
                continue;
            };
            let bind =
                server.bind.as_deref().and_then(|bind| bind.parse().ok()).unwrap_or(context.wildcard());
            for listen in listen_ports(context, port) {
                let protocol = Protocol::parse(&server.port.protocol);
                let serving = Serving { gateway, server, protocol, port, listen };
                places.entry((bind, listen)).or_default().push(serving);
            }
        }
    }
    places
}

/// A server's port is that of the proxy's Service, behind which the proxy listens on the target port.
fn listen_ports(context: &Context<'_>, port: u16) -> Vec<u16> {
    let mut ports: Vec<u16> = context
        .view
        .targets
        .iter()
        .filter(|target| target.port == port)
        .map(|target| target.target_port)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    if ports.is_empty() { vec![port] } else { ports }
}

/// Whether a VirtualService speaks for a host of one of the proxy's servers.
pub(crate) fn serves(context: &Context<'_>, service: &Arc<VirtualService>) -> bool {
    let places = servers(context);
    places.values().flatten().any(|serving| {
        let served = serving.gateway.hosts_of(serving.server);
        listener::bound(context, serving).any(|bound| Arc::ptr_eq(bound, service))
            && listener::common_hosts(&served, service).next().is_some()
    })
}

/// All resources that Gateways make.
pub(crate) fn gateway(context: &Context<'_>) -> Vec<(ResourceType, Arc<Resource>)> {
    let places = servers(context);
    let mut all = Vec::new();
    for ((bind, port), servers) in &places {
        if let Some(listener) = listener::listener(context, *bind, *port, servers) {
            all.push((ResourceType::Listener, listener));
        }
    }
    all.extend(routes::routes(context, &places));
    all.extend(secret::secrets(context, &places));
    all
}
