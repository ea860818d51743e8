//! Hosts that a VirtualService speaks for, and others that speak for them too.

use std::sync::Arc;

use super::super::FindingKind::{Conflict, UnresolvedReference};
use super::super::list::{At, List};
use super::super::{hosts, places};
use crate::config::VirtualService;
use crate::mesh::Mesh;
use crate::value::{Text, host_candidates};

/// Others with the same host that are named one by one.
const NAMED: usize = 3;

pub(super) fn look(mesh: &Mesh, service: &VirtualService, list: &mut List) {
    for (index, host) in service.hosts.iter().enumerate() {
        if list.is_full() {
            return;
        }
        let at = At::spec().item("hosts", index);
        if service.on_mesh {
            exists(mesh, service, host, &at, list);
            on_sidecars(mesh, service, host, &at, list);
        }
        on_gateways(mesh, service, host, &at, list);
    }
}

/// A name that can only be a Kubernetes service's should be one's. Other hosts may be anybody's.
fn exists(mesh: &Mesh, service: &VirtualService, host: &str, at: &At, list: &mut List) {
    let namespace = &service.meta.name.namespace;
    if hosts::kubernetes_name(mesh, host).is_some() && !hosts::exists(mesh, host) {
        let (kind, hint) = hosts::hint(mesh, host, namespace);
        let kind = if kind == UnresolvedReference { kind } else { super::super::FindingKind::Misplaced };
        list.warning(kind, at, format_args!("no service has the host {host}, so that nobody calls it{hint}"));
    }
}

/// Sidecars use one VirtualService for a host: the oldest of the most specific ones.
fn on_sidecars(mesh: &Mesh, service: &VirtualService, host: &Text, at: &At, list: &mut List) {
    let others = mesh.mesh_routes.get(host).into_iter().flat_map(|all| all.iter());
    let others: Vec<_> = others.filter(|other| is_other(mesh, service, other)).collect();
    let age = service.meta.age_order();
    if let Some(older) = others.iter().find(|other| other.meta.age_order() < age) {
        list.error(
            Conflict,
            at,
            format_args!(
                "VirtualService {} is older and speaks for {host} too: sidecars use the oldest alone, rules are not \
                 merged; move the rules there, or take the host out of one of the two",
                older.meta.name
            ),
        );
    } else if let Some(younger) = others.first() {
        let more = if others.len() > 1 { format!(" and {} more", others.len() - 1) } else { String::new() };
        list.info(
            Conflict,
            at,
            format_args!(
                "VirtualService {}{more} speaks for {host} too and has no effect on sidecars, because it is younger",
                younger.meta.name
            ),
        );
    }
    let wider = host_candidates(host).filter(|candidate| **candidate != **host).find_map(|candidate| {
        let all = mesh.mesh_routes.get(candidate.as_str())?;
        Some((candidate, all.iter().find(|other| is_other(mesh, service, other))?.clone()))
    });
    if let Some((pattern, wider)) = wider {
        list.info(
            Conflict,
            at,
            format_args!(
                "VirtualService {} speaks for {pattern}; for {host} only the rules here count",
                wider.meta.name
            ),
        );
    }
}

/// Gateways merge VirtualServices for a host: conditions first, the oldest object's first among equals.
fn on_gateways(mesh: &Mesh, service: &VirtualService, host: &Text, at: &At, list: &mut List) {
    let takes_all = |one: &VirtualService| one.spec.http.iter().any(|rule| rule.matches.is_empty());
    for gateway in &service.gateways {
        let all = mesh.gateway_routes.get(gateway).into_iter().flat_map(|all| all.iter());
        let others: Vec<_> =
            all.filter(|other| is_other(mesh, service, other) && other.hosts.contains(host)).collect();
        if others.is_empty() {
            continue;
        }
        let older = |other: &&&Arc<VirtualService>| other.meta.age_order() < service.meta.age_order();
        let first = others.iter().find(|other| older(other) && takes_all(other));
        if let Some(first) = first.filter(|_| takes_all(service)) {
            list.warning(
                Conflict,
                at,
                format_args!(
                    "VirtualService {} is older, is bound to Gateway {gateway} for {host} too and has a rule without \
                     conditions, so that the one here is never used there",
                    first.meta.name
                ),
            );
            continue;
        }
        let names: Vec<_> = others.iter().take(NAMED).map(|other| other.meta.name.to_string()).collect();
        list.info(
            Conflict,
            at,
            format_args!(
                "on Gateway {gateway} the rules for {host} are merged with those of VirtualService {}{}",
                names.join(", "),
                if others.len() > NAMED { " and others" } else { "" }
            ),
        );
    }
}

/// Another object that some client sees together with this one.
fn is_other(mesh: &Mesh, service: &VirtualService, other: &VirtualService) -> bool {
    let default = &mesh.settings.virtual_service_export;
    other.meta.name != service.meta.name
        && places::seen_together(
            default,
            (service.export_to.as_ref(), &service.meta.name.namespace),
            (other.export_to.as_ref(), &other.meta.name.namespace),
        )
}
