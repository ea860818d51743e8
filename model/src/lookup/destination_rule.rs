//! Which DestinationRule a client uses for a service.

use std::sync::Arc;

use crate::config::MergedRule;
use crate::mesh::{Aged, Mesh};
use crate::value::{Labels, by_host};

impl Mesh {
    /// The rule for a host, from the client's namespace, else the service's, else the root namespace.
    ///
    /// Within each the most specific host has the say, even where none of its rules is for the client: one for other
    /// workloads in the client's own namespace ends the search, one that is exported to others hides wider hosts.
    pub fn destination_rule(
        &self,
        client_namespace: &str,
        client_labels: &Labels,
        host: &str,
        service_namespace: &str,
    ) -> Option<&Arc<MergedRule>> {
        match self.own_rules(client_namespace, host) {
            Some(rules) => {
                let own = rules.iter().filter(|rule| self.is_own(rule, client_namespace));
                choose(own, client_labels)
            }
            None => self.exported_rule(client_namespace, host, service_namespace),
        }
    }

    /// The rule that a client has from other namespaces.
    pub(crate) fn exported_rule(
        &self,
        client_namespace: &str,
        host: &str,
        service_namespace: &str,
    ) -> Option<&Arc<MergedRule>> {
        [service_namespace, &self.settings.root_namespace].into_iter().find_map(|namespace| {
            let rules = self.exported_rules(namespace, host)?;
            rules
                .iter()
                .rfind(|rule| leaves(self, rule, namespace) && self.is_exported(rule, client_namespace))
        })
    }

    /// The rule that ends the search, or hides wider hosts, and is not for the client; given that it has none.
    pub(crate) fn hiding_rule(
        &self,
        client_namespace: &str,
        host: &str,
        service_namespace: &str,
    ) -> Option<&Arc<MergedRule>> {
        let own = self.own_rules(client_namespace, host);
        let exported = || {
            let namespaces = [service_namespace, &self.settings.root_namespace];
            namespaces.into_iter().find_map(|namespace| self.exported_rules(namespace, host))
        };
        own.or_else(exported)?.first()
    }

    /// Rules for the most specific host among those that a namespace has for its own clients.
    fn own_rules(&self, namespace: &str, host: &str) -> Option<&Aged<MergedRule>> {
        self.most_specific(namespace, host, |rule| self.is_own(rule, namespace))
    }

    /// Rules for the most specific host among those that a namespace has for others too.
    fn exported_rules(&self, namespace: &str, host: &str) -> Option<&Aged<MergedRule>> {
        self.most_specific(namespace, host, |rule| leaves(self, rule, namespace))
    }

    fn most_specific(
        &self,
        namespace: &str,
        host: &str,
        counts: impl Fn(&MergedRule) -> bool,
    ) -> Option<&Aged<MergedRule>> {
        let hosts = self.destination_rules.get(namespace).filter(|_| self.discovers(namespace))?;
        by_host(hosts, host).find(|rules| rules.iter().any(|rule| counts(rule)))
    }

    /// Whether a rule of the client's own namespace comes before all others. Rules for the whole mesh live in the root
    /// namespace; a gateway there takes those made for the service first, unless one is private to that namespace.
    fn is_own(&self, rule: &MergedRule, namespace: &str) -> bool {
        if *namespace == *self.settings.root_namespace {
            return !leaves(self, rule, namespace);
        }
        // A rule counts in its own namespace unless it says that it doesn't; the mesh's default has no part in that.
        rule.export_to.as_ref().is_none_or(|to| to.includes(namespace))
    }

    fn is_exported(&self, rule: &MergedRule, namespace: &str) -> bool {
        rule.export_to.as_ref().unwrap_or(&self.settings.destination_rule_export).includes(namespace)
    }
}

/// Whether a rule is not private to its namespace.
fn leaves(mesh: &Mesh, rule: &MergedRule, namespace: &str) -> bool {
    match &rule.export_to {
        Some(to) => !to.is_only(namespace),
        // The mesh's default is read in no namespace.
        None => !mesh.settings.destination_rule_export.is_only(""),
    }
}

/// The first that selects the client, else the last for everybody.
fn choose<'m>(
    rules: impl Iterator<Item = &'m Arc<MergedRule>>,
    client_labels: &Labels,
) -> Option<&'m Arc<MergedRule>> {
    let mut general = None;
    for rule in rules {
        if !rule.selects {
            general = Some(rule);
        } else if client_labels.satisfy(&rule.selector) {
            return Some(rule);
        }
    }
    general
}
