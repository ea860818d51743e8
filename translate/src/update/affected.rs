//! What a set of changes can have affected, seen from one view.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::config::VirtualService;
use model::{Change, Changes, Service, ServiceKey, Text, host_matches, is_wildcard};

use crate::context::Context;
use crate::listener::{Unit, opaque_units_of, units_of};
use crate::route::ports_beside;

/// What a set of changes can have affected.
#[derive(Default)]
pub(super) struct Affected {
    /// Services whose clusters and endpoints may differ, with the subsets that they may have had.
    pub(super) clusters: BTreeSet<ServiceKey>,
    pub(super) subsets: BTreeSet<String>,
    /// Services that are gone or different now, as they were.
    pub(super) old: Vec<Arc<Service>>,
    /// Services of which only the endpoints may differ.
    pub(super) endpoints: BTreeSet<ServiceKey>,
    pub(super) listeners: BTreeSet<Unit>,
    /// Hosts whose virtual hosts may differ.
    pub(super) hosts: BTreeSet<Text>,
    /// Ports where a host may have been routed because a VirtualService lists a service beside it.
    pub(super) others: BTreeSet<(u16, Text)>,
    /// Anything about routes at all, for gateways.
    pub(super) routing: bool,
}

impl Affected {
    pub(super) fn by(context: &Context<'_>, changes: &Changes) -> Self {
        let mut affected = Self::default();
        affected.services(context, changes);
        affected.rules(context, changes);
        affected.virtual_services(context, changes);
        affected.policies(context, changes);
        affected
    }

    fn services(&mut self, context: &Context<'_>, changes: &Changes) {
        for (key, change) in &changes.endpoints {
            self.endpoints.insert(key.clone());
            let Some(service) = context.mesh.services.get(key) else { continue };
            let passthrough = service.resolution != model::Resolution::Endpoints;
            if change.accounts_changed() || passthrough {
                self.clusters.insert(key.clone());
            }
            if service.is_headless() {
                self.listeners.extend(opaque_units_of(service));
            }
        }
        for (key, change) in &changes.services {
            self.old.extend(change.old.clone());
            self.service(context, &key.host);
            for service in change.both() {
                self.listeners.extend(units_of(service));
                for neighbour in neighbours(context, service) {
                    self.hosts.insert(neighbour);
                }
            }
            // Routes name the only port of a service where they name none.
            self.hosts.extend(routed_to(context, &key.host));
            self.listeners
                .extend(routed_to(context, &key.host).iter().flat_map(|host| units_at(context, host)));
        }
        for listing in changes.services.keys().flat_map(|key| speakers(context, &key.host)) {
            self.hosts_of(context, &listing);
        }
        self.routing |= !changes.services.is_empty();
    }

    /// All services with a host: which of them a client means may have changed.
    fn service(&mut self, context: &Context<'_>, host: &Text) {
        self.hosts.insert(host.clone());
        self.clusters.extend(keys_of(context, host));
    }

    fn rules(&mut self, context: &Context<'_>, changes: &Changes) {
        for rule in changes.destination_rules.values().flat_map(Change::both) {
            self.subsets.extend(rule.subsets.iter().map(|subset| subset.name.clone()));
            for host in matching_hosts(context, &rule.host) {
                self.clusters.extend(keys_of(context, &host));
                // Hashing and idle timeouts are told to routes and listeners.
                self.listeners.extend(units_at(context, &host));
                for routed in routed_to(context, &host) {
                    self.listeners.extend(units_at(context, &routed));
                    self.hosts.insert(routed);
                }
                self.hosts.insert(host);
            }
            self.routing = true;
        }
    }

    fn virtual_services(&mut self, context: &Context<'_>, changes: &Changes) {
        let narrowed = context.scope.sidecar().is_some();
        for service in changes.virtual_services.values().flat_map(Change::both) {
            self.routing = true;
            self.hosts_of(context, service);
            // What another lists by a wildcard may now be this one's, or no longer be.
            for host in service.mesh_hosts().flat_map(|host| matching_hosts(context, host)) {
                for other in speakers(context, &host) {
                    self.hosts_of(context, &other);
                }
            }
            if narrowed {
                // A route that is seen lets its destinations be seen.
                service.destinations.iter().for_each(|host| self.clusters.extend(keys_of(context, host)));
            }
        }
    }

    /// Hosts of a VirtualService; on the ports, too, of services that it lists or has listed.
    fn hosts_of(&mut self, context: &Context<'_>, service: &VirtualService) {
        let mut ports = ports_beside(context.mesh, service);
        let gone = self.old.iter().filter(|old| lists(service, &old.key.host));
        ports.extend(gone.flat_map(|old| &old.ports).map(|port| port.number));
        for host in service.mesh_hosts() {
            self.virtual_service_host(context, service, host);
            self.others.extend(ports.iter().map(|port| (*port, host.clone())));
        }
    }

    fn virtual_service_host(&mut self, context: &Context<'_>, service: &VirtualService, host: &Text) {
        let opaque = !service.spec.tcp.is_empty() || !service.spec.tls.is_empty();
        for of_service in matching_hosts(context, host) {
            if opaque {
                self.listeners.extend(units_at(context, &of_service));
            }
            self.hosts.insert(of_service);
        }
        self.hosts.insert(host.clone());
        // `reviews.shop` as a host of its own takes the name from the service that had it as a short form.
        for suffix in [format!(".svc.{}", context.mesh.domain), format!(".{}", context.mesh.domain)] {
            self.hosts.insert(model::intern(&format!("{host}{suffix}")));
        }
        // And so does `reviews.shop.svc.cluster.local.`, dot included.
        if let Some(relative) = host.strip_suffix('.') {
            self.hosts.insert(model::intern(relative));
        }
    }

    fn policies(&mut self, context: &Context<'_>, changes: &Changes) {
        let mesh = context.mesh;
        let root = &mesh.settings.root_namespace;
        for (name, change) in &changes.peer_authentications {
            let mesh_wide = name.namespace == *root;
            let disables = |policy: &Arc<model::config::PeerAuthentication>| {
                let off = |mode: &Option<model::config::MutualTlsMode>| {
                    *mode == Some(model::config::MutualTlsMode::Disable)
                };
                off(&policy.mode) || policy.ports.values().any(off)
            };
            if change.both().any(disables) || mesh_wide {
                let services = mesh.services_in.iter().filter(|(of, _)| mesh_wide || **of == name.namespace);
                self.clusters.extend(services.flat_map(|(_, keys)| keys.iter().cloned()));
            }
        }
    }
}

/// Services with a host.
pub(super) fn keys_of(context: &Context<'_>, host: &Text) -> Vec<ServiceKey> {
    let keys = context.mesh.services.range(ServiceKey::first(host)..).map(|(key, _)| key);
    keys.take_while(|key| key.host == *host).cloned().collect()
}

/// Hosts of services that a host as written in a rule covers.
fn matching_hosts(context: &Context<'_>, written: &Text) -> BTreeSet<Text> {
    if !is_wildcard(written) {
        return keys_of(context, written).into_iter().map(|key| key.host).collect();
    }
    let hosts = context.mesh.services.keys().map(|key| &key.host);
    hosts.filter(|host| host_matches(written, host)).cloned().collect()
}

/// Listeners that services of a host have a part of their own in: HTTP has none, it is told apart by routes.
fn units_at(context: &Context<'_>, host: &Text) -> BTreeSet<Unit> {
    let services =
        keys_of(context, host).into_iter().filter_map(|key| context.mesh.services.get(&key).cloned());
    services.flat_map(|service| opaque_units_of(&service)).collect()
}

/// Hosts whose VirtualServices lead to a host.
fn routed_to(context: &Context<'_>, host: &Text) -> BTreeSet<Text> {
    let names = context.mesh.routes_to.get(host).into_iter().flatten();
    let services = names.filter_map(|name| context.mesh.virtual_services.get(name));
    services
        .flat_map(|service| service.mesh_hosts())
        .flat_map(|host| matching_hosts(context, host).into_iter().chain([host.clone()]))
        .collect()
}

/// Whether a VirtualService lists a host among others, perhaps by a wildcard.
fn lists(service: &VirtualService, host: &str) -> bool {
    service.mesh_hosts().nth(1).is_some() && service.mesh_hosts().any(|written| host_matches(written, host))
}

/// VirtualServices that list a host among others, perhaps by a wildcard.
fn speakers(context: &Context<'_>, host: &str) -> Vec<Arc<VirtualService>> {
    let mesh = context.mesh;
    let listed =
        model::host_candidates(host).filter_map(|candidate| mesh.mesh_routes.get(candidate.as_str()));
    listed.flat_map(|list| list.iter()).filter(|service| lists(service, host)).cloned().collect()
}

/// Hosts whose names or addresses a service may take or free.
fn neighbours(context: &Context<'_>, service: &Service) -> BTreeSet<Text> {
    let sharing = service
        .addresses
        .iter()
        .chain(&service.assigned)
        .filter_map(|address| context.mesh.services_at.get(address))
        .flatten();
    let mut hosts: BTreeSet<Text> = sharing.map(|key| key.host.clone()).collect();
    let host = &service.key.host;
    // A wildcard stands for itself only as long as no service does.
    let wildcards = model::host_candidates(host).filter(|candidate| is_wildcard(candidate));
    hosts.extend(
        wildcards.filter_map(|wildcard| {
            Some(context.mesh.mesh_routes.get_key_value(wildcard.as_str())?.0.clone())
        }),
    );
    for suffix in [format!(".svc.{}", context.mesh.domain), format!(".{}", context.mesh.domain)] {
        hosts.insert(model::intern(&format!("{host}{suffix}")));
    }
    hosts
}
