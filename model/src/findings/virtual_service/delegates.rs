//! Rules that are left to other VirtualServices.

use super::super::FindingKind::{Ignored, UnresolvedReference};
use super::super::list::{At, List};
use crate::config::{VirtualService, delegate};
use crate::mesh::{Mesh, of_namespace};
use crate::value::NamespacedName;

pub(super) fn look(mesh: &Mesh, service: &VirtualService, list: &mut List) {
    let own = &service.meta.name;
    if service.hosts.is_empty() {
        let named = |root: &VirtualService| root.delegates().any(|(_, name)| name == *own);
        if !mesh.written.roots.values().any(|root| root.meta.name != *own && named(root)) {
            list.warning(
                Ignored,
                &At::spec().field("hosts"),
                "there are none, and no VirtualService delegates to this one, so that its rules are not used; \
                 add hosts, or name it as a delegate",
            );
        }
    }
    let delegating = service.spec.http.iter().enumerate().filter(|(_, rule)| rule.delegate.is_some());
    for ((index, rule), (_, name)) in delegating.zip(service.delegates()) {
        let at = At::spec().item("http", index).field("delegate");
        if service.hosts.is_empty() {
            list.error(
                Ignored,
                &at,
                format_args!(
                    "a VirtualService without hosts is a delegate, and delegates cannot delegate further{}; \
                     write the rules of {name} here",
                    if leads_back(mesh, &name, own) { ": this one would lead back to itself" } else { "" }
                ),
            );
            continue;
        }
        if name == *own {
            list.error(UnresolvedReference, &at, "it delegates to itself; the rule has no effect");
            continue;
        }
        let Some(target) = mesh.written.virtual_services.get(&name) else {
            missing(mesh, &name, &at, list);
            continue;
        };
        if !target.hosts.is_empty() {
            let circle = leads_back(mesh, &name, own);
            list.error(
                UnresolvedReference,
                &at,
                format_args!(
                    "VirtualService {name} has hosts, so it is no delegate and adds no rules{}; \
                     take the hosts out of it, or write its rules here",
                    if circle { "; it also delegates back to this one" } else { "" }
                ),
            );
        } else if !mesh.is_virtual_service_exported(target, &own.namespace) {
            list.error(
                UnresolvedReference,
                &at,
                format_args!(
                    "VirtualService {name} is not exported to namespace {}; add that to its exportTo",
                    own.namespace
                ),
            );
        } else {
            let used = delegate::under(rule, &target.spec.http).len();
            if used < target.spec.http.len() {
                list.warning(
                    Ignored,
                    &at,
                    format_args!(
                        "{} of the {} rules of VirtualService {name} are not used: their conditions lie outside of \
                         this rule's",
                        target.spec.http.len() - used,
                        target.spec.http.len()
                    ),
                );
            }
        }
    }
}

fn missing(mesh: &Mesh, name: &NamespacedName, at: &At, list: &mut List) {
    let delegates = of_namespace(&mesh.written.delegates, &name.namespace);
    let names: Vec<&str> = delegates.map(|one| &*one.meta.name.name).collect();
    let elsewhere = mesh.written.delegates.keys().find(|other| other.name == name.name);
    let hint = match (crds::closest(&name.name, &names), elsewhere) {
        (Some(meant), _) => format!("did you mean {}/{meant}?", name.namespace),
        (None, Some(other)) => format!("did you mean {other}? Say its namespace"),
        (None, None) => "until it exists the rule has no effect".to_owned(),
    };
    list.error(UnresolvedReference, at, format_args!("there is no VirtualService {name}; {hint}"));
}

/// Whether following delegates from one VirtualService comes to another.
fn leads_back(mesh: &Mesh, from: &NamespacedName, to: &NamespacedName) -> bool {
    let mut seen = vec![from.clone()];
    let mut next = 0;
    while let Some(name) = seen.get(next).cloned() {
        if name == *to {
            return true;
        }
        next += 1;
        let further = mesh.written.virtual_services.get(&name);
        for (_, name) in further.iter().flat_map(|one| one.delegates()) {
            if !seen.contains(&name) && seen.len() < 100 {
                seen.push(name);
            }
        }
    }
    false
}
