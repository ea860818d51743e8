//! What one proxy sees of the mesh: everything exported to its namespace, narrowed by its Sidecar.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::{EgressListener, OutboundMode, Sidecar, VirtualService};
use crate::mesh::Mesh;
use crate::value::{Labels, NamespacedName, Registry, Service, Text, is_exported};

impl Mesh {
    /// The Sidecar of a workload: one that selects it, else its namespace's, else the root namespace's; the oldest
    /// of several.
    pub fn sidecar_of(&self, namespace: &str, labels: &Labels) -> Option<&Arc<Sidecar>> {
        let all = |namespace: &str| {
            let listed = self.sidecars.get(namespace).filter(|_| self.discovers(namespace));
            listed.into_iter().flat_map(|list| list.iter())
        };
        let selecting =
            all(namespace).find(|sidecar| !sidecar.selector.is_empty() && labels.satisfy(&sidecar.selector));
        let plain = |namespace: &str| all(namespace).find(|sidecar| sidecar.selector.is_empty());
        selecting.or_else(|| plain(namespace)).or_else(|| plain(&self.settings.root_namespace))
    }

    /// Whether a namespace sees a service at all.
    pub fn is_service_exported(&self, service: &Service, namespace: &str) -> bool {
        let (said, default) = (service.export_to.as_ref(), &self.settings.service_export);
        self.discovers(&service.key.namespace)
            && is_exported(said, default, &service.key.namespace, namespace)
    }

    /// Whether a namespace sees a VirtualService at all.
    pub fn is_virtual_service_exported(&self, service: &VirtualService, namespace: &str) -> bool {
        let (said, default) = (service.export_to.as_ref(), &self.settings.virtual_service_export);
        let own = &service.meta.name.namespace;
        self.discovers(own) && is_exported(said, default, own, namespace)
    }
}

/// One proxy's sight.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    mesh: &'a Mesh,
    namespace: &'a str,
    sidecar: Option<&'a Sidecar>,
}

/// Where a proxy listens for a port, other than for what is redirected to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// The address; none is the pod's own loopback.
    pub address: Option<IpAddr>,
    /// Whether applications connect there themselves.
    pub open: bool,
}

impl<'a> Scope<'a> {
    /// The sight of proxies in a namespace, narrowed by a Sidecar if they have one.
    pub fn new(mesh: &'a Mesh, namespace: &'a str, sidecar: Option<&NamespacedName>) -> Self {
        let sidecar = sidecar.and_then(|name| {
            mesh.sidecars.get(&name.namespace)?.iter().find(|sidecar| sidecar.meta.name == *name)
        });
        Self { mesh, namespace, sidecar: sidecar.map(|sidecar| &**sidecar) }
    }

    /// The Sidecar that narrows it.
    pub fn sidecar(&self) -> Option<&'a Sidecar> {
        self.sidecar
    }

    /// What happens to traffic to unknown destinations.
    pub fn outbound_mode(&self) -> OutboundMode {
        self.sidecar.and_then(|sidecar| sidecar.outbound).unwrap_or(self.mesh.settings.outbound)
    }

    /// Where the Sidecar has the proxy listen for a port, if it says so.
    pub fn door(&self, port: u16) -> Option<Door> {
        let number = |listener: &EgressListener| listener.port.as_ref().map(|port| port.number);
        let egress = self.egress();
        let own = egress.iter().find(|listener| number(listener) == Some(port));
        let listener = own.or_else(|| egress.iter().find(|listener| number(listener).is_none()))?;
        let said = listener.bind.is_some() || listener.bind_to_port;
        said.then_some(Door { address: listener.bind, open: listener.bind_to_port })
    }

    fn egress(&self) -> &'a [EgressListener] {
        self.sidecar.map_or(&[], |sidecar| &sidecar.egress)
    }

    /// Whether the app may reach a service by its own name, on a port if one is given.
    pub fn sees(&self, service: &Service, port: Option<u16>) -> bool {
        if !self.mesh.is_service_exported(service, self.namespace) {
            return false;
        }
        let egress = self.egress();
        // A port that some listener is for is no other listener's.
        let listed = egress.iter().filter_map(|listener| listener.port.as_ref()).map(|port| port.number);
        let claimed = port.filter(|port| listed.into_iter().any(|listed| listed == *port));
        egress.is_empty()
            || egress.iter().any(|listener| {
                let of_listener = listener.port.as_ref().map(|port| port.number);
                (port.is_none() || of_listener == claimed)
                    && listener
                        .hosts
                        .iter()
                        .any(|host| host.covers(&service.key.host, &service.key.namespace, self.namespace))
            })
    }

    /// Whether the proxy needs a cluster for a service: it sees it, or a route that it sees leads there.
    pub fn needs(&self, service: &Service) -> bool {
        self.sees(service, None)
            || (!self.egress().is_empty()
                && self.mesh.is_service_exported(service, self.namespace)
                && (self.routes_to(&service.key.host) || self.leads_out(&service.key.host)))
    }

    /// Whether traffic to unknown destinations goes to a host.
    fn leads_out(&self, host: &Text) -> bool {
        let proxy = self.sidecar.and_then(|sidecar| sidecar.outbound_proxy.as_ref());
        proxy.is_some_and(|proxy| *proxy.host == **host)
    }

    fn routes_to(&self, host: &Text) -> bool {
        let names = self.mesh.routes_to.get(host).into_iter().flatten();
        names.filter_map(|name| self.mesh.virtual_services.get(name)).any(|service| self.sees_routes(service))
    }

    /// Whether a VirtualService applies to the proxy's outbound traffic.
    pub fn sees_routes(&self, service: &VirtualService) -> bool {
        if !self.mesh.is_virtual_service_exported(service, self.namespace) {
            return false;
        }
        let egress = self.egress();
        let hosts = || egress.iter().flat_map(|listener| &listener.hosts);
        egress.is_empty()
            || service
                .hosts
                .iter()
                .any(|host| hosts().any(|of| of.covers(host, &service.meta.name.namespace, self.namespace)))
    }

    /// The service behind a host: the proxy's own namespace's, else Kubernetes', else the first by namespace.
    pub fn service(&self, host: &str) -> Option<&'a Arc<Service>> {
        self.service_of(&crate::intern(host))
    }

    fn service_of(&self, host: &Text) -> Option<&'a Arc<Service>> {
        let visible = self.mesh.services_of(host).filter(|service| self.needs(service));
        visible.min_by_key(|service| {
            let foreign = *service.key.namespace != *self.namespace;
            (foreign, service.registry != Registry::Kubernetes, service.key.namespace.clone())
        })
    }

    /// Whether this is the service that its host means to the proxy.
    pub fn chooses(&self, service: &Service) -> bool {
        self.service_of(&service.key.host).is_some_and(|chosen| chosen.key == service.key)
    }
}
