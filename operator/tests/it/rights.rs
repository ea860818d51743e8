//! Rights: the operator may do what it grants, and every right is explained.

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::core::ResourceExt;
use operator::plan::{FOREIGN_KINDS, KINDS};
use serde_json::json;

use crate::support::{id, objects};

const OPERATOR: &str = include_str!("../../../charts/trysail/files/operator-rules.yaml");
const EXPLAINED: &str = include_str!("../../../docs/rbac.md");

fn operator_rules() -> Vec<PolicyRule> {
    let value: serde_json::Value = serde_saphyr::from_str(OPERATOR).unwrap();
    serde_json::from_value(value).unwrap()
}

/// Rules of every role that the operator makes, each with the role's name.
fn granted() -> Vec<(String, PolicyRule)> {
    let roles = objects(json!({"profile": "demo"}));
    let roles = roles
        .iter()
        .filter(|object| id(object).starts_with("Role ") || id(object).starts_with("ClusterRole "));
    roles
        .flat_map(|role| {
            let rules: Vec<PolicyRule> = serde_json::from_value(role.data["rules"].clone()).unwrap();
            rules.into_iter().map(|rule| (role.name_any(), rule))
        })
        .collect()
}

/// One right: group, resource, verb, and the name it is limited to.
type Right = (String, String, String, Option<String>);

fn rights(rule: &PolicyRule) -> Vec<Right> {
    let names: Vec<Option<String>> = match rule.resource_names.as_deref() {
        Some(names) if !names.is_empty() => names.iter().cloned().map(Some).collect(),
        _ => vec![None],
    };
    let mut all = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                all.extend(
                    names.iter().map(|name| (group.clone(), resource.clone(), verb.clone(), name.clone())),
                );
            }
        }
    }
    all
}

fn covers(rules: &[PolicyRule], (group, resource, verb, name): &Right) -> bool {
    rules.iter().any(|rule| {
        let unlimited = rule.resource_names.as_deref().is_none_or(<[_]>::is_empty);
        let named =
            name.as_ref().is_some_and(|name| rule.resource_names.iter().flatten().any(|own| own == name));
        rule.api_groups.iter().flatten().any(|own| own == group)
            && rule.resources.iter().flatten().any(|own| own == resource)
            && rule.verbs.contains(verb)
            && (unlimited || named)
    })
}

#[test]
fn the_operator_holds_every_right_that_it_grants() {
    let own = operator_rules();
    for (role, rule) in granted() {
        for right in rights(&rule) {
            assert!(
                covers(&own, &right),
                "{role} grants {right:?}, which charts/trysail/files/operator-rules.yaml lacks"
            );
        }
    }
}

#[test]
fn the_operator_may_handle_every_kind_that_it_makes() {
    let own = operator_rules();
    for kind in KINDS {
        for verb in ["get", "list", "watch", "create", "patch", "delete"] {
            let right = (kind.group.to_owned(), kind.plural.to_owned(), verb.to_owned(), None);
            assert!(covers(&own, &right), "{right:?}");
        }
    }
    for kind in FOREIGN_KINDS.iter().filter(|kind| !kind.group.ends_with("istio.io")) {
        let right = (kind.group.to_owned(), kind.plural.to_owned(), "list".to_owned(), None);
        assert!(covers(&own, &right), "{right:?}");
    }
}

#[test]
fn nobody_gets_everything() {
    let mut all = granted();
    all.extend(operator_rules().into_iter().map(|rule| ("trysail-operator".to_owned(), rule)));
    for (role, rule) in all {
        assert!(
            !rule.verbs.iter().any(|verb| ["*", "escalate", "bind", "impersonate"].contains(&verb.as_str())),
            "{role}"
        );
        assert!(!rule.api_groups.iter().flatten().any(|group| group == "*"), "{role}");
        let everything = |resource: &&String| resource.split('/').any(|part| part == "*");
        assert_eq!(rule.resources.iter().flatten().find(everything), None, "{role}");
    }
}

#[test]
fn the_control_plane_may_read_every_rule_of_the_mesh_and_no_other_kind_of_istio() {
    let rules: Vec<_> =
        granted().into_iter().filter(|(role, _)| role.starts_with("istiod-clusterrole")).collect();
    let rules: Vec<_> = rules.into_iter().map(|(_, rule)| rule).collect();
    let known: Vec<_> = crds::definition::DEFINITIONS
        .iter()
        .filter(|known| known.group.ends_with(".istio.io"))
        .map(|known| (known.group, known.plural))
        .collect();
    for (group, plural) in &known {
        for verb in ["get", "list", "watch"] {
            let right = ((*group).to_owned(), (*plural).to_owned(), verb.to_owned(), None);
            assert!(covers(&rules, &right), "{right:?}");
        }
    }
    let of_istio = rules.iter().flat_map(rights).filter(|(group, ..)| group.ends_with(".istio.io"));
    for (group, resource, ..) in of_istio {
        let kind = resource.split('/').next().unwrap_or_default();
        assert!(known.contains(&(group.as_str(), kind)), "{group}/{resource}");
    }
}

#[test]
fn every_right_is_explained() {
    let own = operator_rules().into_iter().map(|rule| ("trysail-operator".to_owned(), rule));
    for (role, rule) in granted().into_iter().chain(own) {
        for resource in rule.resources.iter().flatten() {
            assert!(
                EXPLAINED.contains(&format!("`{resource}`")),
                "docs/rbac.md does not explain `{resource}` of {role}"
            );
        }
        for name in rule.resource_names.iter().flatten() {
            assert!(
                EXPLAINED.contains(&format!("`{name}`")),
                "docs/rbac.md does not explain `{name}` of {role}"
            );
        }
    }
}
