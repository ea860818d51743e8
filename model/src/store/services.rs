//! Services and their endpoints, from Kubernetes Services with EndpointSlices and from ServiceEntries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Store;
use super::index::{add_to, remove_from};
use crate::changes::{Change, Changes};
use crate::config::{ServiceEntry, WorkloadEntry};
use crate::kube::EndpointSlice;
use crate::mesh::Mesh;
use crate::value::{
    Address, Endpoint, EndpointGroup, Endpoints, NamespacedName, Protocol, Registry, Service, ServiceKey,
    Text,
};

/// One slice and what it means with the pods known now.
#[derive(Debug)]
struct Slice {
    source: Arc<EndpointSlice>,
    group: Arc<EndpointGroup>,
}

/// What the mesh itself does not need, but its upkeep does.
#[derive(Debug, Default)]
pub(super) struct ServiceIndex {
    /// Everything that declares a service; the first one counts.
    claims: HashMap<ServiceKey, Vec<Arc<Service>>>,
    /// Slices of a Kubernetes service.
    slices: HashMap<NamespacedName, BTreeMap<Text, Slice>>,
    /// The service that a slice belongs to.
    owners: HashMap<NamespacedName, NamespacedName>,
    entries: HashMap<NamespacedName, Arc<ServiceEntry>>,
    /// ServiceEntries of a namespace that select workloads.
    selecting: HashMap<Text, BTreeSet<NamespacedName>>,
    workload_entries: HashMap<Text, BTreeMap<Text, Arc<WorkloadEntry>>>,
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

    fn kubernetes_key(&self, name: &NamespacedName) -> ServiceKey {
        let host = format!("{}.{}.svc.{}", name.name, name.namespace, self.mesh.domain);
        ServiceKey::new(&host, &name.namespace)
    }

    /// Declares a service, or takes the declaration back. Kubernetes wins over ServiceEntries, then the oldest.
    fn claim(
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
        let winner = claims.first().cloned();
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

    pub(super) fn set_slice(&mut self, slice: Arc<EndpointSlice>, changes: &mut Changes) {
        let service = NamespacedName { namespace: slice.name.namespace.clone(), name: slice.service.clone() };
        if self.services.owners.get(&slice.name).is_some_and(|owner| *owner != service) {
            self.remove_slice(&slice.name, changes);
        }
        if slice.service.is_empty() {
            return;
        }
        let known = self.services.slices.get(&service).and_then(|slices| slices.get(&slice.name.name));
        if known.is_some_and(|known| known.source == slice) {
            return;
        }
        self.services.owners.insert(slice.name.clone(), service.clone());
        let old = known.map(|known| known.source.clone());
        self.link_pods(old.as_deref(), Some(&slice), &service);
        let group = self.resolve_slice(&slice);
        let slices = self.services.slices.entry(service.clone()).or_default();
        slices.insert(slice.name.name.clone(), Slice { source: slice, group });
        self.refresh_endpoints(&self.kubernetes_key(&service), changes);
    }

    pub(super) fn remove_slice(&mut self, name: &NamespacedName, changes: &mut Changes) {
        let Some(service) = self.services.owners.remove(name) else { return };
        let Some(slices) = self.services.slices.get_mut(&service) else { return };
        let removed = slices.remove(&name.name);
        if slices.is_empty() {
            self.services.slices.remove(&service);
        }
        if let Some(removed) = removed {
            self.link_pods(Some(&removed.source), None, &service);
        }
        self.refresh_endpoints(&self.kubernetes_key(&service), changes);
    }

    /// Remembers which services to look at when a pod changes.
    fn link_pods(
        &mut self,
        old: Option<&EndpointSlice>,
        new: Option<&EndpointSlice>,
        service: &NamespacedName,
    ) {
        let pods = |slice: Option<&EndpointSlice>| -> BTreeSet<Text> {
            slice.into_iter().flat_map(|slice| &slice.endpoints).filter_map(|e| e.pod.clone()).collect()
        };
        let of = |pod: Text| NamespacedName { namespace: service.namespace.clone(), name: pod };
        for pod in pods(new) {
            let services = self.workloads.services_of.entry(of(pod)).or_default();
            *services.entry(service.clone()).or_default() += 1;
        }
        for pod in pods(old) {
            let pod = of(pod);
            let Some(services) = self.workloads.services_of.get_mut(&pod) else { continue };
            if let Some(count) = services.get_mut(service) {
                *count -= 1;
                if *count == 0 {
                    services.remove(service);
                }
            }
            if services.is_empty() {
                self.workloads.services_of.remove(&pod);
            }
        }
    }

    /// Resolves again the slices of a service, or only those that name a pod.
    pub(super) fn refresh_slices(
        &mut self,
        service: &NamespacedName,
        pod: Option<&Text>,
        changes: &mut Changes,
    ) {
        let names_pod = |slice: &EndpointSlice| {
            pod.is_none() || slice.endpoints.iter().any(|endpoint| endpoint.pod.as_ref() == pod)
        };
        let affected: Vec<_> = self
            .services
            .slices
            .get(service)
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter(|slice| names_pod(&slice.source))
            .map(|slice| slice.source.clone())
            .collect();
        for source in affected {
            let group = self.resolve_slice(&source);
            if let Some(slices) = self.services.slices.get_mut(service) {
                slices.insert(source.name.name.clone(), Slice { source, group });
            }
        }
        self.refresh_endpoints(&self.kubernetes_key(service), changes);
    }

    /// An endpoint whose pod is not known yet is held back: without its labels we would send plaintext to a peer
    /// that may insist on mutual TLS. A pod that is already gone stays as it was.
    fn resolve_slice(&self, slice: &EndpointSlice) -> Arc<EndpointGroup> {
        let service = NamespacedName { namespace: slice.name.namespace.clone(), name: slice.service.clone() };
        let before = self.services.slices.get(&service).and_then(|slices| slices.get(&slice.name.name));
        let remembered = |pod: &Text| {
            let endpoints = before.into_iter().flat_map(|slice| &slice.group.endpoints);
            endpoints
                .filter_map(|e| e.workload.as_ref())
                .find(|workload| workload.instance.name == *pod)
                .cloned()
        };
        let endpoints = slice.endpoints.iter().filter_map(|endpoint| {
            let node = endpoint.node.as_deref().unwrap_or_default();
            let (workload, locality) = match &endpoint.pod {
                Some(pod) => {
                    let name = NamespacedName { namespace: slice.name.namespace.clone(), name: pod.clone() };
                    let workload = self.mesh.workloads.get(&name).cloned().or_else(|| remembered(pod))?;
                    let locality = workload.locality.clone();
                    (Some(workload), locality)
                }
                None => (None, self.workloads.locality(node)),
            };
            Some(Endpoint { address: Address::Ip(endpoint.address), weight: 0, workload, locality })
        });
        Arc::new(EndpointGroup::new(slice.ports.clone(), endpoints.collect()))
    }

    /// Recomputes a service's endpoints from whatever declares it now.
    fn refresh_endpoints(&mut self, key: &ServiceKey, changes: &mut Changes) {
        let declared = self.mesh.services.get(key);
        let groups: Vec<Arc<EndpointGroup>> = match declared {
            None => Vec::new(),
            Some(service) => {
                let name = NamespacedName { namespace: key.namespace.clone(), name: service.name.clone() };
                match service.registry {
                    Registry::Kubernetes => {
                        let slices = self.services.slices.get(&name);
                        slices.into_iter().flatten().map(|(_, slice)| slice.group.clone()).collect()
                    }
                    Registry::ServiceEntry => self.entry_groups(&name),
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

    pub(super) fn set_service_entry(
        &mut self,
        name: &NamespacedName,
        new: Option<ServiceEntry>,
        changes: &mut Changes,
    ) {
        let old = self.services.entries.get(name).cloned();
        if old.as_deref() == new.as_ref() {
            return;
        }
        let selecting = self.services.selecting.entry(name.namespace.clone()).or_default();
        selecting.remove(name);
        let new = new.map(Arc::new);
        match &new {
            Some(new) => {
                if new.selector.is_some() {
                    selecting.insert(name.clone());
                }
                self.services.entries.insert(name.clone(), new.clone());
            }
            None => {
                self.services.entries.remove(name);
            }
        }
        let keys_of = |entry: Option<&Arc<ServiceEntry>>| -> BTreeSet<ServiceKey> {
            entry
                .into_iter()
                .flat_map(|entry| entry.services.iter())
                .map(|service| service.key.clone())
                .collect()
        };
        let (old_keys, new_keys) = (keys_of(old.as_ref()), keys_of(new.as_ref()));
        for gone in old_keys.difference(&new_keys) {
            self.claim(gone, Registry::ServiceEntry, &name.name, None, changes);
        }
        for service in new.iter().flat_map(|entry| entry.services.iter()) {
            let claimed = Some(service.clone());
            self.claim(&service.key.clone(), Registry::ServiceEntry, &name.name, claimed, changes);
        }
        for key in old_keys.union(&new_keys) {
            self.refresh_endpoints(key, changes);
        }
    }

    pub(super) fn set_workload_entry(
        &mut self,
        name: &NamespacedName,
        new: Option<WorkloadEntry>,
        changes: &mut Changes,
    ) {
        let entries = self.services.workload_entries.entry(name.namespace.clone()).or_default();
        if entries.get(&name.name).map(|known| &**known) == new.as_ref() {
            return;
        }
        match new {
            Some(new) => entries.insert(name.name.clone(), Arc::new(new)),
            None => entries.remove(&name.name),
        };
        self.refresh_entries_in(&name.namespace, changes);
    }

    /// ServiceEntries that select workloads may select others now.
    pub(super) fn refresh_entries_in(&mut self, namespace: &Text, changes: &mut Changes) {
        let names: Vec<_> = self.services.selecting.get(namespace).into_iter().flatten().cloned().collect();
        for name in names {
            let Some(entry) = self.services.entries.get(&name).cloned() else { continue };
            for service in &entry.services {
                self.refresh_endpoints(&service.key, changes);
            }
        }
    }

    /// Endpoints of a ServiceEntry: its own, or the pods and WorkloadEntries that it selects.
    fn entry_groups(&self, name: &NamespacedName) -> Vec<Arc<EndpointGroup>> {
        let Some(entry) = self.services.entries.get(name) else { return Vec::new() };
        let Some(selector) = &entry.selector else { return entry.groups.clone() };
        let from = NamespacedName { namespace: name.namespace.clone(), name: crate::intern("") };
        let pods = self
            .mesh
            .workloads
            .range(from..)
            .map(|(_, workload)| workload)
            .take_while(|workload| workload.instance.namespace == name.namespace)
            .filter(|workload| workload.labels.satisfy(selector))
            .filter_map(|workload| entry.group_of_pod(workload));
        let entries = self.services.workload_entries.get(&name.namespace).into_iter().flatten();
        let machines = entries
            .filter(|(_, machine)| machine.labels.satisfy(selector))
            .map(|(_, machine)| entry.group_of_machine(machine));
        pods.chain(machines).collect()
    }
}

/// Puts a service where it is looked for.
fn index(mesh: &mut Mesh, service: &Arc<Service>) {
    let key = &service.key;
    add_to(&mut mesh.services_in, key.namespace.clone(), key.clone());
    for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
        let map = if port.protocol.is_http() { &mut mesh.http_on } else { &mut mesh.opaque_on };
        add_to(map, port.number, key.clone());
    }
    service.addresses.iter().for_each(|address| add_to(&mut mesh.services_at, *address, key.clone()));
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
    service.addresses.iter().for_each(|address| remove_from(&mut mesh.services_at, address, key));
    if service.registry != Registry::Kubernetes {
        match mesh.foreign_hosts.get_mut(&key.host) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(mesh.foreign_hosts.remove(&key.host)),
        }
    }
    mesh.services.remove(key);
}
