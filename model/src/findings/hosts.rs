//! Hosts that objects name: whether a service has them, who sees it, and which host was probably meant.

use std::sync::Arc;

use super::FindingKind::{Misplaced, UnresolvedReference};
use super::list::{At, List};
use crate::mesh::Mesh;
use crate::value::{Labels, Resolution, Service, Text, intern, is_wildcard};

/// Names that are compared with a misspelt one; more are not worth the time.
const COMPARED: usize = 2000;

/// The service behind a host as clients in a namespace see it: their own namespace's, else any that is exported to
/// them. What keeps it from being found is put on the list.
pub(super) fn service<'m>(
    mesh: &'m Mesh,
    host: &str,
    namespace: &str,
    at: &At,
    list: &mut List,
) -> Option<&'m Arc<Service>> {
    let mut hidden = None;
    let mut best = None;
    for service in mesh.services_of(&intern(host)) {
        if !mesh.is_service_exported(service, namespace) {
            hidden = Some(service);
        } else if best.is_none() || *service.key.namespace == *namespace {
            best = Some(service);
        }
    }
    match (best, hidden) {
        (Some(service), _) => Some(service),
        (None, Some(service)) => {
            list.error(
                UnresolvedReference,
                at,
                format_args!(
                    "{host} is declared by {} in namespace {}, which does not export it to namespace {namespace}; \
                     add {namespace} to its exportTo",
                    service.name, service.key.namespace
                ),
            );
            None
        }
        (None, None) => {
            let (kind, hint) = hint(mesh, host, namespace);
            list.error(kind, at, format_args!("no service has the host {host}{hint}"));
            None
        }
    }
}

/// What was probably meant by a host that no service has, as the end of a sentence.
pub(super) fn hint(mesh: &Mesh, host: &str, namespace: &str) -> (super::FindingKind, String) {
    let Some((name, of)) = kubernetes_name(mesh, host) else {
        return (UnresolvedReference, foreign(mesh, host));
    };
    let full = |name: &str, namespace: &str| format!("{name}.{namespace}.svc.{}", mesh.domain);
    let there =
        |namespace: &str| !mesh.services_of(&intern(&full(name, namespace))).collect::<Vec<_>>().is_empty();
    if host != full(name, of) && there(of) {
        let hint = format!("; did you mean {}? Only names without a dot are completed", full(name, of));
        return (UnresolvedReference, hint);
    }
    let names: Vec<&str> = mesh
        .services_in
        .get(of)
        .into_iter()
        .flatten()
        .take(COMPARED)
        .filter_map(|key| key.host.split('.').next())
        .collect();
    if let Some(meant) = crds::closest(name, &names) {
        return (UnresolvedReference, format!("; did you mean {}?", full(meant, of)));
    }
    if let Some(other) = mesh.services_in.keys().find(|other| there(other)) {
        let own = if of == namespace {
            " A name without a dot means a service of the object's own namespace"
        } else {
            ""
        };
        return (Misplaced, format!("; did you mean {}?{own}", full(name, other)));
    }
    let namespaces: Vec<&str> = mesh.services_in.keys().take(COMPARED).map(|name| &**name).collect();
    let remedy = match crds::closest(of, &namespaces).filter(|meant| *meant != of) {
        Some(meant) => format!("; did you mean namespace {meant}?"),
        None => "; create the Service, or a ServiceEntry for it".to_owned(),
    };
    (UnresolvedReference, remedy)
}

/// Name and namespace of a Kubernetes service's host, complete (`a.b.svc.cluster.local`) or not (`a.b`, `a.b.svc`).
pub(super) fn kubernetes_name<'h>(mesh: &Mesh, host: &'h str) -> Option<(&'h str, &'h str)> {
    let short = host.strip_suffix(&*mesh.domain).and_then(|rest| rest.strip_suffix('.')).unwrap_or(host);
    let short = short.strip_suffix(".svc").unwrap_or(short);
    let (name, namespace) = short.split_once('.')?;
    let known = short != host || mesh.services_in.contains_key(namespace);
    (known && !namespace.contains('.') && !is_wildcard(host)).then_some((name, namespace))
}

fn foreign(mesh: &Mesh, host: &str) -> String {
    let wildcard = crate::host_candidates(host)
        .skip(1)
        .find(|candidate| mesh.foreign_hosts.contains_key(candidate.as_str()));
    if let Some(wildcard) = wildcard {
        return format!(
            "; a ServiceEntry has {wildcard}, which a route must name as it is, or add {host} to its hosts"
        );
    }
    let known: Vec<&Text> = mesh.foreign_hosts.keys().take(COMPARED).collect();
    let known: Vec<&str> = known.iter().map(|host| &***host).collect();
    match crds::closest(host, &known) {
        Some(meant) => format!("; did you mean {meant}?"),
        None => "; add a ServiceEntry for it".to_owned(),
    }
}

/// Whether any service has a host.
pub(super) fn exists(mesh: &Mesh, host: &str) -> bool {
    mesh.services_of(&intern(host)).next().is_some()
}

/// Whether a service has an endpoint with these labels. Endpoints that clients find out themselves may always exist.
pub(super) fn has_endpoints(mesh: &Mesh, service: &Service, labels: &Labels) -> bool {
    if service.resolution != Resolution::Endpoints {
        return true;
    }
    let groups = mesh.endpoints.get(&service.key).into_iter().flat_map(|known| &known.groups);
    groups.flat_map(|group| &group.endpoints).any(|endpoint| {
        let of = endpoint.workload.as_ref().map(|workload| &workload.labels);
        labels.is_empty() || of.is_some_and(|of| of.satisfy(labels))
    })
}
