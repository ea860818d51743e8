//! Nodes and pods: who runs where, as whom.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Store;
use crate::changes::Changes;
use crate::kube::Pod;
use crate::value::{Locality, NamespacedName, Text, Workload};

/// What the mesh itself does not need, but its upkeep does.
#[derive(Debug, Default)]
pub(super) struct WorkloadIndex {
    localities: HashMap<Text, Arc<Locality>>,
    pods_on: HashMap<Text, BTreeSet<NamespacedName>>,
    /// Kubernetes services whose slices name a pod, with the number of slices.
    pub(super) services_of: HashMap<NamespacedName, BTreeMap<NamespacedName, usize>>,
}

impl WorkloadIndex {
    /// Where a node is.
    pub(super) fn locality(&self, node: &str) -> Arc<Locality> {
        self.localities.get(node).cloned().unwrap_or_default()
    }
}

impl Store {
    pub(super) fn set_node(&mut self, node: &Text, locality: Option<Arc<Locality>>, changes: &mut Changes) {
        let known = self.workloads.localities.get(node);
        if known == locality.as_ref() {
            return;
        }
        match locality {
            Some(locality) => self.workloads.localities.insert(node.clone(), locality),
            None => self.workloads.localities.remove(node),
        };
        let pods: Vec<_> = self.workloads.pods_on.get(node).into_iter().flatten().cloned().collect();
        for pod in pods {
            let Some(workload) = self.mesh.workloads.get(&pod) else { continue };
            if workload.labels.get("istio-locality").is_some() {
                continue;
            }
            let mut workload = Workload::clone(workload);
            workload.locality = self.workloads.locality(node);
            self.set_workload(workload, changes);
        }
    }

    pub(super) fn set_pod(&mut self, pod: Pod, changes: &mut Changes) {
        let mut workload = pod.workload;
        if pod.own_locality.is_none() {
            workload.locality = self.workloads.locality(&workload.node);
        }
        if !workload.node.is_empty() {
            let pods = self.workloads.pods_on.entry(workload.node.clone()).or_default();
            pods.insert(workload.instance.clone());
        }
        self.set_workload(workload, changes);
    }

    fn set_workload(&mut self, workload: Workload, changes: &mut Changes) {
        let name = workload.instance.clone();
        if self.mesh.workloads.get(&name).is_some_and(|known| **known == workload) {
            return;
        }
        Arc::make_mut(&mut self.mesh).workloads.insert(name.clone(), Arc::new(workload));
        changes.workloads.insert(name.clone());
        self.refresh_services_of(&name, changes);
        self.refresh_entries_in(&name.namespace, changes);
    }

    /// A pod that is gone keeps serving as the known workload of an endpoint until its slice drops it, so that
    /// connections to a terminating pod keep their mutual TLS.
    pub(super) fn remove_pod(&mut self, name: &NamespacedName, changes: &mut Changes) {
        let Some(workload) = Arc::make_mut(&mut self.mesh).workloads.remove(name) else { return };
        if let Some(pods) = self.workloads.pods_on.get_mut(&workload.node) {
            pods.remove(name);
            if pods.is_empty() {
                self.workloads.pods_on.remove(&workload.node);
            }
        }
        changes.workloads.insert(name.clone());
        self.refresh_entries_in(&name.namespace, changes);
    }

    fn refresh_services_of(&mut self, pod: &NamespacedName, changes: &mut Changes) {
        let services: Vec<_> =
            self.workloads.services_of.get(pod).into_iter().flat_map(BTreeMap::keys).cloned().collect();
        for service in services {
            self.refresh_slices(&service, Some(&pod.name), changes);
        }
    }
}
