//! Typed objects, as sources deliver them: watches give typed values, a folder of YAML gives JSON.

use crds::mesh_config::MeshConfig;
use crds::networking::{
    DestinationRule, DestinationRuleSpec, Gateway, GatewaySpec, ServiceEntry, ServiceEntrySpec, Sidecar,
    SidecarSpec, VirtualService, VirtualServiceSpec, WorkloadEntry, WorkloadEntrySpec,
};
use crds::security::{PeerAuthentication, PeerAuthenticationSpec};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Addressing;
use crate::error::ModelError;
use crate::kube::{EndpointSlice, Ingress, IngressClass, Namespace, Node, Pod, Secret, meta_of, name_of};
use crate::value::{Key, Kind, Meta, NamespacedName, intern};

/// Something happened to an object.
#[derive(Clone, Debug)]
pub enum Event {
    /// It is new, changed, or the same as before.
    Applied(Box<Object>),
    /// It is gone.
    Deleted(Key),
}

/// An object that the mesh is made from.
#[derive(Clone, Debug)]
pub enum Object {
    /// Namespace.
    Namespace(Namespace),
    /// Node.
    Node(Node),
    /// Pod.
    Pod(Pod),
    /// Service.
    Service(Box<core::Service>),
    /// EndpointSlice.
    EndpointSlice(EndpointSlice),
    /// Secret.
    Secret(Secret),
    /// Ingress.
    Ingress(Box<Ingress>),
    /// IngressClass.
    IngressClass(IngressClass),
    /// VirtualService.
    VirtualService(Meta, VirtualServiceSpec),
    /// DestinationRule.
    DestinationRule(Meta, Box<DestinationRuleSpec>),
    /// Gateway.
    Gateway(Meta, GatewaySpec),
    /// ServiceEntry.
    ServiceEntry(Meta, ServiceEntrySpec, Addressing),
    /// WorkloadEntry.
    WorkloadEntry(Meta, WorkloadEntrySpec),
    /// Sidecar.
    Sidecar(Meta, SidecarSpec),
    /// PeerAuthentication.
    PeerAuthentication(Meta, PeerAuthenticationSpec),
    /// Mesh-wide settings.
    MeshConfig(Box<MeshConfig>),
}

/// ConfigMap and key that hold the mesh-wide settings.
const MESH_CONFIG_MAP: (&str, &str) = ("istio", "mesh");

impl Object {
    /// From one document of YAML, already read into JSON. None for kinds that the mesh is not made from.
    /// An object without a namespace goes to `default`, as with kubectl.
    pub fn from_json(mut document: Value) -> Result<Option<Self>, ModelError> {
        let text = |document: &Value, pointer: &str| document.pointer(pointer)?.as_str().map(str::to_owned);
        let api = text(&document, "/apiVersion").ok_or(ModelError::NotAnObject("apiVersion"))?;
        let kind = text(&document, "/kind").ok_or(ModelError::NotAnObject("kind"))?;
        let name = text(&document, "/metadata/name").ok_or(ModelError::NotAnObject("metadata.name"))?;
        let namespace = text(&document, "/metadata/namespace").unwrap_or_else(|| "default".to_owned());
        if Kind::named(&kind).is_none_or(Kind::is_namespaced) {
            document["metadata"]["namespace"] = namespace.clone().into();
        }
        let name = format!("{namespace}/{name}");
        let group = api.rsplit_once('/').map_or("", |(group, _)| group);
        let input = Input { kind: &kind, name, document };
        let object = match (group, kind.as_str()) {
            ("", "Namespace") => Self::from(&input.read::<core::Namespace>()?),
            ("", "Node") => Self::from(&input.read::<core::Node>()?),
            ("", "Pod") => Self::from(&input.read::<core::Pod>()?),
            ("", "Service") => Self::from(input.read::<core::Service>()?),
            ("", "Secret") => Self::from(&input.read::<core::Secret>()?),
            ("", "ConfigMap") => return Self::from_config_map(&input.read::<core::ConfigMap>()?),
            ("discovery.k8s.io", "EndpointSlice") => Self::from(&input.read::<discovery::EndpointSlice>()?),
            ("networking.k8s.io", "Ingress") => Self::from(input.read::<networking::Ingress>()?),
            ("networking.k8s.io", "IngressClass") => Self::from(&input.read::<networking::IngressClass>()?),
            ("networking.istio.io", "VirtualService") => Self::from(input.decode::<VirtualService>()?),
            ("networking.istio.io", "DestinationRule") => Self::from(input.decode::<DestinationRule>()?),
            ("networking.istio.io", "Gateway") => Self::from(input.decode::<Gateway>()?),
            ("networking.istio.io", "ServiceEntry") => Self::from(input.decode::<ServiceEntry>()?),
            ("networking.istio.io", "WorkloadEntry") => Self::from(input.decode::<WorkloadEntry>()?),
            ("networking.istio.io", "Sidecar") => Self::from(input.decode::<Sidecar>()?),
            ("security.istio.io", "PeerAuthentication") => Self::from(input.decode::<PeerAuthentication>()?),
            _ => return Ok(None),
        };
        Ok(Some(object))
    }

    /// The mesh-wide settings, if this is the ConfigMap that holds them.
    pub fn from_config_map(map: &core::ConfigMap) -> Result<Option<Self>, ModelError> {
        let (name, key) = MESH_CONFIG_MAP;
        if map.metadata.name.as_deref() != Some(name) {
            return Ok(None);
        }
        let text = map.data.as_ref().and_then(|data| data.get(key)).map_or("", String::as_str);
        let config = MeshConfig::from_yaml(text).map_err(|error| ModelError::Field {
            kind: "ConfigMap",
            name: name_of(&map.metadata).to_string(),
            field: format!("data.{key}"),
            problem: error.to_string(),
        })?;
        Ok(Some(Self::MeshConfig(Box::new(config))))
    }

    /// Its key, by which it is deleted.
    pub fn key(&self) -> Key {
        let key = |kind, name: &NamespacedName| Key { kind, name: name.clone() };
        let cluster = |kind, name: &str| Key::new(kind, "", name);
        match self {
            Self::Namespace(namespace) => cluster(Kind::Namespace, &namespace.name),
            Self::Node(node) => cluster(Kind::Node, &node.name),
            Self::Pod(pod) => key(Kind::Pod, &pod.workload.instance),
            Self::Service(service) => key(Kind::Service, &name_of(&service.metadata)),
            Self::EndpointSlice(slice) => key(Kind::EndpointSlice, &slice.name),
            Self::Secret(secret) => key(Kind::Secret, &secret.name),
            Self::Ingress(ingress) => key(Kind::Ingress, &ingress.meta.name),
            Self::IngressClass(class) => cluster(Kind::IngressClass, &class.name),
            Self::VirtualService(meta, _) => key(Kind::VirtualService, &meta.name),
            Self::DestinationRule(meta, _) => key(Kind::DestinationRule, &meta.name),
            Self::Gateway(meta, _) => key(Kind::Gateway, &meta.name),
            Self::ServiceEntry(meta, ..) => key(Kind::ServiceEntry, &meta.name),
            Self::WorkloadEntry(meta, _) => key(Kind::WorkloadEntry, &meta.name),
            Self::Sidecar(meta, _) => key(Kind::Sidecar, &meta.name),
            Self::PeerAuthentication(meta, _) => key(Kind::PeerAuthentication, &meta.name),
            Self::MeshConfig(_) => Key {
                kind: Kind::MeshConfig,
                name: NamespacedName { namespace: intern(""), name: intern("mesh") },
            },
        }
    }
}

/// A document on its way to a type.
struct Input<'a> {
    kind: &'a str,
    name: String,
    document: Value,
}

impl Input<'_> {
    fn read<T: DeserializeOwned>(self) -> Result<T, ModelError> {
        serde_json::from_value(self.document).map_err(|error| ModelError::Malformed {
            kind: self.kind.to_owned(),
            name: self.name,
            problem: error.to_string(),
        })
    }

    /// Istio's kinds come with a description of every field, by which errors name the path.
    fn decode<T: DeserializeOwned>(self) -> Result<T, ModelError> {
        crds::decode(&self.document).map_err(|error| ModelError::Malformed {
            kind: self.kind.to_owned(),
            name: self.name,
            problem: error.to_string(),
        })
    }
}

impl From<Object> for Event {
    fn from(object: Object) -> Self {
        Self::Applied(Box::new(object))
    }
}

macro_rules! from_kubernetes {
    ($($source:ty => $kind:ident),*) => {$(
        impl From<&$source> for Object {
            fn from(source: &$source) -> Self {
                Self::$kind(source.into())
            }
        }
    )*};
}
from_kubernetes!(
    core::Namespace => Namespace, core::Node => Node, core::Pod => Pod, core::Secret => Secret,
    discovery::EndpointSlice => EndpointSlice, networking::IngressClass => IngressClass
);

impl From<networking::Ingress> for Object {
    fn from(ingress: networking::Ingress) -> Self {
        Self::Ingress(Box::new(ingress.into()))
    }
}

impl From<core::Service> for Object {
    fn from(mut service: core::Service) -> Self {
        service.metadata.managed_fields = None;
        Self::Service(Box::new(service))
    }
}

macro_rules! from_istio {
    ($($kind:ident),*) => {$(
        impl From<$kind> for Object {
            fn from(source: $kind) -> Self {
                Self::$kind(meta_of(&source.metadata), source.spec.into())
            }
        }
    )*};
}
from_istio!(VirtualService, DestinationRule, Gateway, WorkloadEntry, Sidecar, PeerAuthentication);

impl From<ServiceEntry> for Object {
    fn from(source: ServiceEntry) -> Self {
        let addressing = Addressing::of(&source);
        Self::ServiceEntry(meta_of(&source.metadata), source.spec, addressing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_of_other_kinds_are_left_alone() {
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}});
        assert!(Object::from_json(deployment).unwrap().is_none());
    }

    #[test]
    fn a_missing_namespace_means_default() {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {}});
        let object = Object::from_json(service).unwrap().unwrap();
        assert_eq!(object.key(), Key::new(Kind::Service, "default", "x"));
    }

    #[test]
    fn broken_documents_are_answered_with_object_and_problem() {
        for (document, expected) in [
            (json!({"kind": "Service"}), "apiVersion is missing"),
            (json!([1, 2]), "apiVersion is missing"),
            (
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "namespace": "y"}, "spec": 7}),
                "Service y/x: ",
            ),
            (
                json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "x"},
                       "spec": {"hosts": 7}}),
                "VirtualService default/x: ",
            ),
        ] {
            let error = Object::from_json(document).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
