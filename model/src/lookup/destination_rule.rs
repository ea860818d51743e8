//! Which DestinationRule a client uses for a service.

use std::sync::Arc;

use crate::config::MergedRule;
use crate::mesh::Mesh;
use crate::value::{ExportTo, Labels, by_host};

impl Mesh {
    /// The rule for a host, from the client's namespace, else the service's, else the root namespace; within each
    /// the most specific host wins, and a rule that selects the client wins over one for everybody.
    pub fn destination_rule(
        &self,
        client_namespace: &str,
        client_labels: &Labels,
        host: &str,
        service_namespace: &str,
    ) -> Option<&Arc<MergedRule>> {
        let root = &*self.settings.root_namespace;
        // Catch-all rules live in the root namespace; a gateway there still prefers rules made for the service,
        // unless a rule is private to the root namespace.
        let private_only = client_namespace == root;
        // A rule counts in its own namespace unless it says that it doesn't; the mesh's default has no part in that.
        let own = |rule: &MergedRule| rule.export_to.as_ref().is_none_or(|to| to.includes(client_namespace));
        self.rule_in(client_namespace, host, client_labels, |rule| {
            own(rule) && (!private_only || (rule.export_to.is_some() && !self.is_exported(rule, "*")))
        })
        .or_else(|| {
            self.rule_in(service_namespace, host, client_labels, |rule| {
                self.is_exported(rule, client_namespace)
            })
        })
        .or_else(|| self.rule_in(root, host, client_labels, |rule| self.is_exported(rule, client_namespace)))
    }

    fn is_exported(&self, rule: &MergedRule, namespace: &str) -> bool {
        let export_to = rule.export_to.as_ref().unwrap_or(&self.settings.destination_rule_export);
        match namespace {
            "*" => *export_to == ExportTo::Everyone,
            namespace => export_to.includes(namespace),
        }
    }

    fn rule_in(
        &self,
        namespace: &str,
        host: &str,
        client_labels: &Labels,
        visible: impl Fn(&MergedRule) -> bool,
    ) -> Option<&Arc<MergedRule>> {
        let hosts = self.destination_rules.get(namespace).filter(|_| self.discovers(namespace))?;
        by_host(hosts, host).find_map(|rules| {
            let mut visible =
                rules.iter().filter(|rule| visible(rule) && client_labels.satisfy(&rule.selector));
            let first = visible.next()?;
            if first.selector.is_empty() {
                Some(visible.find(|rule| !rule.selector.is_empty()).unwrap_or(first))
            } else {
                Some(first)
            }
        })
    }
}
