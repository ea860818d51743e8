//! From Kubernetes' own objects to values; everything that nothing reads is dropped here.

mod endpoint_slice;
mod ingress;
mod namespace;
mod node;
mod pod;
mod secret;
mod service;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub use endpoint_slice::{EndpointSlice, SliceEndpoint};
pub use ingress::{Ingress, IngressClass};
pub use namespace::Namespace;
pub use node::Node;
pub use pod::Pod;
pub use secret::Secret;

use crate::value::{Meta, NamespacedName};

/// Namespace and name; both empty if absent, which a source never delivers.
pub(crate) fn name_of(metadata: &ObjectMeta) -> NamespacedName {
    NamespacedName::new(
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

/// Identity and age.
pub(crate) fn meta_of(metadata: &ObjectMeta) -> Meta {
    let created = metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
    Meta { name: name_of(metadata), created }
}
