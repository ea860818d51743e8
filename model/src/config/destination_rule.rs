//! DestinationRule, as written and merged with others for the same host.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::networking::{DestinationRuleSpec, Subset, TrafficPolicy};

use crate::value::{ExportTo, Labels, Meta, NamespacedName, Text, intern, resolve_host};

/// How clients talk to a host.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationRule {
    /// Identity and age.
    pub meta: Meta,
    /// The host, fully qualified; may be a wildcard.
    pub host: Text,
    /// Who sees it; none means the mesh's default. One for certain workloads is its own namespace's, whatever is written.
    pub export_to: Option<ExportTo>,
    /// Whether it is for certain workloads of its namespace.
    pub selects: bool,
    /// Labels of these; a selector without any selects all.
    pub selector: Labels,
    /// Policy for the whole host.
    pub policy: Option<Arc<TrafficPolicy>>,
    /// Subsets.
    pub subsets: Vec<Subset>,
}

impl DestinationRule {
    /// Resolves what is written relative to the object's namespace.
    pub fn new(meta: Meta, spec: DestinationRuleSpec, domain: &str) -> Self {
        let namespace = &meta.name.namespace;
        let selector = spec.workload_selector.as_ref().map(|selector| &selector.match_labels);
        let own = selector.map(|_| ExportTo::only(namespace));
        Self {
            host: resolve_host(&spec.host, namespace, domain),
            export_to: own.or_else(|| ExportTo::parse(&spec.export_to, namespace)),
            selects: selector.is_some(),
            selector: Labels::of(selector),
            policy: spec.traffic_policy.map(Arc::new),
            subsets: spec.subsets,
            meta,
        }
    }

    /// Whether it is exported, by a list, to every namespace that another rule's list has.
    fn lists_all_of(&self, other: &MergedRule) -> bool {
        let (Some(own), Some(other)) = (&self.export_to, &other.export_to) else { return false };
        own.lists_all_of(other)
    }

    /// Keys of client labels that it asks for: its selector's, and those that failover goes by.
    pub(crate) fn label_keys(&self) -> Vec<Text> {
        let policies = self.policy.as_deref().into_iter();
        let policies =
            policies.chain(self.subsets.iter().filter_map(|subset| subset.traffic_policy.as_ref()));
        let balancers = policies.flat_map(|policy| {
            let of_ports = policy.port_level_settings.iter().filter_map(|port| port.load_balancer.as_ref());
            policy.load_balancer.iter().chain(of_ports)
        });
        let priorities = balancers
            .filter_map(|balancer| balancer.locality_lb_setting.as_ref())
            .flat_map(|setting| &setting.failover_priority)
            .map(|entry| intern(entry.split('=').next().unwrap_or_default()));
        let keys: BTreeSet<Text> =
            self.selector.iter().map(|(key, _)| key.clone()).chain(priorities).collect();
        keys.into_iter().collect()
    }
}

/// Rules of one namespace for the same host, exposure and selector: subsets add up, the oldest policy counts.
#[derive(Clone, Debug, PartialEq)]
pub struct MergedRule {
    /// The objects it is made of, the one that counts most first.
    pub sources: Vec<NamespacedName>,
    /// The host, which may be a wildcard.
    pub host: Text,
    /// Who sees it; none means the mesh's default.
    pub export_to: Option<ExportTo>,
    /// Whether it is for certain workloads of its namespace.
    pub selects: bool,
    /// Labels of these; a selector without any selects all.
    pub selector: Labels,
    /// Policy for the whole host.
    pub policy: Option<Arc<TrafficPolicy>>,
    /// Subsets, each name once.
    pub subsets: Vec<Subset>,
}

impl MergedRule {
    /// Merges rules of one namespace for one host, given oldest first.
    ///
    /// Those for certain workloads come first, oldest first. Of the others that a client sees the last one is its rule,
    /// which of different `exportTo`s is the youngest. One whose `exportTo` lists more than an older one's is added to
    /// that one too, and comes before it. So it is in Istio, but for a rule that is exported exactly as one for certain
    /// workloads is, or lists more than an older one: there it is added and then lost to all others; here they keep it.
    pub fn merge(rules: &[Arc<DestinationRule>]) -> Vec<Self> {
        let (selecting, general): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.selects);
        let mut chosen: Vec<Self> = Vec::new();
        for rule in selecting {
            match chosen.iter_mut().find(|into| into.selector == rule.selector) {
                Some(into) => into.add(rule),
                None => chosen.push(Self::of(rule)),
            }
        }
        let mut open: Vec<Self> = Vec::new();
        for rule in general {
            chosen.iter_mut().filter(|into| rule.lists_all_of(into)).for_each(|into| into.add(rule));
            let (mut added, mut alike) = (false, false);
            let alike_or_narrower =
                |into: &&mut Self| into.export_to == rule.export_to || rule.lists_all_of(into);
            for into in open.iter_mut().filter(alike_or_narrower) {
                into.add(rule);
                added = true;
                alike |= into.export_to == rule.export_to;
            }
            match (alike, added) {
                (true, _) => {}
                (false, true) => open.insert(0, Self::of(rule)),
                (false, false) => open.push(Self::of(rule)),
            }
        }
        chosen.extend(open);
        chosen
    }

    fn of(rule: &DestinationRule) -> Self {
        Self {
            sources: vec![rule.meta.name.clone()],
            host: rule.host.clone(),
            export_to: rule.export_to.clone(),
            selects: rule.selects,
            selector: rule.selector.clone(),
            policy: rule.policy.clone(),
            subsets: rule.subsets.clone(),
        }
    }

    fn add(&mut self, rule: &DestinationRule) {
        self.sources.push(rule.meta.name.clone());
        if self.policy.is_none() {
            self.policy.clone_from(&rule.policy);
        }
        for subset in &rule.subsets {
            if self.subset(&subset.name).is_none() {
                self.subsets.push(subset.clone());
            }
        }
    }

    /// A subset by name.
    pub fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Merged from rules named by their place, oldest first: who sees each, and what it is made of.
    fn merged(specs: &[Value]) -> Vec<(Option<ExportTo>, bool, Vec<String>)> {
        let rules = (0..).zip(specs).map(|(age, spec)| {
            let meta = Meta { name: NamespacedName::new("shop", &format!("r{age}")), created: age };
            let mut spec = spec.clone();
            spec["host"] = "a".into();
            Arc::new(DestinationRule::new(meta, serde_json::from_value(spec).unwrap(), "cluster.local"))
        });
        let names = |rule: &MergedRule| rule.sources.iter().map(|name| name.name.to_string()).collect();
        MergedRule::merge(&rules.collect::<Vec<_>>())
            .into_iter()
            .map(|rule| (rule.export_to.clone(), rule.selects, names(&rule)))
            .collect()
    }

    fn to(namespaces: &[&str]) -> Option<ExportTo> {
        ExportTo::parse(namespaces, "shop")
    }

    fn of(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn rules_are_merged_where_they_are_exported_alike() {
        assert_eq!(
            merged(&[json!({}), json!({"exportTo": ["x"]}), json!({}), json!({"exportTo": ["*"]})]),
            [
                (None, false, of(&["r0", "r2"])),
                (to(&["x"]), false, of(&["r1"])),
                (to(&["*"]), false, of(&["r3"]))
            ]
        );
        // Who sees the older one has both; the others that the younger is for have it alone.
        assert_eq!(
            merged(&[json!({"exportTo": ["x"]}), json!({"exportTo": ["x", "y"]})]),
            [(to(&["x", "y"]), false, of(&["r1"])), (to(&["x"]), false, of(&["r0", "r1"]))]
        );
        assert_eq!(
            merged(&[json!({"exportTo": ["x", "y"]}), json!({"exportTo": ["x"]})]),
            [(to(&["x", "y"]), false, of(&["r0"])), (to(&["x"]), false, of(&["r1"]))]
        );
    }

    #[test]
    fn rules_for_certain_workloads_take_in_those_that_name_their_namespace() {
        let some = json!({"workloadSelector": {"matchLabels": {"app": "a"}}, "exportTo": ["*"]});
        let others = json!({"workloadSelector": {"matchLabels": {"app": "b"}}});
        assert_eq!(
            merged(&[json!({}), json!({"exportTo": [".", "x"]}), some.clone(), others, some]),
            [
                (to(&["."]), true, of(&["r2", "r4", "r1"])),
                (to(&["."]), true, of(&["r3", "r1"])),
                (None, false, of(&["r0"])),
                (to(&[".", "x"]), false, of(&["r1"])),
            ]
        );
        let all = json!({"workloadSelector": {"matchLabels": {}}});
        assert_eq!(
            merged(&[json!({"exportTo": ["."]}), all]),
            [(to(&["."]), true, of(&["r1", "r0"])), (to(&["."]), false, of(&["r0"]))]
        );
    }
}
