//! ServiceEntries and Kubernetes Services.

use super::FindingKind::{Conflict, Empty, Ignored};
use super::list::{At, List};
use super::{hosts, places};
use crate::config::ServiceEntry;
use crate::mesh::{Mesh, of_namespace};
use crate::value::{Labels, Protocol, Registry, Resolution, Service, host_candidates};

pub(super) fn entry(mesh: &Mesh, entry: &ServiceEntry, list: &mut List) {
    for (index, service) in entry.services.iter().enumerate() {
        if list.is_full() {
            return;
        }
        let at = At::spec().item("hosts", index);
        claims(mesh, entry, service, &at, list);
        elsewhere(mesh, service, &at, list);
    }
    endpoints(mesh, entry, list);
    places::exports(mesh, entry.services.first().and_then(|service| service.export_to.as_ref()), list);
}

/// Others of the namespace that declare the same host: a Kubernetes Service wins, then the oldest; ports of entries
/// that are resolved alike add up.
fn claims(mesh: &Mesh, entry: &ServiceEntry, own: &Service, at: &At, list: &mut List) {
    if let Some(winner) = mesh.services.get(&own.key)
        && winner.registry == Registry::Kubernetes
    {
        return list.error(
            Conflict,
            at,
            format_args!(
                "Service {} of Kubernetes has this host, so that the entry is ignored; use another host",
                winner.name
            ),
        );
    }
    let others = of_namespace(&mesh.written.service_entries, &own.key.namespace);
    for other in others.filter(|other| other.meta.name != entry.meta.name) {
        let Some(theirs) = other.services.iter().find(|service| service.key == own.key) else { continue };
        let (name, older) = (&other.meta.name, other.meta.age_order() < entry.meta.age_order());
        if theirs.resolution != own.resolution {
            if older {
                list.error(
                    Conflict,
                    at,
                    format_args!(
                        "ServiceEntry {name} for the same host is older and has another resolution, so that this one \
                         is ignored; use the same resolution to have them merged"
                    ),
                );
            }
            continue;
        }
        let clash = own.ports.iter().find_map(|port| {
            let other = theirs.port(port.number)?;
            (other.protocol != port.protocol || other.name != port.name).then_some(port)
        });
        match clash.filter(|_| older) {
            Some(port) => list.error(
                Conflict,
                &At::spec().field("ports"),
                format_args!(
                    "ServiceEntry {name} for the same host is older and has port {} with another name or protocol, \
                     which counts; use the same",
                    port.number
                ),
            ),
            None => list.info(Conflict, at, format_args!("merged with ServiceEntry {name} for the same host")),
        }
    }
}

/// The same host, or a wildcard for it, declared by others that clients see too.
fn elsewhere(mesh: &Mesh, own: &Service, at: &At, list: &mut List) {
    let default = &mesh.settings.service_export;
    let together = |other: &Service| {
        places::seen_together(
            default,
            (own.export_to.as_ref(), &own.key.namespace),
            (other.export_to.as_ref(), &other.key.namespace),
        )
    };
    let mut same = mesh.services_of(&own.key.host).filter(|other| other.key.namespace != own.key.namespace);
    if let Some(other) = same.find(|other| together(other)) {
        list.warning(
            Conflict,
            at,
            format_args!(
                "{} in namespace {} declares the host too: clients use that of their own namespace, others the one of \
                 Kubernetes or of the first namespace by name; limit exportTo of both",
                other.name, other.key.namespace
            ),
        );
    }
    let wider = host_candidates(&own.key.host).filter(|candidate| **candidate != *own.key.host);
    let wider = wider.flat_map(|candidate| mesh.services_of(&crate::intern(&candidate)).collect::<Vec<_>>());
    if let Some(other) = wider.into_iter().find(|other| together(other)) {
        list.info(
            Conflict,
            at,
            format_args!(
                "{} in namespace {} declares {}; for {} this entry counts",
                other.name, other.key.namespace, other.key.host, own.key.host
            ),
        );
    }
}

fn endpoints(mesh: &Mesh, entry: &ServiceEntry, list: &mut List) {
    match &entry.selector {
        Some(selector) => {
            let namespace = &entry.meta.name.namespace;
            let pods = of_namespace(&mesh.workloads, namespace).any(|one| one.labels.satisfy(selector));
            let machines = || {
                of_namespace(&mesh.written.workload_entries, namespace)
                    .any(|one| one.labels.satisfy(selector))
            };
            if !pods && !machines() {
                list.warning(
                    Empty,
                    &At::spec().field("workloadSelector"),
                    format_args!(
                        "no pod or WorkloadEntry of namespace {namespace} has the labels {}, so that there is no \
                         endpoint now",
                        places::shown(selector)
                    ),
                );
            }
        }
        None if entry.groups.is_empty()
            && entry.services.iter().any(|service| service.resolution == Resolution::Endpoints) =>
        {
            list.error(
                Empty,
                &At::spec().field("endpoints"),
                "there are none, and resolution STATIC finds no others: requests are answered with 503; add endpoints, \
                 or use resolution DNS",
            );
        }
        None => {}
    }
}

/// A Kubernetes Service: ports whose protocol nobody declares, and no endpoint.
pub(super) fn kubernetes(mesh: &Mesh, service: &Service, list: &mut List) {
    for (index, port) in service.ports.iter().enumerate() {
        if port.protocol == Protocol::Auto {
            let name = if port.name.is_empty() {
                "has no name".to_owned()
            } else {
                format!("has the name {}", port.name)
            };
            list.info(
                Ignored,
                &At::spec().item("ports", index).field("name"),
                format_args!(
                    "port {} {name}, which says no protocol, so that proxies find out by the first bytes of each \
                     connection; set appProtocol, or name it <protocol>-..., such as http-web",
                    port.number
                ),
            );
        }
    }
    if !service.selector.is_empty() && !hosts::has_endpoints(mesh, service, &Labels::default()) {
        list.info(Empty, &At::spec().field("selector"), "it has no endpoint now");
    }
}
