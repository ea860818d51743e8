//! What to remove, as pure plans: objects that a MeshInstall no longer stands for, and the order of an uninstall.

mod kinds;
mod prune;
mod uninstall;

use std::fmt;

use kube::core::{DynamicObject, ResourceExt};

pub use self::{
    kinds::{FOREIGN_KINDS, KINDS, Kind, kind_of},
    prune::prune,
    uninstall::{Step, next_step},
};

/// An object by kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectId {
    /// The id of an object of a managed kind.
    pub fn of(object: &DynamicObject) -> Option<Self> {
        let types = object.types.as_ref()?;
        let kind = kind_of(&types.api_version, &types.kind)?;
        Some(Self { kind, namespace: object.namespace(), name: object.name_any() })
    }
}

/// An object that carries a MeshInstall's label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The object.
    pub id: ObjectId,
    /// The component it belongs to, as its label says.
    pub component: String,
    /// It is being deleted.
    pub ending: bool,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind.kind, self.name),
            None => write!(f, "{} {}", self.kind.kind, self.name),
        }
    }
}
