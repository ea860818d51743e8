//! The store: typed objects in, the mesh and what changed in it out.
//!
//! Called by the control plane's sources, one event after the other. An event costs what it touches: maps are
//! persistent, so that publishing a mesh copies nothing, and each index is updated, never rebuilt.

mod addresses;
mod delegation;
mod entries;
mod hold;
mod index;
mod ingress;
mod policy;
mod routing;
mod services;
mod slices;
mod workloads;

#[cfg(test)]
mod tests;

pub use hold::Missing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::changes::Changes;
use crate::kube::Namespace;
use crate::mesh::Mesh;
use crate::object::{Event, Object};
use crate::value::{Key, Kind, Text};

use addresses::AddressBook;
use hold::Held;
use ingress::IngressIndex;
use services::ServiceIndex;
use workloads::WorkloadIndex;

/// Builds the mesh from events.
#[derive(Debug)]
pub struct Store {
    mesh: Arc<Mesh>,
    workloads: WorkloadIndex,
    services: ServiceIndex,
    held: Held,
    ingress: IngressIndex,
    addresses: AddressBook,
}

impl Store {
    /// An empty store for a cluster with this DNS domain and name.
    pub fn new(domain: &str, cluster_id: &str) -> Self {
        Self {
            mesh: Arc::new(Mesh::empty(domain, cluster_id)),
            workloads: WorkloadIndex::default(),
            services: ServiceIndex::default(),
            held: Held::default(),
            ingress: IngressIndex::default(),
            addresses: AddressBook::default(),
        }
    }

    /// The mesh as it is now. Cheap; later events do not change what was returned.
    pub fn mesh(&self) -> Arc<Mesh> {
        self.mesh.clone()
    }

    /// Takes in one event and says what it can have affected. An object that is applied again unchanged, or changed
    /// only where nothing reads it, affects nothing.
    pub fn apply(&mut self, event: Event) -> Changes {
        let mut changes = Changes::default();
        match event {
            Event::Applied(object) => self.insert(*object, &mut changes),
            Event::Deleted(key) => self.remove(&key, &mut changes),
        }
        self.renew_ingresses(&mut changes);
        self.reconsider_held(&mut changes);
        self.renew(&changes);
        changes
    }

    /// Takes in many events at once.
    pub fn apply_all(&mut self, events: impl IntoIterator<Item = Event>) -> Changes {
        let mut changes = Changes::default();
        for event in events {
            changes.merge(self.apply(event));
        }
        changes
    }

    /// Says that all Secrets of a namespace, or of every namespace by `*`, have been taken in, so that one that is not
    /// there does not exist.
    pub fn know_secrets(&mut self, namespace: &str) {
        let namespace = crate::intern(namespace);
        if !self.mesh.secrets_known.contains(&namespace) {
            Arc::make_mut(&mut self.mesh).secrets_known.insert(namespace);
        }
    }

    /// A mesh that differs gets a version that no other has.
    fn renew(&mut self, changes: &Changes) {
        static VERSIONS: AtomicU64 = AtomicU64::new(1);
        if !changes.is_empty() {
            Arc::make_mut(&mut self.mesh).version = VERSIONS.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn insert(&mut self, object: Object, changes: &mut Changes) {
        let domain = self.mesh.domain.clone();
        match object {
            Object::Namespace(namespace) => {
                let name = namespace.name.clone();
                self.set_namespace(&name, Some(Arc::new(namespace)), changes);
            }
            Object::Node(node) => self.set_node(&node.name, Some(node.locality), changes),
            Object::Pod(pod) => self.set_pod(pod, changes),
            Object::Service(service) => self.set_service(&service, changes),
            Object::EndpointSlice(slice) => self.set_slice(Arc::new(slice), changes),
            Object::Secret(secret) => self.set_secret(secret, changes),
            Object::Ingress(ingress) => {
                self.set_ingress(&ingress.meta.name.clone(), Some(*ingress), changes);
            }
            Object::IngressClass(class) => {
                self.set_ingress_class(&class.name.clone(), Some(class), changes);
            }
            Object::VirtualService(meta, spec) => {
                let service = crate::config::VirtualService::new(meta, spec, &domain);
                self.take_virtual_service(&service.meta.name.clone(), Some(service), changes);
            }
            Object::DestinationRule(meta, spec) => {
                let rule = crate::config::DestinationRule::new(meta, *spec, &domain);
                self.set_destination_rule(&rule.meta.name.clone(), Some(rule), changes);
            }
            Object::Gateway(meta, spec) => {
                let gateway = crate::config::Gateway::new(meta, spec);
                self.set_gateway(&gateway.meta.name.clone(), Some(gateway), changes);
            }
            Object::ServiceEntry(meta, spec, addressing) => {
                let entry = crate::config::ServiceEntry::new(meta, &spec, addressing);
                self.set_service_entry(&entry.meta.name.clone(), Some(entry), changes);
            }
            Object::WorkloadEntry(meta, spec) => {
                let entry = crate::config::WorkloadEntry::new(meta, &spec);
                self.set_workload_entry(&entry.meta.name.clone(), Some(entry), changes);
            }
            Object::Sidecar(meta, spec) => {
                let sidecar = crate::config::Sidecar::new(meta, spec, &domain);
                self.set_sidecar(&sidecar.meta.name.clone(), Some(sidecar), changes);
            }
            Object::PeerAuthentication(meta, spec) => {
                let policy = crate::config::PeerAuthentication::new(meta, &spec);
                self.set_peer_authentication(&policy.meta.name.clone(), Some(policy), changes);
            }
            Object::MeshConfig(config) => self.set_settings(crate::config::Settings::new(*config), changes),
        }
    }

    fn remove(&mut self, key: &Key, changes: &mut Changes) {
        let name = &key.name;
        match key.kind {
            Kind::Namespace => self.set_namespace(&name.name, None, changes),
            Kind::Node => self.set_node(&name.name, None, changes),
            Kind::Pod => self.remove_pod(name, changes),
            Kind::Service => self.remove_service(name, changes),
            Kind::EndpointSlice => self.remove_slice(name, changes),
            Kind::Secret => self.remove_secret(name, changes),
            Kind::Ingress => self.set_ingress(name, None, changes),
            Kind::IngressClass => self.set_ingress_class(&name.name, None, changes),
            Kind::VirtualService => self.take_virtual_service(name, None, changes),
            Kind::DestinationRule => self.set_destination_rule(name, None, changes),
            Kind::Gateway => self.set_gateway(name, None, changes),
            Kind::ServiceEntry => self.set_service_entry(name, None, changes),
            Kind::WorkloadEntry => self.set_workload_entry(name, None, changes),
            Kind::Sidecar => self.set_sidecar(name, None, changes),
            Kind::PeerAuthentication => self.set_peer_authentication(name, None, changes),
            Kind::MeshConfig => self.set_settings(crate::config::Settings::default(), changes),
        }
    }

    fn set_namespace(&mut self, name: &Text, namespace: Option<Arc<Namespace>>, changes: &mut Changes) {
        let namespaces = &mut Arc::make_mut(&mut self.mesh).namespaces;
        match namespace {
            Some(namespace) => namespaces.insert(name.clone(), namespace),
            None => namespaces.remove(name),
        };
        changes.everything |= Mesh::rediscover(&mut self.mesh);
    }

    fn set_settings(&mut self, settings: crate::config::Settings, changes: &mut Changes) {
        if *self.mesh.settings != settings {
            Arc::make_mut(&mut self.mesh).settings = Arc::new(settings);
            Mesh::rediscover(&mut self.mesh);
            changes.everything = true;
            // Whom delegates are exported to by default may have changed.
            self.renew_roots(None, changes);
        }
    }
}
