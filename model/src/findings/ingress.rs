//! Ingress objects that the mesh serves.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::{IngressBackend, IngressTLS};

use super::FindingKind::{Empty, Ignored, UnresolvedReference};
use super::list::{At, List};
use super::{credentials, hosts, places};
use crate::config::ingress::shared_gateway;
use crate::kube::Ingress;
use crate::mesh::Mesh;
use crate::value::{Labels, Service, Text};

pub(super) fn look(mesh: &Mesh, ingress: &Ingress, list: &mut List) {
    let (at, spec) = (At::spec(), &ingress.spec);
    if let Some(to) = &spec.default_backend {
        backend(mesh, ingress, to, &at.field("defaultBackend"), list);
    }
    for (index, rule) in spec.rules.iter().flatten().enumerate() {
        let at = at.item("rules", index).field("http");
        for (index, path) in rule.http.iter().flat_map(|http| &http.paths).enumerate() {
            backend(mesh, ingress, &path.backend, &at.item("paths", index).field("backend"), list);
        }
    }
    let Some(gateway) = mesh.gateways.get(&shared_gateway(&mesh.settings.root_namespace)) else { return };
    let proxies = mesh.workloads.values().filter(|workload| workload.labels.satisfy(&gateway.selector));
    let namespaces: BTreeSet<Text> = proxies.map(|proxy| proxy.instance.namespace.clone()).collect();
    if namespaces.is_empty() {
        let labels = places::shown(&gateway.selector);
        let message = format!(
            "no workload has the labels {labels}, so that nothing serves it; install an ingress gateway, or set \
             ingressSelector in the mesh's settings to the label of yours"
        );
        list.warning(Empty, &at, message);
    }
    for (index, tls) in spec.tls.iter().flatten().enumerate() {
        certificates(mesh, tls, &namespaces, &at.item("tls", index).field("secretName"), list);
    }
}

fn certificates(mesh: &Mesh, tls: &IngressTLS, namespaces: &BTreeSet<Text>, at: &At, list: &mut List) {
    match tls.secret_name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => {
            for namespace in namespaces {
                credentials::certificate(mesh, namespace, name, at, list);
            }
        }
        None => list.warning(Ignored, at, "there is none, so that nothing is served by TLS; name a Secret"),
    }
}

fn backend(mesh: &Mesh, ingress: &Ingress, to: &IngressBackend, at: &At, list: &mut List) {
    let Some(wanted) = &to.service else {
        return list.error(Ignored, at, "only services are served; name one");
    };
    let at = at.field("service");
    let namespace = &ingress.meta.name.namespace;
    let host = format!("{}.{namespace}.svc.{}", wanted.name, mesh.domain);
    let Some(found) = hosts::service(mesh, &host, namespace, &at.field("name"), list) else { return };
    let port = wanted.port.as_ref();
    let number = port.and_then(|port| port.number);
    let name = port.and_then(|port| port.name.as_deref());
    let exists = found.ports.iter().any(|known| match (number, name) {
        (Some(number), _) => i32::from(known.number) == number,
        (None, Some(name)) => *known.name == *name,
        (None, None) => false,
    });
    if !exists {
        let wanted =
            number.map_or_else(|| name.unwrap_or("of no name").to_owned(), |number| number.to_string());
        let message = format!("{host} has no port {wanted}; its ports are {}", ports(found));
        list.error(UnresolvedReference, &at.field("port"), message);
    }
    if !hosts::has_endpoints(mesh, found, &Labels::default()) {
        list.warning(
            Empty,
            &at.field("name"),
            format_args!("{host} has no endpoint now: requests are answered with 503"),
        );
    }
}

fn ports(service: &Service) -> String {
    let shown = service.ports.iter().map(|port| {
        if port.name.is_empty() {
            port.number.to_string()
        } else {
            format!("{} ({})", port.number, port.name)
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}
