//! Ingress and IngressClass.

use k8s_openapi::api::networking::v1;

use super::meta_of;
use crate::value::{Meta, Text, intern};

/// Annotation that names the class, from the time before IngressClass.
const CLASS: &str = "kubernetes.io/ingress.class";

/// An Ingress.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingress {
    /// Identity and age.
    pub meta: Meta,
    /// Class by annotation, which counts before that of the spec.
    pub annotated_class: Option<Text>,
    /// As written.
    pub spec: v1::IngressSpec,
    /// Addresses and names at which its status says it is served, in order.
    pub addresses: Vec<Text>,
}

impl From<v1::Ingress> for Ingress {
    fn from(ingress: v1::Ingress) -> Self {
        let annotations = ingress.metadata.annotations.as_ref();
        let balancer = ingress.status.and_then(|status| status.load_balancer);
        let points = balancer.and_then(|balancer| balancer.ingress).unwrap_or_default();
        let mut addresses: Vec<Text> = points
            .iter()
            .filter_map(|point| point.ip.as_ref().or(point.hostname.as_ref()))
            .map(|text| intern(text))
            .collect();
        addresses.sort();
        Self {
            addresses,
            meta: meta_of(&ingress.metadata),
            annotated_class: annotations.and_then(|all| all.get(CLASS)).map(|class| intern(class)),
            spec: ingress.spec.unwrap_or_default(),
        }
    }
}

/// An IngressClass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressClass {
    /// Name.
    pub name: Text,
    /// Who serves it.
    pub controller: Text,
}

impl From<&v1::IngressClass> for IngressClass {
    fn from(class: &v1::IngressClass) -> Self {
        let controller = class.spec.as_ref().and_then(|spec| spec.controller.as_deref());
        Self {
            name: intern(class.metadata.name.as_deref().unwrap_or_default()),
            controller: intern(controller.unwrap_or_default()),
        }
    }
}
