//! Namespaces, selectors and rules, as several kinds need them.

use std::sync::Arc;

use super::FindingKind::{Empty, Ignored};
use super::list::{At, List};
use crate::config::MergedRule;
use crate::mesh::{Mesh, of_namespace};
use crate::value::{ExportTo, Labels, Text, host_candidates, is_exported};

/// Namespaces of `exportTo` that do not exist. Where no namespace is known, as in a folder without them, all may.
pub(super) fn exports(mesh: &Mesh, export_to: Option<&ExportTo>, list: &mut List) {
    let Some(ExportTo::Namespaces(namespaces)) = export_to else { return };
    for name in
        namespaces.iter().filter(|name| !mesh.namespaces.is_empty() && !mesh.namespaces.contains_key(*name))
    {
        let known: Vec<&str> = mesh.namespaces.keys().map(|known| &**known).collect();
        let hint =
            crds::closest(name, &known).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        list.warning(
            Ignored,
            &At::spec().field("exportTo"),
            format_args!("there is no namespace {name}{hint}"),
        );
    }
}

/// Whom an object is exported to, if it says so, and its namespace.
type Exported<'a> = (Option<&'a ExportTo>, &'a Text);

/// Whether some namespace sees both of two objects.
pub(super) fn seen_together(default: &ExportTo, one: Exported<'_>, other: Exported<'_>) -> bool {
    let sees = |(said, own): Exported<'_>, namespace| is_exported(said, default, own, namespace);
    // Everybody else sees what these see.
    let mut some = [one, other].into_iter().flat_map(|(said, own)| {
        let listed = match said {
            Some(ExportTo::Namespaces(listed)) => Some(listed),
            _ => None,
        };
        listed.into_iter().flatten().chain([own])
    });
    some.any(|namespace| sees(one, namespace) && sees(other, namespace))
}

/// A selector that selects no workload of its namespace.
pub(super) fn selects(mesh: &Mesh, namespace: &Text, selector: &Labels, at: &At, list: &mut List) {
    if !selector.is_empty()
        && !of_namespace(&mesh.workloads, namespace).any(|workload| workload.labels.satisfy(selector))
    {
        list.warning(
            Empty,
            at,
            format_args!(
                "no workload of namespace {namespace} has the labels {}, so that nothing is selected now",
                shown(selector)
            ),
        );
    }
}

/// `app=reviews, version=v1`.
pub(super) fn shown(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

/// Every DestinationRule for a host, whoever uses it, wildcards included.
pub(super) fn rules_for<'m>(mesh: &'m Mesh, host: &'m str) -> impl Iterator<Item = &'m Arc<MergedRule>> {
    mesh.destination_rules.values().flat_map(move |hosts| {
        host_candidates(host).filter_map(|candidate| hosts.get(candidate.as_str())).flat_map(|all| all.iter())
    })
}

/// The name of a rule's oldest object.
pub(super) fn source(rule: &MergedRule) -> String {
    rule.sources.first().map(ToString::to_string).unwrap_or_default()
}
