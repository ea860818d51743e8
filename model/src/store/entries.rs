//! ServiceEntries and WorkloadEntries: services and endpoints that Kubernetes does not know.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Store;
use super::index::replace;
use crate::changes::{Change, Changes};
use crate::config::{ServiceEntry, WorkloadEntry};
use crate::mesh::of_namespace;
use crate::value::{EndpointGroup, NamespacedName, Registry, Service, ServiceKey, Text};

impl Store {
    pub(super) fn set_service_entry(
        &mut self,
        name: &NamespacedName,
        mut new: Option<ServiceEntry>,
        changes: &mut Changes,
    ) {
        let displaced = self.addresses.take(name, new.as_mut());
        self.put_service_entry(name, new, changes);
        for name in displaced {
            let entry = self.mesh.written.service_entries.get(&name).map(|entry| ServiceEntry::clone(entry));
            self.set_service_entry(&name, entry, changes);
        }
    }

    fn put_service_entry(&mut self, name: &NamespacedName, new: Option<ServiceEntry>, changes: &mut Changes) {
        let entries = &mut Arc::make_mut(&mut self.mesh).written.service_entries;
        let Some(Change { old, new }) = replace(entries, name, new.map(Arc::new)) else { return };
        let selecting = self.services.selecting.entry(name.namespace.clone()).or_default();
        selecting.remove(name);
        if new.as_ref().is_some_and(|new| new.selector.is_some()) {
            selecting.insert(name.clone());
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
        let entries = &mut Arc::make_mut(&mut self.mesh).written.workload_entries;
        if replace(entries, name, new.map(Arc::new)).is_none() {
            return;
        }
        self.refresh_entries_in(&name.namespace, changes);
        let keys = self.mesh.services_in.get(&name.namespace).into_iter().flatten();
        let kubernetes = |key: &&ServiceKey| {
            let service = self.mesh.services.get(*key);
            service.is_some_and(|one| one.registry == Registry::Kubernetes && !one.selector.is_empty())
        };
        for key in keys.filter(kubernetes).cloned().collect::<Vec<_>>() {
            self.refresh_endpoints(&key, changes);
        }
    }

    /// WorkloadEntries behind a Kubernetes service, by its selector as pods are.
    pub(super) fn machines_of(&self, service: &Service) -> Vec<Arc<EndpointGroup>> {
        of_namespace(&self.mesh.written.workload_entries, &service.key.namespace)
            .filter(|machine| !service.selector.is_empty() && machine.labels.satisfy(&service.selector))
            .map(|machine| machine.group(&service.ports))
            .collect()
    }

    /// ServiceEntries that select workloads may select others now.
    pub(super) fn refresh_entries_in(&mut self, namespace: &Text, changes: &mut Changes) {
        let names: Vec<_> = self.services.selecting.get(namespace).into_iter().flatten().cloned().collect();
        for name in names {
            let Some(entry) = self.mesh.written.service_entries.get(&name).cloned() else { continue };
            for service in &entry.services {
                self.refresh_endpoints(&service.key, changes);
            }
        }
    }

    /// Endpoints of a ServiceEntry: its own, or the pods and WorkloadEntries that it selects.
    pub(super) fn entry_groups(&self, name: &NamespacedName) -> Vec<Arc<EndpointGroup>> {
        let Some(entry) = self.mesh.written.service_entries.get(name) else { return Vec::new() };
        let Some(selector) = &entry.selector else { return entry.groups.clone() };
        let pods = of_namespace(&self.mesh.workloads, &name.namespace)
            .filter(|workload| workload.labels.satisfy(selector))
            .filter_map(|workload| entry.group_of_pod(workload));
        let machines = of_namespace(&self.mesh.written.workload_entries, &name.namespace)
            .filter(|machine| machine.labels.satisfy(selector))
            .map(|machine| entry.group_of_machine(machine));
        pods.chain(machines).collect()
    }
}
