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
    /// Who sees it; none means the mesh's default.
    pub export_to: Option<ExportTo>,
    /// Clients it is for; empty means all.
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
        Self {
            host: resolve_host(&spec.host, namespace, domain),
            export_to: ExportTo::parse(&spec.export_to, namespace),
            selector: Labels::of(selector),
            policy: spec.traffic_policy.map(Arc::new),
            subsets: spec.subsets,
            meta,
        }
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
    /// The objects it is made of, oldest first.
    pub sources: Vec<NamespacedName>,
    /// The host, which may be a wildcard.
    pub host: Text,
    /// Who sees it; none means the mesh's default.
    pub export_to: Option<ExportTo>,
    /// Clients it is for; empty means all.
    pub selector: Labels,
    /// Policy for the whole host.
    pub policy: Option<Arc<TrafficPolicy>>,
    /// Subsets, each name once.
    pub subsets: Vec<Subset>,
}

impl MergedRule {
    /// Merges rules for one host, given oldest first.
    pub fn merge(rules: &[Arc<DestinationRule>]) -> Vec<Self> {
        let mut merged: Vec<Self> = Vec::new();
        for rule in rules {
            let same = |into: &&mut Self| into.selector == rule.selector && into.export_to == rule.export_to;
            match merged.iter_mut().find(same) {
                Some(into) => into.add(rule),
                None => merged.push(Self {
                    sources: vec![rule.meta.name.clone()],
                    host: rule.host.clone(),
                    export_to: rule.export_to.clone(),
                    selector: rule.selector.clone(),
                    policy: rule.policy.clone(),
                    subsets: rule.subsets.clone(),
                }),
            }
        }
        merged
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
