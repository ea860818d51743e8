//! What one event, or a burst of them, can have affected. The store writes it; `translate` regenerates exactly that,
//! and the control plane decides by it which proxies need a look at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{DestinationRule, Gateway, PeerAuthentication, Sidecar, VirtualService};
use crate::value::{Endpoints, NamespacedName, Service, ServiceKey, Text};

/// An object before and after. Over a burst, `old` is what was there before all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<T> {
    /// Before; none if it is new.
    pub old: Option<Arc<T>>,
    /// After; none if it is gone.
    pub new: Option<Arc<T>>,
}

impl<T> Change<T> {
    /// What exists of it, before and after.
    pub fn both(&self) -> impl Iterator<Item = &Arc<T>> {
        self.old.iter().chain(&self.new)
    }
}

impl Change<Endpoints> {
    /// Whether other identities answer than before.
    pub fn accounts_changed(&self) -> bool {
        let accounts =
            |endpoints: &Option<Arc<Endpoints>>| endpoints.as_ref().map(|known| known.accounts.clone());
        accounts(&self.old).unwrap_or_default() != accounts(&self.new).unwrap_or_default()
    }
}

/// Changed objects by key.
pub type ChangeMap<K, T> = BTreeMap<K, Change<T>>;

/// Everything that can have changed between two meshes.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Mesh-wide settings changed: assume nothing.
    pub everything: bool,
    /// Services that appeared, disappeared or have other ports, addresses, exposure...
    pub services: ChangeMap<ServiceKey, Service>,
    /// Endpoints of services.
    pub endpoints: ChangeMap<ServiceKey, Endpoints>,
    /// VirtualServices.
    pub virtual_services: ChangeMap<NamespacedName, VirtualService>,
    /// DestinationRules.
    pub destination_rules: ChangeMap<NamespacedName, DestinationRule>,
    /// Gateways.
    pub gateways: ChangeMap<NamespacedName, Gateway>,
    /// Sidecars.
    pub sidecars: ChangeMap<NamespacedName, Sidecar>,
    /// PeerAuthentications.
    pub peer_authentications: ChangeMap<NamespacedName, PeerAuthentication>,
    /// Secrets that gateways may use.
    pub secrets: BTreeSet<NamespacedName>,
    /// Workloads (pods) whose labels, account, ports or locality changed.
    pub workloads: BTreeSet<NamespacedName>,
    /// Selectors use other label keys than before, so that every proxy's view may differ.
    pub selector_keys: bool,
}

impl Changes {
    /// Whether nothing at all can have changed.
    pub fn is_empty(&self) -> bool {
        let Self {
            everything,
            services,
            endpoints,
            virtual_services,
            destination_rules,
            gateways,
            sidecars,
            peer_authentications,
            secrets,
            workloads,
            selector_keys,
        } = self;
        !everything
            && !selector_keys
            && services.is_empty()
            && endpoints.is_empty()
            && virtual_services.is_empty()
            && destination_rules.is_empty()
            && gateways.is_empty()
            && sidecars.is_empty()
            && peer_authentications.is_empty()
            && secrets.is_empty()
            && workloads.is_empty()
    }

    /// Adds later changes.
    pub fn merge(&mut self, later: Changes) {
        self.everything |= later.everything;
        self.selector_keys |= later.selector_keys;
        merge_map(&mut self.services, later.services);
        merge_map(&mut self.endpoints, later.endpoints);
        merge_map(&mut self.virtual_services, later.virtual_services);
        merge_map(&mut self.destination_rules, later.destination_rules);
        merge_map(&mut self.gateways, later.gateways);
        merge_map(&mut self.sidecars, later.sidecars);
        merge_map(&mut self.peer_authentications, later.peer_authentications);
        self.secrets.extend(later.secrets);
        self.workloads.extend(later.workloads);
    }

    /// Whether only endpoints changed: the common case, which touches no routes, clusters or listeners.
    pub fn only_endpoints(&self) -> bool {
        let mut rest = self.clone();
        rest.endpoints.clear();
        rest.workloads.clear();
        rest.is_empty()
    }

    /// Whether the view of a proxy (`translate::ProxyView`) can differ from before. A cheap test that errs on
    /// the side of yes.
    pub fn touch_view_of(&self, proxy: &NamespacedName, root_namespace: &str) -> bool {
        let namespace: &Text = &proxy.namespace;
        self.everything
            || self.selector_keys
            || self.workloads.contains(proxy)
            || self
                .services
                .values()
                .flat_map(Change::both)
                .any(|service| service.key.namespace == *namespace)
            || self
                .sidecars
                .keys()
                .any(|name| name.namespace == *namespace || &*name.namespace == root_namespace)
    }
}

/// Keeps the oldest `old` and the newest `new`; what ended as it began did not change.
fn merge_map<K: Ord, T: PartialEq>(into: &mut ChangeMap<K, T>, later: ChangeMap<K, T>) {
    for (key, change) in later {
        match into.entry(key) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(change);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                entry.get_mut().new = change.new;
                if entry.get().old == entry.get().new {
                    entry.remove();
                }
            }
        }
    }
}
