//! Namespace.

use k8s_openapi::api::core::v1;

use crate::value::{Labels, Text, intern};

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Name.
    pub name: Text,
    /// Labels.
    pub labels: Labels,
}

impl From<&v1::Namespace> for Namespace {
    fn from(namespace: &v1::Namespace) -> Self {
        Self {
            name: intern(namespace.metadata.name.as_deref().unwrap_or_default()),
            labels: Labels::of(namespace.metadata.labels.as_ref()),
        }
    }
}
