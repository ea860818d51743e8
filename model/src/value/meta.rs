//! What identifies an object.

use std::fmt;
use std::sync::LazyLock;

use super::text::{Text, intern};

/// Namespace and name. Objects without a namespace have an empty one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespacedName {
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: Text,
    /// Name.
    pub name: Text,
}

impl NamespacedName {
    /// From its parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: intern(namespace), name: intern(name) }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Kinds of objects the mesh is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Kubernetes Namespace.
    Namespace,
    /// Kubernetes Node, for its locality.
    Node,
    /// Kubernetes Pod.
    Pod,
    /// Kubernetes Service.
    Service,
    /// Kubernetes EndpointSlice.
    EndpointSlice,
    /// Kubernetes Secret with certificates for a gateway.
    Secret,
    /// Kubernetes Ingress.
    Ingress,
    /// Kubernetes IngressClass.
    IngressClass,
    /// Istio VirtualService.
    VirtualService,
    /// Istio DestinationRule.
    DestinationRule,
    /// Istio Gateway.
    Gateway,
    /// Istio ServiceEntry.
    ServiceEntry,
    /// Istio WorkloadEntry.
    WorkloadEntry,
    /// Istio Sidecar.
    Sidecar,
    /// Istio PeerAuthentication.
    PeerAuthentication,
    /// The mesh-wide settings: ConfigMap `istio`, key `mesh`.
    MeshConfig,
}

impl Kind {
    /// Those that are kinds in YAML too.
    const NAMED: [Self; 15] = [
        Self::Namespace,
        Self::Node,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::Secret,
        Self::Ingress,
        Self::IngressClass,
        Self::VirtualService,
        Self::DestinationRule,
        Self::Gateway,
        Self::ServiceEntry,
        Self::WorkloadEntry,
        Self::Sidecar,
        Self::PeerAuthentication,
    ];

    /// The kind that is written so in YAML.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether its objects are in a namespace.
    pub fn is_namespaced(self) -> bool {
        !matches!(self, Self::Namespace | Self::Node | Self::IngressClass)
    }

    /// The `kind` as written in YAML.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Secret => "Secret",
            Self::Ingress => "Ingress",
            Self::IngressClass => "IngressClass",
            Self::VirtualService => "VirtualService",
            Self::DestinationRule => "DestinationRule",
            Self::Gateway => "Gateway",
            Self::ServiceEntry => "ServiceEntry",
            Self::WorkloadEntry => "WorkloadEntry",
            Self::Sidecar => "Sidecar",
            Self::PeerAuthentication => "PeerAuthentication",
            Self::MeshConfig => "MeshConfig",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Kind, namespace and name: what a deletion names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Kind.
    pub kind: Kind,
    /// Namespace and name.
    pub name: NamespacedName,
}

impl Key {
    /// From its parts; `namespace` is empty for cluster-scoped kinds.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, name: NamespacedName::new(namespace, name) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Identity and age of a configuration object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Meta {
    /// Namespace and name.
    pub name: NamespacedName,
    /// Creation, in seconds since 1970; 0 where the source knows none.
    pub created: i64,
}

impl Meta {
    /// Oldest first; name, then namespace, between twins, as Istio orders configuration.
    pub fn age_order(&self) -> (i64, Text, Text) {
        (self.created, self.name.name.clone(), self.name.namespace.clone())
    }
}

/// A service is known by its host name within a namespace: two namespaces may declare the same external host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    /// Fully qualified host name, in lower case.
    pub host: Text,
    /// Namespace that declares it.
    pub namespace: Text,
}

impl ServiceKey {
    /// From its parts.
    pub fn new(host: &str, namespace: &str) -> Self {
        Self { host: intern(host), namespace: intern(namespace) }
    }

    /// What sorts before all services with this host.
    pub fn first(host: &Text) -> Self {
        static NONE: LazyLock<Text> = LazyLock::new(|| intern(""));
        Self { host: host.clone(), namespace: NONE.clone() }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (namespace {})", self.host, self.namespace)
    }
}
