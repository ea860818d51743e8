//! EndpointSlices: which pods are behind a Kubernetes service, resolved to workloads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Store;
use crate::changes::Changes;
use crate::kube::EndpointSlice;
use crate::value::{Address, Endpoint, EndpointGroup, NamespacedName, Text};

/// One slice and what it means with the pods known now.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) source: Arc<EndpointSlice>,
    pub(super) group: Arc<EndpointGroup>,
}

impl Store {
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
}
