//! Services, and their endpoints put together from whatever declares them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Store;
use super::index::{add_to, remove_from};
use super::slices::Slice;
use crate::changes::{Change, Changes};
use crate::mesh::Mesh;
use crate::value::{EndpointGroup, Endpoints, NamespacedName, Protocol, Registry, Service, ServiceKey, Text};

/// What the mesh itself does not need, but its upkeep does.
#[derive(Debug, Default)]
pub(super) struct ServiceIndex {
    /// Everything that declares a service; the first one counts.
    claims: HashMap<ServiceKey, Vec<Arc<Service>>>,
    /// Slices of a Kubernetes service.
    pub(super) slices: HashMap<NamespacedName, BTreeMap<Text, Slice>>,
    /// The service that a slice belongs to.
    pub(super) owners: HashMap<NamespacedName, NamespacedName>,
    /// ServiceEntries of a namespace that select workloads.
    pub(super) selecting: HashMap<Text, BTreeSet<NamespacedName>>,
}

impl Store {
    pub(super) fn set_service(
        &mut self,
        service: &k8s_openapi::api::core::v1::Service,
        changes: &mut Changes,
    ) {
        let domain = self.mesh.domain.clone();
        let name = crate::kube::name_of(&service.metadata);
        match Service::from_kubernetes(service, &domain) {
            Some(service) => {
                let key = service.key.clone();
                let declared =
                    NamespacedName { namespace: key.namespace.clone(), name: service.name.clone() };
                self.claim(&key, Registry::Kubernetes, &declared.name, Some(service), changes);
                self.refresh_endpoints(&key, changes);
            }
            // It may have been another type before.
            None => self.remove_service(&name, changes),
        }
    }

    pub(super) fn remove_service(&mut self, name: &NamespacedName, changes: &mut Changes) {
        let key = self.kubernetes_key(name);
        self.claim(&key, Registry::Kubernetes, &name.name, None, changes);
        self.refresh_endpoints(&key, changes);
    }

    pub(super) fn kubernetes_key(&self, name: &NamespacedName) -> ServiceKey {
        let host = format!("{}.{}.svc.{}", name.name, name.namespace, self.mesh.domain);
        ServiceKey::new(&host, &name.namespace)
    }

    /// Declares a service, or takes the declaration back. Kubernetes wins over ServiceEntries, then the oldest.
    pub(super) fn claim(
        &mut self,
        key: &ServiceKey,
        registry: Registry,
        name: &Text,
        service: Option<Service>,
        changes: &mut Changes,
    ) {
        let claims = self.services.claims.entry(key.clone()).or_default();
        claims.retain(|claim| claim.registry != registry || claim.name != *name);
        claims.extend(service.map(Arc::new));
        claims.sort_by_key(|claim| {
            (claim.registry == Registry::ServiceEntry, claim.created, claim.name.clone())
        });
        let winner = combined(claims);
        if winner.is_none() {
            self.services.claims.remove(key);
        }
        let old = self.mesh.services.get(key).cloned();
        if old == winner {
            return;
        }
        let mesh = Arc::make_mut(&mut self.mesh);
        if let Some(old) = &old {
            unindex(mesh, old);
        }
        if let Some(new) = &winner {
            index(mesh, new);
        }
        changes.merge(Changes {
            services: [(key.clone(), Change { old, new: winner })].into(),
            ..Changes::default()
        });
    }

    /// Recomputes a service's endpoints from whatever declares it now.
    pub(super) fn refresh_endpoints(&mut self, key: &ServiceKey, changes: &mut Changes) {
        let declared = self.mesh.services.get(key);
        let groups: Vec<Arc<EndpointGroup>> = match declared {
            None => Vec::new(),
            Some(service) => {
                let name = NamespacedName { namespace: key.namespace.clone(), name: service.name.clone() };
                match service.registry {
                    Registry::Kubernetes => {
                        let slices = self.services.slices.get(&name);
                        let pods = slices.into_iter().flatten().map(|(_, slice)| slice.group.clone());
                        pods.chain(self.machines_of(service)).collect()
                    }
                    Registry::ServiceEntry => {
                        let claims = self.services.claims.get(key).map_or(&[][..], Vec::as_slice);
                        let parts = parts_of(claims).map(|part| &part.name);
                        let names = parts.map(|part| NamespacedName { name: part.clone(), ..name.clone() });
                        names.flat_map(|name| self.entry_groups(&name)).collect()
                    }
                }
            }
        };
        let old = self.mesh.endpoints.get(key);
        let known = old.map(|old| old.accounts.clone());
        let new = (!groups.is_empty()).then(|| Arc::new(Endpoints::new(groups, known)));
        if old == new.as_ref() {
            return;
        }
        let change = Change { old: old.cloned(), new: new.clone() };
        let mesh = Arc::make_mut(&mut self.mesh);
        match new {
            Some(new) => mesh.endpoints.insert(key.clone(), new),
            None => mesh.endpoints.remove(key),
        };
        changes.merge(Changes { endpoints: [(key.clone(), change)].into(), ..Changes::default() });
    }
}

/// Declarations that count: the first, and ServiceEntries that are resolved like it, whose ports add up.
fn parts_of(claims: &[Arc<Service>]) -> impl Iterator<Item = &Arc<Service>> {
    let first = claims.first();
    claims.iter().enumerate().filter_map(move |(index, claim)| {
        let first = first?;
        let entries = [claim, first].iter().all(|one| one.registry == Registry::ServiceEntry);
        (index == 0 || (entries && claim.resolution == first.resolution)).then_some(claim)
    })
}

/// A service of all its declarations.
fn combined(claims: &[Arc<Service>]) -> Option<Arc<Service>> {
    let mut parts = parts_of(claims);
    let mut service = parts.next()?.clone();
    for port in parts.flat_map(|part| &part.ports) {
        if !service.ports.iter().any(|known| known.number == port.number || known.name == port.name) {
            Arc::make_mut(&mut service).ports.push(port.clone());
        }
    }
    Some(service)
}

/// Puts a service where it is looked for.
fn index(mesh: &mut Mesh, service: &Arc<Service>) {
    let key = &service.key;
    add_to(&mut mesh.services_in, key.namespace.clone(), key.clone());
    for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
        let map = if port.protocol.is_http() { &mut mesh.http_on } else { &mut mesh.opaque_on };
        add_to(map, port.number, key.clone());
    }
    let addresses = service.addresses.iter().chain(&service.assigned);
    addresses.for_each(|address| add_to(&mut mesh.services_at, *address, key.clone()));
    if service.registry != Registry::Kubernetes {
        *mesh.foreign_hosts.entry(key.host.clone()).or_insert(0) += 1;
    }
    mesh.services.insert(key.clone(), service.clone());
}

/// Takes a service from where it is looked for.
fn unindex(mesh: &mut Mesh, service: &Service) {
    let key = &service.key;
    remove_from(&mut mesh.services_in, &key.namespace, key);
    for port in &service.ports {
        remove_from(&mut mesh.http_on, &port.number, key);
        remove_from(&mut mesh.opaque_on, &port.number, key);
    }
    let addresses = service.addresses.iter().chain(&service.assigned);
    addresses.for_each(|address| remove_from(&mut mesh.services_at, address, key));
    if service.registry != Registry::Kubernetes {
        match mesh.foreign_hosts.get_mut(&key.host) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(mesh.foreign_hosts.remove(&key.host)),
        }
    }
    mesh.services.remove(key);
}
