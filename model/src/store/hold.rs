//! Rules that wait. A VirtualService may be applied before the DestinationRule, Service or Deployment that it leads to;
//! taking effect at once, it would send requests to nowhere. So it is held until every destination that it newly names
//! has a subset and an endpoint; until then its predecessor, or no rule, goes on. Whoever owns the store decides whether
//! rules are held at all, and for how long: [`Store::release`] puts one into effect as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crds::networking::Destination;

use super::Store;
use crate::changes::{Change, Changes};
use crate::config::VirtualService;
use crate::mesh::Mesh;
use crate::value::{
    Labels, NamespacedName, Resolution, ServiceKey, Text, host_candidates, intern, is_wildcard,
};

/// Why a rule waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// No service has the host.
    Service(Text),
    /// No DestinationRule for the host has the subset.
    Subset(Text, Text),
    /// The host, or its subset, has no endpoint.
    Endpoints(Text, Text),
}

impl Missing {
    fn host(&self) -> &Text {
        match self {
            Self::Service(host) | Self::Subset(host, _) | Self::Endpoints(host, _) => host,
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(host) => write!(f, "no service has the host {host}"),
            Self::Subset(host, subset) => write!(f, "no DestinationRule for {host} has the subset {subset}"),
            Self::Endpoints(host, subset) if subset.is_empty() => write!(f, "{host} has no endpoint"),
            Self::Endpoints(host, subset) => write!(f, "subset {subset} of {host} has no endpoint"),
        }
    }
}

/// Rules that wait, with what they wait for.
#[derive(Debug, Default)]
pub(super) struct Held {
    on: bool,
    rules: BTreeMap<NamespacedName, (Arc<VirtualService>, BTreeSet<Missing>)>,
}

impl Store {
    /// Holds VirtualServices from now on until what they name exists. Off to begin with, so that the first reading of
    /// everything takes effect as it is. Switching it off releases all.
    pub fn hold_rules(&mut self, on: bool) -> Changes {
        self.held.on = on;
        let mut changes = Changes::default();
        if !on {
            for (name, (rule, _)) in std::mem::take(&mut self.held.rules) {
                self.put_virtual_service(&name, Some(rule), &mut changes);
            }
        }
        self.renew(&changes);
        changes
    }

    /// VirtualServices that wait, and why.
    pub fn held(&self) -> impl Iterator<Item = (&NamespacedName, &BTreeSet<Missing>)> {
        self.held.rules.iter().map(|(name, (_, missing))| (name, missing))
    }

    /// Puts a waiting VirtualService into effect as it is: it has waited long enough.
    pub fn release(&mut self, name: &NamespacedName) -> Changes {
        let mut changes = Changes::default();
        if let Some((rule, _)) = self.held.rules.remove(name) {
            self.put_virtual_service(name, Some(rule), &mut changes);
        }
        self.renew(&changes);
        changes
    }

    /// Takes in a VirtualService, now or once what it names exists.
    pub(super) fn set_virtual_service(
        &mut self,
        name: &NamespacedName,
        new: Option<Arc<VirtualService>>,
        changes: &mut Changes,
    ) {
        self.held.rules.remove(name);
        if let Some(rule) = new.as_ref().filter(|_| self.held.on) {
            let missing = missing(&self.mesh, self.mesh.virtual_services.get(name).map(|old| &**old), rule);
            if !missing.is_empty() {
                self.held.rules.extend(new.map(|rule| (name.clone(), (rule, missing))));
                return;
            }
        }
        self.put_virtual_service(name, new, changes);
    }

    /// Drops what waits under a name.
    pub(super) fn forget_held(&mut self, name: &NamespacedName) {
        self.held.rules.remove(name);
    }

    /// Looks again at rules that wait for something that changed.
    pub(super) fn reconsider_held(&mut self, changes: &mut Changes) {
        if self.held.rules.is_empty() {
            return;
        }
        let touched = |missing: &Missing| {
            let host = missing.host();
            let of_service = |key: &ServiceKey| key.host == *host;
            changes.services.keys().any(of_service)
                || changes.endpoints.keys().any(of_service)
                || changes.destination_rules.values().flat_map(Change::both).any(|rule| {
                    rule.host == *host
                        || (is_wildcard(&rule.host) && crate::value::host_matches(&rule.host, host))
                })
        };
        let names: Vec<_> = self
            .held
            .rules
            .iter()
            .filter(|(_, (_, missing))| missing.iter().any(touched))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            if let Some((rule, _)) = self.held.rules.remove(&name) {
                self.set_virtual_service(&name, Some(rule), changes);
            }
        }
    }
}

/// What a rule leads to that is not there. What the rule in effect leads to as well is no reason to wait.
fn missing(mesh: &Mesh, old: Option<&VirtualService>, new: &VirtualService) -> BTreeSet<Missing> {
    let known: BTreeSet<(&str, &str)> = old.into_iter().flat_map(live_destinations).map(parts).collect();
    live_destinations(new)
        .map(parts)
        .filter(|destination| !known.contains(destination))
        .filter_map(|(host, subset)| lacks(mesh, host, subset))
        .collect()
}

fn parts(destination: &Destination) -> (&str, &str) {
    (&destination.host, destination.subset.as_deref().unwrap_or_default())
}

/// Destinations that get traffic: not those of weight 0 beside others, and not mirrors, whose answers nobody sees.
fn live_destinations(service: &VirtualService) -> impl Iterator<Item = &Destination> {
    let spec = &service.spec;
    let http = spec.http.iter().flat_map(|rule| {
        let several = rule.route.len() > 1;
        let live = rule.route.iter().filter(move |route| !several || route.weight.unwrap_or_default() > 0);
        live.map(|route| &route.destination)
    });
    let bytes = spec.tls.iter().map(|rule| &rule.route).chain(spec.tcp.iter().map(|rule| &rule.route));
    let bytes = bytes.flat_map(|routes| {
        let several = routes.len() > 1;
        let live = routes.iter().filter(move |route| !several || route.weight.unwrap_or_default() > 0);
        live.map(|route| &route.destination)
    });
    http.chain(bytes)
}

fn lacks(mesh: &Mesh, host: &str, subset: &str) -> Option<Missing> {
    let (host, subset) = (intern(host), intern(subset));
    let services: Vec<_> = mesh.services_of(&host).collect();
    if services.is_empty() {
        return Some(Missing::Service(host));
    }
    let mut selectors = vec![Labels::default()];
    if !subset.is_empty() {
        selectors = subset_labels(mesh, &host, &subset);
        if selectors.is_empty() {
            return Some(Missing::Subset(host, subset));
        }
    }
    let reachable = services.iter().any(|service| {
        // Endpoints of other services are found by the client.
        if service.resolution != Resolution::Endpoints {
            return true;
        }
        let groups = mesh.endpoints.get(&service.key).into_iter().flat_map(|known| &known.groups);
        groups.flat_map(|group| &group.endpoints).any(|endpoint| {
            selectors.iter().any(|selector| {
                let labels = endpoint.workload.as_ref().map(|workload| &workload.labels);
                selector.is_empty() || labels.is_some_and(|labels| labels.satisfy(selector))
            })
        })
    });
    (!reachable).then_some(Missing::Endpoints(host, subset))
}

/// Labels of a subset in every rule for a host that has it: which of them counts depends on the client.
fn subset_labels(mesh: &Mesh, host: &str, subset: &str) -> Vec<Labels> {
    let rules = mesh.destination_rules.values().flat_map(|hosts| {
        host_candidates(host)
            .filter_map(move |candidate| hosts.get(candidate.as_str()))
            .flat_map(|list| list.iter())
    });
    rules.filter_map(|rule| rule.subset(subset)).map(|subset| Labels::new(&subset.labels)).collect()
}
