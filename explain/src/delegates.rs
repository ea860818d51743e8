//! Rules that are left to another VirtualService.
//!
//! A rule of the delegate counts where each of its conditions lies within one of the root's: it must be certain that
//! what satisfies the one satisfies the other, which nobody knows of regular expressions.

use std::collections::BTreeMap;

use crds::networking::{HttpMatchRequest, HttpRoute, StringMatch};
use model::NamespacedName;
use model::config::VirtualService;

use crate::evaluator::View;
use crate::rules::{Condition, Rule};

/// The delegate's rules with their conditions, under a rule of the root.
pub(crate) fn rules<'a>(
    view: &View<'a>,
    root: &VirtualService,
    written: &'a HttpRoute,
    notes: &mut Vec<String>,
) -> Vec<(Rule<'a>, Vec<Condition<'a>>)> {
    let Some(named) = &written.delegate else { return Vec::new() };
    let own = &root.meta.name.namespace;
    let namespace = named.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or(own);
    let name = NamespacedName::new(namespace, named.name.as_deref().unwrap_or_default());
    let Some(delegate) = view.mesh.virtual_services.get(&name).filter(|service| service.hosts.is_empty())
    else {
        let what = match view.mesh.virtual_services.get(&name) {
            Some(_) => "has hosts of its own, and so is no delegate",
            None => "does not exist",
        };
        notes.push(format!("{} leaves a rule to {name}, which {what}", root.meta.name));
        return Vec::new();
    };
    if !view.mesh.is_virtual_service_exported(delegate, own) {
        notes.push(format!("{} leaves a rule to {name}, whose exportTo leaves out {own}", root.meta.name));
        return Vec::new();
    }
    let mut all = Vec::new();
    for (position, rule) in delegate.spec.http.iter().enumerate() {
        match conditions(&written.matches, &rule.matches) {
            Some(conditions) => {
                let rule = Rule { root: Some(written), own: rule, delegate: Some(name.clone()), number: 0 };
                all.push((rule, conditions));
            }
            None => notes.push(format!(
                "rule {position} of {name} asks for what the rule of {} that leads there excludes, and is left out",
                root.meta.name
            )),
        }
    }
    all
}

/// Each condition of the delegate within each of the root's that it can lie in; none if one lies in none.
fn conditions<'a>(root: &'a [HttpMatchRequest], own: &'a [HttpMatchRequest]) -> Option<Vec<Condition<'a>>> {
    if root.is_empty() && own.is_empty() {
        return Some(vec![Condition { root: None, own: None }]);
    }
    if own.is_empty() {
        return Some(root.iter().map(|it| Condition { root: None, own: Some(it) }).collect());
    }
    if root.is_empty() {
        return Some(own.iter().map(|it| Condition { root: None, own: Some(it) }).collect());
    }
    let mut all = Vec::new();
    for inner in own {
        let outers: Vec<_> = root.iter().filter(|outer| within(inner, outer)).collect();
        if outers.is_empty() {
            return None;
        }
        all.extend(outers.into_iter().map(|outer| Condition { root: Some(outer), own: Some(inner) }));
    }
    Some(all)
}

/// Whether a condition certainly lies within another.
fn within(own: &HttpMatchRequest, root: &HttpMatchRequest) -> bool {
    let case = |condition: &HttpMatchRequest| condition.ignore_uri_case == Some(true);
    let port = |condition: &HttpMatchRequest| condition.port.filter(|port| *port != 0);
    let namespace =
        |condition: &HttpMatchRequest| condition.source_namespace.clone().filter(|it| !it.is_empty());
    text_within(own.uri.as_ref(), root.uri.as_ref())
        && text_within(own.scheme.as_ref(), root.scheme.as_ref())
        && text_within(own.method.as_ref(), root.method.as_ref())
        && text_within(own.authority.as_ref(), root.authority.as_ref())
        && texts_within(&own.headers, &root.headers)
        && texts_within(&own.without_headers, &root.without_headers)
        && texts_within(&own.query_params, &root.query_params)
        && case(own) == case(root)
        && same_or_open(port(own), port(root))
        && same_or_open(namespace(own), namespace(root))
        && root
            .source_labels
            .iter()
            .all(|(key, value)| own.source_labels.get(key).is_none_or(|it| it == value))
        && (root.gateways.is_empty() || own.gateways.iter().all(|gateway| root.gateways.contains(gateway)))
}

fn same_or_open<T: PartialEq>(own: Option<T>, root: Option<T>) -> bool {
    own.is_none() || root.is_none() || own == root
}

fn texts_within(own: &BTreeMap<String, StringMatch>, root: &BTreeMap<String, StringMatch>) -> bool {
    root.iter().all(|(name, outer)| own.get(name).is_none_or(|inner| text_within(Some(inner), Some(outer))))
}

fn text_within(own: Option<&StringMatch>, root: Option<&StringMatch>) -> bool {
    let (Some(own), Some(root)) = (own, root) else { return true };
    if let Some(root) = &root.exact {
        return own.exact.as_ref() == Some(root);
    }
    let Some(root) = &root.prefix else { return false };
    own.exact.as_ref().or(own.prefix.as_ref()).is_some_and(|own| own.starts_with(root))
}
