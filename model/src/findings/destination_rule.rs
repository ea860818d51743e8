//! DestinationRules.

use std::sync::Arc;

use super::FindingKind::{Conflict, Empty, Ignored, Misplaced, UnresolvedReference};
use super::list::{At, List};
use super::{hosts, mutual_tls, places, twins};
use crate::config::DestinationRule;
use crate::mesh::{Mesh, of_namespace};
use crate::value::{ExportTo, Labels, NamespacedName, Service, host_candidates, host_matches, is_wildcard};

pub(super) fn look(mesh: &Mesh, rule: &DestinationRule, list: &mut List) {
    let namespace = &rule.meta.name.namespace;
    let at = At::spec();
    let service = host(mesh, rule, &at.field("host"), list);
    twins::look(mesh, rule, list);
    narrower(mesh, rule, &at.field("host"), list);
    if let Some(service) = service {
        place(mesh, rule, service, &at.field("host"), list);
        ports(rule, service, list);
        mutual_tls::look(mesh, rule, service, list);
    }
    subsets(mesh, rule, service, list);
    twins::selecting(mesh, rule, service.map(|service| &**service), list);
    places::selects(mesh, namespace, &rule.selector, &at.field("workloadSelector"), list);
    places::exports(mesh, rule.export_to.as_ref(), list);
}

/// The service that it is for; none for wildcards too.
fn host<'m>(mesh: &'m Mesh, rule: &DestinationRule, at: &At, list: &mut List) -> Option<&'m Arc<Service>> {
    let namespace = &rule.meta.name.namespace;
    if !is_wildcard(&rule.host) {
        // Clients elsewhere may see what this namespace does not.
        let visible = |one: &&Arc<Service>| mesh.is_service_exported(one, namespace);
        let found =
            mesh.services_of(&rule.host).find(visible).or_else(|| mesh.services_of(&rule.host).next());
        if found.is_none() {
            let (kind, hint) = hosts::hint(mesh, &rule.host, namespace);
            list.warning(
                kind,
                at,
                format_args!("no service has the host {}, so that nothing uses the rule{hint}", rule.host),
            );
        }
        return found;
    }
    if !mesh.services.keys().any(|key| host_matches(&rule.host, &key.host)) {
        list.warning(
            Empty,
            at,
            format_args!("no service has a host like {}, so that nothing uses the rule", rule.host),
        );
    }
    None
}

/// A wider rule of the namespace, of which nothing is inherited.
fn narrower(mesh: &Mesh, rule: &DestinationRule, at: &At, list: &mut List) {
    let Some(hosts) = mesh.destination_rules.get(&rule.meta.name.namespace) else { return };
    let wider = host_candidates(&rule.host).filter(|candidate| **candidate != *rule.host);
    let wider = wider.filter_map(|candidate| hosts.get(candidate.as_str())).flat_map(|all| all.iter()).next();
    if let Some(wider) = wider {
        let others = match rule.export_to {
            Some(ExportTo::Namespaces(_)) if !rule.selects => {
                ", not even by clients that this one is not exported to"
            }
            _ => "",
        };
        list.info(
            Conflict,
            at,
            format_args!(
                "DestinationRule {} is for {}; of it nothing is used for {}{others}",
                places::source(wider),
                wider.host,
                rule.host
            ),
        );
    }
}

/// Rules are looked up in the client's namespace, in the service's and in the root namespace.
fn place(mesh: &Mesh, rule: &DestinationRule, service: &Service, at: &At, list: &mut List) {
    let (namespace, of) = (&rule.meta.name.namespace, &service.key.namespace);
    if namespace == of || *namespace == mesh.settings.root_namespace {
        return;
    }
    let clients = of_namespace(&mesh.workloads, namespace).next().is_some();
    let root = &mesh.settings.root_namespace;
    if clients {
        list.info(
            Misplaced,
            at,
            format_args!(
                "only clients in namespace {namespace} use it, because others look for rules in their own namespace, \
                 in {of} and in {root}"
            ),
        );
    } else {
        list.warning(
            Misplaced,
            at,
            format_args!(
                "nobody uses it: clients look for rules in their own namespace, in {of} and in {root}, and there are \
                 no workloads in {namespace}; move it to {of}"
            ),
        );
    }
}

fn ports(rule: &DestinationRule, service: &Service, list: &mut List) {
    let of_subsets = rule.subsets.iter().enumerate().filter_map(|(index, subset)| {
        let at = At::spec().item("subsets", index).field("trafficPolicy");
        Some((at, subset.traffic_policy.as_ref()?))
    });
    let own = rule.policy.as_deref().map(|policy| (At::spec().field("trafficPolicy"), policy));
    for (at, policy) in own.into_iter().chain(of_subsets) {
        for (index, settings) in policy.port_level_settings.iter().enumerate() {
            let number = settings.port.as_ref().and_then(|port| port.number).unwrap_or_default();
            if !service.ports.iter().any(|port| u32::from(port.number) == number) {
                let known: Vec<_> = service.ports.iter().map(|port| port.number.to_string()).collect();
                list.warning(
                    UnresolvedReference,
                    &at.item("portLevelSettings", index).field("port.number"),
                    format_args!(
                        "{} has no port {number}; its ports are {}",
                        service.key.host,
                        known.join(", ")
                    ),
                );
            }
        }
    }
}

fn subsets(mesh: &Mesh, rule: &DestinationRule, service: Option<&Arc<Service>>, list: &mut List) {
    for (index, subset) in rule.subsets.iter().enumerate() {
        let at = At::spec().item("subsets", index);
        let labels = Labels::new(&subset.labels);
        let wrong = |service: &&Arc<Service>| {
            !labels.is_empty()
                && hosts::has_endpoints(mesh, service, &Labels::default())
                && !hosts::has_endpoints(mesh, service, &labels)
        };
        if let Some(service) = service.filter(wrong) {
            list.warning(
                Empty,
                &at.field("labels"),
                format_args!("no endpoint of {} has the labels {}", service.key.host, places::shown(&labels)),
            );
        }
        if subset.traffic_policy.is_some() && !is_wildcard(&rule.host) && !is_used(mesh, rule, &subset.name) {
            list.info(
                Ignored,
                &at.field("trafficPolicy"),
                format_args!(
                    "no VirtualService sends requests to the subset {}, and only those have its policy",
                    subset.name
                ),
            );
        }
    }
}

fn is_used(mesh: &Mesh, rule: &DestinationRule, subset: &str) -> bool {
    let names = mesh.routes_to.get(&rule.host).into_iter().flatten();
    let names = names.filter_map(|name: &NamespacedName| mesh.virtual_services.get(name));
    let leads =
        |to: &crds::networking::Destination| *to.host == *rule.host && to.subset.as_deref() == Some(subset);
    names.into_iter().any(|service| {
        let http = service.spec.http.iter().any(|of| {
            of.route.iter().any(|route| leads(&route.destination))
                || of.mirror.as_ref().is_some_and(leads)
                || of.mirrors.iter().any(|mirror| leads(&mirror.destination))
        });
        let tls = service.spec.tls.iter().flat_map(|of| &of.route);
        http || tls
            .chain(service.spec.tcp.iter().flat_map(|of| &of.route))
            .any(|route| leads(&route.destination))
    })
}
