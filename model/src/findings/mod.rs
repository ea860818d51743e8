//! What a person should know about an object besides that it is valid: what it loses to another, what it names that does
//! not exist, what in it does nothing. Read by status conditions, admission warnings and `trysailctl`.
//!
//! Pure: the mesh in, findings out. One object costs what it names, not what the mesh holds.

mod hosts;
mod list;
mod virtual_service;

use std::fmt;

use crate::mesh::Mesh;
use crate::value::{Key, Kind};

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

/// What is to be said about one object of the mesh, in the order of its fields. Nothing for objects that are not there
/// and for kinds that nothing is ever said about.
pub fn findings(mesh: &Mesh, object: &Key) -> Vec<Finding> {
    let mut list = List::default();
    match object.kind {
        Kind::VirtualService => {
            if let Some(service) = mesh.virtual_services.get(&object.name) {
                virtual_service::look(mesh, service, &mut list);
            }
        }
        _ => {}
    }
    list.done()
}

/// All objects that something is to be said about.
pub fn all_findings(mesh: &Mesh) -> impl Iterator<Item = (Key, Vec<Finding>)> {
    let services =
        mesh.virtual_services.keys().map(|name| Key { kind: Kind::VirtualService, name: name.clone() });
    services
        .map(|key| (findings(mesh, &key), key))
        .filter(|(found, _)| !found.is_empty())
        .map(|(found, key)| (key, found))
}

#[cfg(test)]
mod tests;
