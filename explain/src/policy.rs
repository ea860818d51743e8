//! Which DestinationRule a client goes by, and what policy it comes to for one port.

use std::sync::Arc;

use crds::networking::TrafficPolicy;
use model::config::MergedRule;
use model::{ExportTo, is_wildcard};
use serde::Serialize;

use crate::claims::covers;
use crate::evaluator::View;
use crate::outcome::{Block, Policy, RuleUsed};

/// Where a rule was found.
type Place = &'static str;

/// The rule for a host: of the client's namespace, else of the service's, else of the root namespace. In each the most
/// particular host counts, whoever its rules are for, and of its rules one that selects the client, else the last one.
pub(crate) fn rule<'a>(
    view: &View<'a>,
    host: &str,
    service_namespace: &str,
) -> Option<(&'a Arc<MergedRule>, Place)> {
    let client = &*view.source.namespace;
    let root = &*view.mesh.settings.root_namespace;
    let default = &view.mesh.settings.destination_rule_export;
    let private = |rule: &MergedRule, namespace: &str| match &rule.export_to {
        Some(to) => *to == ExportTo::only(namespace),
        None => *default == ExportTo::only(""),
    };
    // A rule counts in its own namespace unless it says that it doesn't; the mesh's default has no part in that.
    let own = |rule: &MergedRule| rule.export_to.as_ref().is_none_or(|to| to.includes(client));
    // Rules for all of the mesh live in the root namespace; only private ones are meant for the gateways beside them.
    let of_client = |rule: &MergedRule| if client == root { private(rule, root) } else { own(rule) };
    if let Some(rules) = most_particular(view, client, host, of_client) {
        let selecting = rules.iter().find(|rule| rule.selects && view.source.labels.satisfy(&rule.selector));
        let rule = selecting.or_else(|| rules.iter().rfind(|rule| !rule.selects))?;
        return Some((*rule, "the client's namespace"));
    }
    let exported = |rule: &MergedRule| rule.export_to.as_ref().unwrap_or(default).includes(client);
    let elsewhere = [(service_namespace, "the service's namespace"), (root, "the root namespace")];
    elsewhere.into_iter().find_map(|(namespace, place)| {
        let rules = most_particular(view, namespace, host, |rule| !private(rule, namespace))?;
        Some((rules.into_iter().rfind(|rule| exported(rule))?, place))
    })
}

/// The rules that count, of the most particular host that has some.
fn most_particular<'a>(
    view: &View<'a>,
    namespace: &str,
    host: &str,
    counts: impl Fn(&MergedRule) -> bool,
) -> Option<Vec<&'a Arc<MergedRule>>> {
    let hosts = view.mesh.destination_rules.get(namespace).filter(|_| view.mesh.discovers(namespace))?;
    let mut fitting: Vec<_> = hosts.iter().filter(|(pattern, _)| covers(pattern, host)).collect();
    fitting.sort_by_key(|(pattern, _)| (is_wildcard(pattern), std::cmp::Reverse(pattern.len())));
    let all =
        fitting.into_iter().map(|(_, rules)| rules.iter().filter(|rule| counts(rule)).collect::<Vec<_>>());
    all.into_iter().find(|rules| !rules.is_empty())
}

/// As the decision shows it.
pub(crate) fn used(rule: &MergedRule, place: Place) -> RuleUsed {
    RuleUsed {
        objects: rule.sources.iter().map(ToString::to_string).collect(),
        host: rule.host.to_string(),
        found_in: place.to_owned(),
    }
}

/// The policy for a port of a subset: the subset's blocks over the rule's, where settings of a port stand in for all
/// others of their level, and what nobody says is as the mesh says.
pub(crate) fn effective(view: &View<'_>, rule: Option<&MergedRule>, subset: &str, port: u16) -> Policy {
    let of_rule = rule.and_then(|rule| rule.policy.as_deref());
    let mut policy = at(of_rule, port, "all subsets");
    if let Some(mesh) = &view.mesh.settings.config.default_traffic_policy {
        policy.connection_pool =
            policy.connection_pool.or_else(|| block("the mesh", mesh.connection_pool.as_ref()));
        policy.outlier_detection =
            policy.outlier_detection.or_else(|| block("the mesh", mesh.outlier_detection.as_ref()));
    }
    let of_subset =
        rule.and_then(|rule| rule.subset(subset)).and_then(|subset| subset.traffic_policy.as_ref());
    let Some(of_subset) = of_subset else { return policy };
    let over = at(Some(of_subset), port, &format!("subset {subset}"));
    if of_port(of_subset, port).is_some() {
        return over;
    }
    Policy {
        load_balancer: over.load_balancer.or(policy.load_balancer),
        connection_pool: over.connection_pool.or(policy.connection_pool),
        outlier_detection: over.outlier_detection.or(policy.outlier_detection),
        tls: over.tls.or(policy.tls),
    }
}

fn of_port(policy: &TrafficPolicy, port: u16) -> Option<&crds::networking::PortTrafficPolicy> {
    let number = |settings: &crds::networking::PortTrafficPolicy| settings.port.as_ref()?.number;
    policy.port_level_settings.iter().find(|settings| number(settings) == Some(port.into()))
}

fn at(policy: Option<&TrafficPolicy>, port: u16, level: &str) -> Policy {
    let Some(policy) = policy else { return Policy::default() };
    match of_port(policy, port) {
        Some(settings) => {
            let from =
                if level == "all subsets" { format!("port {port}") } else { format!("{level}, port {port}") };
            Policy {
                load_balancer: block(&from, settings.load_balancer.as_ref()),
                connection_pool: block(&from, settings.connection_pool.as_ref()),
                outlier_detection: block(&from, settings.outlier_detection.as_ref()),
                tls: block(&from, settings.tls.as_ref()),
            }
        }
        None => Policy {
            load_balancer: block(level, policy.load_balancer.as_ref()),
            connection_pool: block(level, policy.connection_pool.as_ref()),
            outlier_detection: block(level, policy.outlier_detection.as_ref()),
            tls: block(level, policy.tls.as_ref()),
        },
    }
}

fn block<T: Serialize>(from: &str, value: Option<&T>) -> Option<Block> {
    // What came from an object goes back into one.
    let value = serde_json::to_value(value?).unwrap_or_default();
    Some(Block { from: from.to_owned(), value })
}
