//! Which kinds are watched, and how each becomes an object of the model.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::Config;
use kube::{Api, ResourceExt as _};
use model::{Kind, Object};

use super::Cluster;
use super::watch::{Converted, Watch};
use crate::status::Observer;

/// Istio's kinds, in the version in which they are stored.
const ISTIO: [(&str, &str, &str); 7] = [
    ("networking.istio.io", "VirtualService", "virtualservices"),
    ("networking.istio.io", "DestinationRule", "destinationrules"),
    ("networking.istio.io", "Gateway", "gateways"),
    ("networking.istio.io", "ServiceEntry", "serviceentries"),
    ("networking.istio.io", "WorkloadEntry", "workloadentries"),
    ("networking.istio.io", "Sidecar", "sidecars"),
    ("security.istio.io", "PeerAuthentication", "peerauthentications"),
];

/// What the API server calls one of Istio's kinds. None for kinds of others.
pub(crate) fn istio_resource(kind: Kind) -> Option<ApiResource> {
    ISTIO.into_iter().find(|(_, name, _)| *name == kind.as_str()).map(resource)
}

fn resource((group, kind, plural): (&str, &str, &str)) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural)
}

pub(super) fn all(cluster: &Cluster) -> Vec<Watch> {
    let client = || cluster.client.clone();
    let everything = Config::default;
    // A pod that has ended has no proxy and no endpoints, but may stay listed for long.
    let running = Config::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    let settings = Config::default().fields(&format!("metadata.name={}", cluster.settings));
    let mut watches = vec![
        Watch::new("Namespace", Api::<Namespace>::all(client()), everything(), |one| {
            Ok(Some(Object::from(&one)))
        }),
        Watch::new("Node", Api::<Node>::all(client()), everything(), |one| Ok(Some(Object::from(&one)))),
        Watch::new("Service", Api::<Service>::all(client()), everything(), |one| Ok(Some(Object::from(one)))),
        Watch::new("Ingress", Api::<Ingress>::all(client()), everything(), |one| Ok(Some(Object::from(one)))),
        Watch::new("IngressClass", Api::<IngressClass>::all(client()), everything(), |one| {
            Ok(Some(Object::from(&one)))
        }),
        Watch::new("Pod", Api::<Pod>::all(client()), running, |one| Ok(Some(Object::from(&one)))),
        Watch::new("EndpointSlice", Api::<EndpointSlice>::all(client()), everything(), |one| {
            Ok(Some(Object::from(&one)))
        }),
        Watch::new(
            "ConfigMap",
            Api::<ConfigMap>::namespaced(client(), &cluster.namespace),
            settings,
            mesh_config,
        ),
    ];
    for row in ISTIO {
        let (name, resource) = (row.1, resource(row));
        let Some(kind) = Kind::named(name) else { continue };
        let api = Api::<DynamicObject>::all_with(client(), &resource);
        let observer = Observer { objects: cluster.objects.clone(), kind };
        let objects = cluster.objects.clone();
        let convert = move |one: DynamicObject| {
            let (converted, one) = istio(one, &resource);
            objects.saw(kind, &one, converted.as_ref().err().cloned());
            converted
        };
        watches.push(Watch::new(name, api, everything(), convert).observed(observer));
    }
    watches
}

/// The settings of a revision are in a ConfigMap with the revision's name at its end; the model knows one name.
fn mesh_config(mut map: ConfigMap) -> Converted {
    let name = map.name_any();
    map.metadata.name = Some("istio".to_owned());
    Object::from_config_map(&map).map_err(|error| error.to_string().replacen("istio", &name, 1))
}

/// The object as the model reads it, and as it came.
fn istio(mut object: DynamicObject, resource: &ApiResource) -> (Converted, DynamicObject) {
    object.metadata.managed_fields = None;
    let read = serde_json::to_value(&object).map_err(|e| e.to_string()).and_then(|mut value| {
        value["apiVersion"] = resource.api_version.clone().into();
        value["kind"] = resource.kind.clone().into();
        Object::from_json(value).map_err(|e| e.to_string())
    });
    (read, object)
}
