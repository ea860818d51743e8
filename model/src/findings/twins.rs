//! DestinationRules of one namespace for one host: which are merged, and which is used alone.

use super::FindingKind::Conflict;
use super::list::{At, List};
use super::places;
use crate::config::DestinationRule;
use crate::mesh::{Mesh, of_namespace};
use crate::value::{ExportTo, Service};

/// What becomes of a rule beside others for its host.
pub(super) fn look(mesh: &Mesh, rule: &DestinationRule, list: &mut List) {
    let key = (rule.meta.name.namespace.clone(), rule.host.clone());
    let all = mesh.written.rules_of.get(&key).into_iter().flat_map(|all| all.iter());
    for other in all.filter(|other| other.meta.name != rule.meta.name) {
        match (rule.selects, other.selects) {
            (false, false) if rule.export_to == other.export_to => merged(rule, other, list),
            (false, false) => exported_otherwise(mesh, rule, other, list),
            (true, true) if rule.selector == other.selector => merged(rule, other, list),
            (true, true) => {}
            (true, false) => taken_in(rule, other, list),
            (false, true) => list.info(
                Conflict,
                &At::spec().field("host"),
                format_args!(
                    "DestinationRule {} for the same host comes first for the workloads that it selects: {}",
                    other.meta.name,
                    places::shown(&other.selector)
                ),
            ),
        }
    }
}

/// Subsets add up; of everything else the oldest object's counts.
fn merged(rule: &DestinationRule, other: &DestinationRule, list: &mut List) {
    let name = &other.meta.name;
    let older = other.meta.age_order() < rule.meta.age_order();
    if older && rule.policy.is_some() && other.policy.is_some() {
        list.error(
            Conflict,
            &At::spec().field("trafficPolicy"),
            format_args!(
                "DestinationRule {name} for the same host is older, so its trafficPolicy counts and this one is \
                 ignored; subsets of both are used; move the policy there"
            ),
        );
    } else {
        list.info(
            Conflict,
            &At::spec().field("host"),
            format_args!("merged with DestinationRule {name} for the same host"),
        );
    }
    for (index, subset) in rule.subsets.iter().enumerate().filter(|_| older) {
        if other.subsets.iter().any(|known| known.name == subset.name) {
            list.error(
                Conflict,
                &At::spec().item("subsets", index).field("name"),
                format_args!(
                    "DestinationRule {name} is older and has a subset {} too, which counts; this one is ignored",
                    subset.name
                ),
            );
        }
    }
}

/// Who sees both has the younger one alone, unless it lists all that the older one lists.
fn exported_otherwise(mesh: &Mesh, rule: &DestinationRule, other: &DestinationRule, list: &mut List) {
    let younger = other.meta.age_order() > rule.meta.age_order();
    if !younger || !exposure(mesh, rule).meets(&exposure(mesh, other)) {
        return;
    }
    let lists_more =
        matches!((&other.export_to, &rule.export_to), (Some(of), Some(own)) if of.lists_all_of(own));
    let at = At::spec().field("host");
    let name = &other.meta.name;
    if lists_more {
        let said = format_args!(
            "DestinationRule {name} for the same host, exported to more namespaces, is merged in"
        );
        return list.info(Conflict, &at, said);
    }
    list.warning(
        Conflict,
        &at,
        format_args!(
            "DestinationRule {name} for the same host is younger and exported to others: clients that see both use \
             that one alone; make the two one rule, or give both the same exportTo to have them merged"
        ),
    );
}

/// A rule for certain workloads beside one for everybody.
fn taken_in(rule: &DestinationRule, other: &DestinationRule, list: &mut List) {
    let (namespace, name) = (&rule.meta.name.namespace, &other.meta.name);
    let lists = other.export_to.as_ref().is_some_and(|to| to.lists_all_of(&ExportTo::only(namespace)));
    let at = At::spec().field("host");
    if lists {
        list.info(Conflict, &at, format_args!("DestinationRule {name} for the same host is merged in"));
    } else {
        list.info(
            Conflict,
            &at,
            format_args!(
                "workloads that it selects use nothing of DestinationRule {name} for the same host; list {namespace} \
                 in that one's exportTo to have it merged in"
            ),
        );
    }
}

/// What a rule for certain workloads means for others of its namespace: it may take away the rule that they had.
pub(super) fn selecting(mesh: &Mesh, rule: &DestinationRule, service: Option<&Service>, list: &mut List) {
    let Some(service) = service.filter(|_| rule.selects) else { return };
    let namespace = &rule.meta.name.namespace;
    let mut workloads = of_namespace(&mesh.workloads, namespace);
    let (host, of) = (&*service.key.host, &*service.key.namespace);
    let key = (namespace.clone(), rule.host.clone());
    let mut beside = mesh.written.rules_of.get(&key).into_iter().flat_map(|all| all.iter());
    if beside.any(|other| !other.selects && is_own(mesh, other))
        || workloads.all(|workload| workload.labels.satisfy(&rule.selector))
    {
        return;
    }
    if let Some(hidden) = mesh.exported_rule(namespace, host, of) {
        list.warning(
            Conflict,
            &At::spec().field("workloadSelector"),
            format_args!(
                "other workloads of {namespace} use no rule for {host}, not even DestinationRule {}, because rules of \
                 their own namespace end the search; add one without workloadSelector for them",
                places::source(hidden)
            ),
        );
    }
}

/// Whether a rule comes before those of other namespaces for clients of its own.
fn is_own(mesh: &Mesh, rule: &DestinationRule) -> bool {
    let namespace = &rule.meta.name.namespace;
    let to = exposure(mesh, rule);
    if *namespace == mesh.settings.root_namespace { to.is_only(namespace) } else { to.includes(namespace) }
}

/// Who sees a rule. Its own namespace does where nothing is written.
fn exposure(mesh: &Mesh, rule: &DestinationRule) -> ExportTo {
    let default = || {
        let default = &mesh.settings.destination_rule_export;
        if default.is_only("") { ExportTo::only(&rule.meta.name.namespace) } else { default.clone() }
    };
    rule.export_to.clone().unwrap_or_else(default)
}
