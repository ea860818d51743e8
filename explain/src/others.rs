//! Hosts of VirtualServices that no service has, and where they count.

use model::config::VirtualService;
use model::{Service, Text, is_wildcard};

use crate::claims;
use crate::evaluator::View;
use crate::hosts::{Name, takes};

impl View<'_> {
    /// Hosts of VirtualServices that no service has on the request's port, and that take a name.
    pub(crate) fn others(&self, host: &str) -> Vec<(Text, Name)> {
        let all = self.mesh.virtual_services.values().filter(|service| service.on_mesh);
        let all = all.filter(|service| claims::has_rules(self, service) && self.holds(service));
        all.flat_map(|service| &service.hosts)
            .filter(|pattern| &***pattern != "*" && takes(pattern, host) && !self.is_served(pattern))
            .map(|pattern| (pattern.clone(), if is_wildcard(pattern) { Name::Wildcard } else { Name::Full }))
            .collect()
    }

    /// Whether a VirtualService holds on the request's port for hosts that no service has: on 80 always, elsewhere if
    /// it says how a service there is reached.
    pub(crate) fn holds(&self, listing: &VirtualService) -> bool {
        let port = self.request.port;
        let says = |service: &Service| {
            let host = &*service.key.host;
            let own = listing.hosts.iter().any(|written| **written == *host);
            own || claims::first(self, host).is_some_and(|first| first.meta.name == listing.meta.name)
        };
        port == 80
            || self.mesh.services.values().any(|service| self.routes_to(service, port) && says(service))
    }

    /// Whether a service has a host of a VirtualService and the request's port. Who writes a wildcard means the services.
    fn is_served(&self, pattern: &str) -> bool {
        let port = self.request.port;
        self.mesh.services.values().any(|service| {
            let host = &*service.key.host;
            let covered = if is_wildcard(pattern) { claims::covers(pattern, host) } else { host == pattern };
            let visible = service.port(port).is_some() && self.scope.sees(service, Some(port));
            covered && visible && (is_wildcard(pattern) || self.scope.chooses(service))
        })
    }
}
