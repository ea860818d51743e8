//! Which VirtualService speaks for a host: the most particular host wins, then the oldest object; the first that has
//! rules for the sender. On sidecars they are not merged.

use std::sync::Arc;

use model::config::VirtualService;
use model::{Text, is_wildcard};

use crate::decision::Considered;
use crate::evaluator::View;
use crate::hosts;
use crate::rules::{Place, cases_of};

/// Whether a pattern of a VirtualService covers a host, which may be a wildcard itself.
pub(crate) fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(rest) => host.strip_prefix('*').unwrap_or(host).ends_with(rest),
        None => pattern == host,
    }
}

/// Whether some rule of it may apply to requests of the sender's app.
pub(crate) fn has_rules(view: &View<'_>, service: &VirtualService) -> bool {
    hosts::is_visible(view, service)
        && cases_of(view, service, &Place::mesh(view.request.port))
            .cases
            .iter()
            .any(|case| case.meant.is_ok())
}

/// The VirtualService that comes first for a host, whether or not it has rules for the sender.
pub(crate) fn first<'a>(view: &View<'a>, host: &str) -> Option<&'a Arc<VirtualService>> {
    let all = view.mesh.virtual_services.values();
    let visible = all.filter(|service| service.on_mesh && hosts::is_visible(view, service));
    let best = visible.filter_map(|service| {
        let fitting = service.hosts.iter().filter(|pattern| covers(pattern, host));
        Some((fitting.map(|pattern| rank(pattern)).max()?, service))
    });
    best.min_by_key(|(rank, service)| (std::cmp::Reverse(*rank), service.meta.age_order()))
        .map(|(_, service)| service)
}

/// The VirtualService for a host, and all that were considered, the winner first. What no service has counts only where
/// the VirtualService holds.
pub(crate) fn decide<'a>(
    view: &View<'a>,
    host: &str,
    served: bool,
) -> (Option<&'a Arc<VirtualService>>, Vec<Considered>) {
    let mut all: Vec<(&Text, &'a Arc<VirtualService>)> = Vec::new();
    for service in view.mesh.virtual_services.values() {
        let best =
            service.hosts.iter().filter(|pattern| covers(pattern, host)).max_by_key(|pattern| rank(pattern));
        // Rules for all hosts of a gateway say nothing about a service; those for its own name may lack `mesh`.
        let best = best.filter(|pattern| service.on_mesh || !is_wildcard(pattern));
        all.extend(best.map(|pattern| (pattern, service)));
    }
    all.sort_by_key(|(pattern, service)| (std::cmp::Reverse(rank(pattern)), service.meta.age_order()));
    let holds = |service: &VirtualService| served || view.holds(service);
    let eligible = |service: &VirtualService| service.on_mesh && has_rules(view, service) && holds(service);
    let winner = all.iter().find(|(_, service)| eligible(service)).copied();
    let mut considered: Vec<Considered> = all
        .iter()
        .map(|(pattern, service)| {
            let applies = winner.is_some_and(|(_, winner)| Arc::ptr_eq(winner, service));
            let why = match winner {
                _ if !service.on_mesh => "it is for gateways only; its gateways do not name mesh".to_owned(),
                _ if !hosts::is_visible(view, service) => unseen(view, service),
                _ if !has_rules(view, service) => no_rules(view, service),
                _ if !holds(service) => {
                    let port = view.request.port;
                    format!(
                        "it lists no service on port {port}, so that its other hosts are routed on 80 only"
                    )
                }
                Some(_) if applies && all.len() == 1 => "the only one for the host".to_owned(),
                Some((of, _)) if applies => reason_to_win(of, &all),
                Some((of, winner)) if rank(of) > rank(pattern) => {
                    format!("{} has the more particular host {of}", winner.meta.name)
                }
                Some((_, winner)) => format!(
                    "{} is older; on sidecars several VirtualServices for one host are not merged",
                    winner.meta.name
                ),
                None => String::new(),
            };
            Considered { name: service.meta.name.to_string(), host: pattern.to_string(), applies, why }
        })
        .collect();
    considered.sort_by_key(|one| !one.applies);
    (winner.map(|(_, service)| service), considered)
}

fn rank(pattern: &str) -> (bool, usize) {
    (!is_wildcard(pattern), pattern.len())
}

fn reason_to_win(of: &str, all: &[(&Text, &Arc<VirtualService>)]) -> String {
    if all.iter().filter(|(pattern, _)| rank(pattern) == rank(of)).count() > 1 {
        "the oldest for the host that has rules for the sender".to_owned()
    } else {
        "its host is the most particular".to_owned()
    }
}

fn unseen(view: &View<'_>, service: &VirtualService) -> String {
    let namespace = &view.source.namespace;
    if !view.mesh.discovers(&service.meta.name.namespace) {
        return "discoverySelectors of the mesh leave out its namespace".to_owned();
    }
    if !view.mesh.is_virtual_service_exported(service, namespace) {
        return match service.export_to {
            Some(_) => format!("its exportTo leaves out namespace {namespace}"),
            None => format!("defaultVirtualServiceExportTo of the mesh leaves out namespace {namespace}"),
        };
    }
    let sidecar = view.scope.sidecar().map(|sidecar| sidecar.meta.name.to_string()).unwrap_or_default();
    format!("no egress host of Sidecar {sidecar} covers it")
}

fn no_rules(view: &View<'_>, service: &VirtualService) -> String {
    let read = cases_of(view, service, &Place::mesh(view.request.port));
    match read.cases.iter().find_map(|case| case.meant.as_ref().err()) {
        Some(first) => format!("none of its rules is for this sender: {first}"),
        None if service.spec.http.is_empty() => "it has no HTTP rules".to_owned(),
        None => "none of its rules does anything".to_owned(),
    }
}
