//! What a person should know about an object besides that it is valid: what it loses to another, what it names that does
//! not exist, what in it does nothing. Read by status conditions, admission warnings and `trysailctl`.
//!
//! Pure: the mesh in, findings out. One object costs what it names, not what the mesh holds.

mod credentials;
mod destination_rule;
mod gateway;
mod hosts;
mod ingress;
mod list;
mod mesh_config;
mod mutual_tls;
mod places;
mod services;
mod twins;
mod virtual_service;
mod workloads;

use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;

use crate::config::{
    Configured, DestinationRule, Gateway, PeerAuthentication, ServiceEntry, Sidecar, VirtualService,
    WorkloadEntry,
};
use crate::mesh::{Aged, Mesh};
use crate::object::Object;
use crate::value::{Key, Kind, NamespacedName, Registry, ServiceKey, Text};

use list::List;

/// What sort of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// Another object claims the same, and one of them does not get it.
    Conflict,
    /// Something is named that does not exist, or cannot be seen from here.
    UnresolvedReference,
    /// What is named or selected may exist, but nothing is behind it: no endpoint, no workload.
    Empty,
    /// An earlier part takes everything that this part could.
    Unreachable,
    /// A part that does nothing.
    Ignored,
    /// An old form that still works, or that only seems to.
    Deprecated,
    /// It is there, but in a place where it means something else, or nothing.
    Misplaced,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Probably not what was meant.
    Warning,
    /// Traffic fails, or goes elsewhere than the object says.
    Error,
}

/// One thing to know about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What sort of thing.
    pub kind: FindingKind,
    /// How bad it is.
    pub severity: Severity,
    /// Path of the field, such as `spec.http[0].route[0].destination.host`.
    pub field: String,
    /// What is wrong, with the names of other objects that have a part in it, and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// What is to be said about one object of the mesh, field by field. Nothing for objects that are not there and for kinds
/// that nothing is ever said about.
pub fn findings(mesh: &Mesh, object: &Key) -> Vec<Finding> {
    let (written, name) = (&mesh.written, &object.name);
    let mut list = List::default();
    let list_of = &mut list;
    match object.kind {
        Kind::VirtualService => {
            written.virtual_services.get(name).inspect(|one| virtual_service::look(mesh, one, list_of));
        }
        Kind::DestinationRule => {
            written.destination_rules.get(name).inspect(|one| destination_rule::look(mesh, one, list_of));
        }
        Kind::Gateway => {
            mesh.gateways.get(name).inspect(|one| gateway::look(mesh, one, list_of));
        }
        Kind::ServiceEntry => {
            written.service_entries.get(name).inspect(|one| services::entry(mesh, one, list_of));
        }
        Kind::WorkloadEntry => {
            written.workload_entries.get(name).inspect(|one| workloads::workload_entry(mesh, one, list_of));
        }
        Kind::Sidecar => {
            named(&mesh.sidecars, name).inspect(|one| workloads::sidecar(mesh, one, list_of));
        }
        Kind::PeerAuthentication => {
            named(&mesh.peer_authentications, name)
                .inspect(|one| workloads::peer_authentication(mesh, one, list_of));
        }
        Kind::Ingress => {
            mesh.ingresses.get(name).inspect(|one| ingress::look(mesh, one, list_of));
        }
        Kind::MeshConfig => mesh_config::look(&mesh.settings, list_of),
        Kind::Service => {
            let host = format!("{}.{}.svc.{}", name.name, name.namespace, mesh.domain);
            let declared = mesh.services.get(&ServiceKey::new(&host, &name.namespace));
            declared
                .filter(|one| one.registry == Registry::Kubernetes)
                .inspect(|one| services::kubernetes(mesh, one, list_of));
        }
        _ => {}
    }
    list.done()
}

/// What would be said about an object if it were applied now; the mesh may have an earlier version of it.
pub fn findings_if_applied(mesh: &Mesh, object: Object) -> Vec<Finding> {
    let domain = &mesh.domain;
    let mut list = List::default();
    match object {
        Object::VirtualService(meta, spec) => {
            virtual_service::look(mesh, &VirtualService::new(meta, spec, domain), &mut list);
        }
        Object::DestinationRule(meta, spec) => {
            destination_rule::look(mesh, &DestinationRule::new(meta, *spec, domain), &mut list);
        }
        Object::Gateway(meta, spec) => gateway::look(mesh, &Gateway::new(meta, spec), &mut list),
        Object::ServiceEntry(meta, spec, addressing) => {
            services::entry(mesh, &ServiceEntry::new(meta, &spec, addressing), &mut list);
        }
        Object::WorkloadEntry(meta, spec) => {
            workloads::workload_entry(mesh, &WorkloadEntry::new(meta, &spec), &mut list);
        }
        Object::Sidecar(meta, spec) => {
            workloads::sidecar(mesh, &Sidecar::new(meta, spec, domain), &mut list);
        }
        Object::PeerAuthentication(meta, spec) => {
            workloads::peer_authentication(mesh, &PeerAuthentication::new(meta, &spec), &mut list);
        }
        _ => {}
    }
    list.done()
}

/// Whether more than pods and endpoints changed, so that what is found about objects may differ.
pub fn findings_differ(before: &Mesh, after: &Mesh) -> bool {
    let (old, new) = (&before.written, &after.written);
    !(Arc::ptr_eq(&before.settings, &after.settings)
        && before.services.ptr_eq(&after.services)
        && before.namespaces.ptr_eq(&after.namespaces)
        && before.virtual_services.ptr_eq(&after.virtual_services)
        && before.gateways.ptr_eq(&after.gateways)
        && before.ingresses.ptr_eq(&after.ingresses)
        && before.sidecars.ptr_eq(&after.sidecars)
        && before.peer_authentications.ptr_eq(&after.peer_authentications)
        && before.secrets.ptr_eq(&after.secrets)
        && before.secrets_known.ptr_eq(&after.secrets_known)
        && old.virtual_services.ptr_eq(&new.virtual_services)
        && old.destination_rules.ptr_eq(&new.destination_rules)
        && old.service_entries.ptr_eq(&new.service_entries)
        && old.workload_entries.ptr_eq(&new.workload_entries))
}

/// All objects that something is to be said about, by kind and name.
pub fn all_findings(mesh: &Mesh) -> impl Iterator<Item = (Key, Vec<Finding>)> {
    let written = &mesh.written;
    let key = |kind| move |name: &NamespacedName| Key { kind, name: name.clone() };
    let kubernetes = mesh.services.values().filter(|service| service.registry == Registry::Kubernetes);
    let services = kubernetes.map(|service| Key {
        kind: Kind::Service,
        name: NamespacedName { namespace: service.key.namespace.clone(), name: service.name.clone() },
    });
    services
        .chain([Key::new(Kind::MeshConfig, "", "mesh")])
        .chain(written.virtual_services.keys().map(key(Kind::VirtualService)))
        .chain(written.destination_rules.keys().map(key(Kind::DestinationRule)))
        .chain(mesh.gateways.keys().map(key(Kind::Gateway)))
        .chain(written.service_entries.keys().map(key(Kind::ServiceEntry)))
        .chain(written.workload_entries.keys().map(key(Kind::WorkloadEntry)))
        .chain(mesh.ingresses.keys().map(key(Kind::Ingress)))
        .chain(names(&mesh.sidecars).map(key(Kind::Sidecar)))
        .chain(names(&mesh.peer_authentications).map(key(Kind::PeerAuthentication)))
        .map(|key| (findings(mesh, &key), key))
        .filter(|(found, _)| !found.is_empty())
        .map(|(found, key)| (key, found))
}

fn names<T: Configured>(map: &OrdMap<Text, Aged<T>>) -> impl Iterator<Item = &NamespacedName> {
    map.values().flat_map(|all| all.iter()).map(|one| &one.meta().name)
}

fn named<'m, T: Configured>(map: &'m OrdMap<Text, Aged<T>>, name: &NamespacedName) -> Option<&'m Arc<T>> {
    map.get(&name.namespace)?.iter().find(|one| one.meta().name == *name)
}

#[cfg(test)]
mod tests;
