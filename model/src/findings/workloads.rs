//! Sidecars, PeerAuthentications and WorkloadEntries: objects that are for workloads.

use std::sync::Arc;

use super::FindingKind::{Conflict, Empty, Ignored, UnresolvedReference};
use super::list::{At, List};
use super::places;
use crate::config::{Configured, EgressHost, EgressNamespace, PeerAuthentication, Sidecar, WorkloadEntry};
use crate::mesh::{Mesh, of_namespace};
use crate::value::{Labels, NamespacedName, Registry, is_wildcard};

pub(super) fn sidecar(mesh: &Mesh, sidecar: &Sidecar, list: &mut List) {
    let namespace = &sidecar.meta.name.namespace;
    let at = At::spec().field("workloadSelector");
    places::selects(mesh, namespace, &sidecar.selector, &at, list);
    let all = mesh.sidecars.get(namespace).into_iter().flat_map(|all| all.iter());
    let others = all.filter(|other| other.meta.name != sidecar.meta.name);
    rivals(mesh, sidecar, &sidecar.selector, others.map(|other| (other, &other.selector)), &at, list);
    for (index, listener) in sidecar.egress.iter().enumerate() {
        for (position, host) in listener.hosts.iter().enumerate() {
            let at = At::spec().item("egress", index).item("hosts", position);
            egress_host(mesh, sidecar, host, &at, list);
        }
    }
}

/// A host that no service has, for a workload of the Sidecar's own namespace.
fn egress_host(mesh: &Mesh, sidecar: &Sidecar, host: &EgressHost, at: &At, list: &mut List) {
    let own = &sidecar.meta.name.namespace;
    let of = match &host.namespace {
        EgressNamespace::Nobody | EgressNamespace::Any if *host.host == *"*" => return,
        EgressNamespace::Nobody => return,
        EgressNamespace::Any => None,
        EgressNamespace::Own => Some(own),
        EgressNamespace::Named(name) => Some(name),
    };
    // In the root namespace `.` is the namespace of each workload, and a namespace may be empty for now.
    if host.namespace == EgressNamespace::Own && *host.host == *"*" {
        return;
    }
    if let Some(name) = of
        && !mesh.namespaces.is_empty()
        && !mesh.namespaces.contains_key(name)
        && !mesh.services_in.contains_key(name)
    {
        let known: Vec<&str> = mesh.namespaces.keys().map(|name| &**name).collect();
        let hint =
            crds::closest(name, &known).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        return list.warning(UnresolvedReference, at, format_args!("there is no namespace {name}{hint}"));
    }
    let matches = |key: &crate::ServiceKey| host.covers(&key.host, &key.namespace, own);
    let found = match of {
        _ if !is_wildcard(&host.host) && of.is_none() => mesh.services_of(&host.host).next().is_some(),
        Some(name) => mesh.services_in.get(name).into_iter().flatten().any(matches),
        None => mesh.services.keys().any(matches),
    };
    if !found && *host.host != *"*" {
        let place = of.map_or_else(String::new, |name| format!(" in namespace {name}"));
        let (_, hint) = super::hosts::hint(mesh, &host.host, own);
        list.warning(
            UnresolvedReference,
            at,
            format_args!("no service{place} has a host like {}{hint}", host.host),
        );
    }
}

pub(super) fn peer_authentication(mesh: &Mesh, policy: &PeerAuthentication, list: &mut List) {
    let namespace = &policy.meta.name.namespace;
    let at = At::spec().field("selector");
    if *namespace == mesh.settings.root_namespace && !policy.selector.is_empty() {
        return list.error(
            Ignored,
            &at,
            format_args!(
                "policies of {namespace} are for the whole mesh, and one with a selector is used for nothing; \
                 remove the selector, or put the policy into the workloads' namespace"
            ),
        );
    }
    places::selects(mesh, namespace, &policy.selector, &at, list);
    let all = mesh.peer_authentications.get(namespace).into_iter().flat_map(|all| all.iter());
    let others = all.filter(|other| other.meta.name != policy.meta.name);
    rivals(mesh, policy, &policy.selector, others.map(|other| (other, &other.selector)), &at, list);
}

/// Of several for the same workloads the oldest counts, and nothing is merged.
fn rivals<'a, T: Configured + 'a>(
    mesh: &Mesh,
    own: &T,
    selector: &Labels,
    others: impl Iterator<Item = (&'a Arc<T>, &'a Labels)>,
    at: &At,
    list: &mut List,
) {
    let older = |other: &Arc<T>| other.meta().age_order() < own.meta().age_order();
    let mut others = others.filter(|(other, _)| older(other));
    if selector.is_empty() {
        if let Some((other, _)) = others.find(|(_, theirs)| theirs.is_empty()) {
            list.error(
                Conflict,
                at,
                format_args!(
                    "{} is older and has no selector either: it counts for the whole namespace and this one does \
                     nothing; make them one object",
                    other.meta().name.name
                ),
            );
        }
        return;
    }
    let namespace = &own.meta().name.namespace;
    let selected: Vec<_> =
        of_namespace(&mesh.workloads, namespace).filter(|one| one.labels.satisfy(selector)).collect();
    for (other, theirs) in others.filter(|(_, theirs)| !theirs.is_empty()) {
        let both = selected.iter().find(|one| one.labels.satisfy(theirs));
        if theirs == selector || both.is_some() {
            let example = both.map(|one| format!(", such as {}", one.instance)).unwrap_or_default();
            list.error(
                Conflict,
                at,
                format_args!(
                    "{} is older and selects some of the same workloads{example}: it counts for them, nothing is \
                     merged; make the selectors distinct",
                    other.meta().name.name
                ),
            );
            return;
        }
    }
}

pub(super) fn workload_entry(mesh: &Mesh, entry: &WorkloadEntry, list: &mut List) {
    let namespace: &NamespacedName = &entry.meta.name;
    let by_entry = of_namespace(&mesh.written.service_entries, &namespace.namespace)
        .filter_map(|one| one.selector.as_ref())
        .any(|selector| entry.labels.satisfy(selector));
    let keys = mesh.services_in.get(&namespace.namespace).into_iter().flatten();
    let by_service = || {
        keys.filter_map(|key| mesh.services.get(key)).any(|service| {
            service.registry == Registry::Kubernetes
                && !service.selector.is_empty()
                && entry.labels.satisfy(&service.selector)
        })
    };
    if !by_entry && !by_service() {
        list.warning(
            Empty,
            &At::spec().field("labels"),
            format_args!(
                "no ServiceEntry or Service of namespace {} selects it, so that nobody calls it",
                namespace.namespace
            ),
        );
    }
}
