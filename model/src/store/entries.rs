//! ServiceEntries and WorkloadEntries: services and endpoints that Kubernetes does not know.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Store;
use crate::changes::Changes;
use crate::config::{ServiceEntry, WorkloadEntry};
use crate::value::{EndpointGroup, NamespacedName, Registry, Service, ServiceKey, Text};

impl Store {
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
        let all = self.services.workload_entries.get(&service.key.namespace).into_iter().flatten();
        all.filter(|(_, machine)| !service.selector.is_empty() && machine.labels.satisfy(&service.selector))
            .map(|(_, machine)| machine.group(&service.ports))
            .collect()
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
    pub(super) fn entry_groups(&self, name: &NamespacedName) -> Vec<Arc<EndpointGroup>> {
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
