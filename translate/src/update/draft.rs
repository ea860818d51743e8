//! Resources on their way from one state to the next. Each step replaces one part by what it is now.

use std::collections::BTreeSet;

use model::Text;
use xds::ResourceType;
use xds::names::{self, ClusterName};

use super::affected::{Affected, keys_of};
use crate::context::Context;
use crate::generate::{Set, endpoints_of, fixed, frame, of_host, of_name, of_other, of_service};
use crate::listener::has_http_listener;
use crate::resource::{Delta, Resources};
use crate::{cluster, gateway, listener, name_table, route, secret};

/// Resources on their way from one state to the next.
pub(super) struct Draft<'a> {
    context: Context<'a>,
    all: Resources,
    changed: BTreeSet<(ResourceType, Text)>,
}

impl<'a> Draft<'a> {
    /// Begins with what there is.
    pub(super) fn new(context: Context<'a>, all: Resources) -> Self {
        Self { context, all, changed: BTreeSet::new() }
    }

    fn put(&mut self, set: Set) {
        for (kind, resource) in set {
            let same =
                self.all.get(kind, &resource.name).is_some_and(|known| known.version == resource.version);
            if !same {
                self.changed.insert((kind, resource.name.clone()));
                self.all.insert(kind, resource);
            }
        }
    }

    /// Replaces resources: those of the old names that the new set does not have are gone.
    fn replace(&mut self, old: impl IntoIterator<Item = (ResourceType, String)>, set: Set) {
        let kept: BTreeSet<(ResourceType, Text)> =
            set.iter().map(|(kind, resource)| (*kind, resource.name.clone())).collect();
        for (kind, name) in old {
            let name = model::intern(&name);
            if !kept.contains(&(kind, name.clone())) && self.all.remove(kind, &name).is_some() {
                self.changed.insert((kind, name));
            }
        }
        self.put(set);
    }

    pub(super) fn services(&mut self, affected: &Affected) {
        let mesh = self.context.mesh;
        let mut stale: BTreeSet<String> = BTreeSet::new();
        let mut set = Set::new();
        for service in &affected.old {
            stale.extend(cluster::names(mesh, service, &affected.subsets));
        }
        for service in affected.clusters.iter().filter_map(|key| mesh.services.get(key)) {
            stale.extend(cluster::names(mesh, service, &affected.subsets));
            set.extend(of_service(&self.context, service));
        }
        let both = |name: String| [(ResourceType::Cluster, name.clone()), (ResourceType::Endpoints, name)];
        self.replace(stale.into_iter().flat_map(both), set);
        for key in affected.endpoints.difference(&affected.clusters) {
            let Some(service) = mesh.services.get(key) else { continue };
            // Whoever has the cluster needs the endpoints, and nobody else.
            let name = service
                .ports
                .first()
                .map(|port| ClusterName::outbound(port.number, "", &key.host).to_string());
            let held = name.is_some_and(|name| self.all.get(ResourceType::Cluster, &name).is_some());
            if held && self.context.scope.chooses(service) {
                let set = endpoints_of(&self.context, service).collect();
                self.put(set);
            }
        }
    }

    pub(super) fn listeners(&mut self, affected: &Affected) {
        for unit in &affected.listeners {
            let name = unit.name(&self.context);
            let set = listener::outbound(&self.context, *unit).map(|one| (ResourceType::Listener, one));
            self.replace([(ResourceType::Listener, name)], set.into_iter().collect());
        }
    }

    pub(super) fn routes(&mut self, affected: &Affected) {
        let mut ports: BTreeSet<u16> = affected.listeners.iter().map(|unit| unit.port()).collect();
        let mut pairs: BTreeSet<(u16, Text)> = BTreeSet::new();
        for host in &affected.hosts {
            let services = keys_of(&self.context, host).into_iter();
            let current = services.filter_map(|key| self.context.mesh.services.get(&key).cloned());
            let old = affected.old.iter().filter(|service| service.key.host == *host).cloned();
            for service in current.chain(old) {
                pairs.extend(service.ports.iter().map(|port| (port.number, host.clone())));
            }
            pairs.insert((80, host.clone()));
            let listing = self.context.mesh.mesh_routes.get(host).into_iter().flat_map(|list| list.iter());
            for port in listing.flat_map(|service| route::ports_beside(self.context.mesh, service)) {
                pairs.insert((port, host.clone()));
            }
        }
        pairs.extend(affected.others.iter().cloned());
        ports.extend(pairs.iter().map(|(port, _)| *port));
        let (mut on_wildcard, mut framed) = (BTreeSet::new(), BTreeSet::new());
        for port in ports {
            let before = self.all.get(ResourceType::Route, &names::outbound_route(port)).is_some();
            let now = has_http_listener(&self.context, port);
            if now {
                on_wildcard.insert(port);
            }
            if before != now {
                self.flip(port, now, &mut framed);
            }
        }
        for (port, host) in pairs {
            self.host(port, &host, on_wildcard.contains(&port), &mut framed);
        }
        for port in framed.intersection(&on_wildcard) {
            let configuration = frame(&self.context, &names::outbound_route(*port), &self.all);
            self.put(vec![(ResourceType::Route, configuration)]);
        }
    }

    /// The wildcard listener of a port begins or ceases to speak HTTP, and its routes come or go as a whole.
    fn flip(&mut self, port: u16, now: bool, framed: &mut BTreeSet<u16>) {
        let name = names::outbound_route(port);
        let prefix = format!("{name}/");
        let held = self.all.with_prefix(ResourceType::VirtualHost, &prefix);
        let mut old: Vec<_> =
            held.map(|resource| (ResourceType::VirtualHost, resource.name.to_string())).collect();
        let mut set = Set::new();
        if now {
            set.push((ResourceType::VirtualHost, route::catch_all(&self.context, &name)));
            for key in self.context.mesh.services_on(port) {
                set.extend(of_host(&self.context, &key.host, port, true));
            }
            let others = route::others(self.context.mesh).into_iter().filter(|(of, _)| *of == port);
            set.extend(others.flat_map(|(port, host)| of_other(&self.context, host, port)));
            framed.insert(port);
        } else {
            old.push((ResourceType::Route, name));
        }
        self.replace(old, set);
    }

    fn host(&mut self, port: u16, host: &Text, on_wildcard: bool, framed: &mut BTreeSet<u16>) {
        let (shared, own) = (names::outbound_route(port), names::detected_route(host, port));
        let virtual_host = names::virtual_host(host, port);
        let old = [
            (ResourceType::VirtualHost, names::virtual_host_resource(&shared, &virtual_host)),
            (ResourceType::VirtualHost, names::virtual_host_resource(&own, &virtual_host)),
            (ResourceType::Route, own),
        ];
        let mut set = of_host(&self.context, host, port, on_wildcard);
        if on_wildcard && self.context.mesh.mesh_routes.contains_key(host) {
            set.extend(of_other(&self.context, host, port));
        }
        let before = self.changed.len();
        self.replace(old, set);
        if self.changed.len() != before {
            framed.insert(port);
        }
    }

    /// What names mean, where the proxy answers for them.
    pub(super) fn names(&mut self, affected: &Affected) {
        if !name_table::is_wanted(&self.context) {
            return;
        }
        for host in &affected.hosts {
            let set = of_name(&self.context, host);
            self.replace([(ResourceType::NameTable, host.to_string())], set);
        }
    }

    /// Secrets that DestinationRules name for a sidecar.
    pub(super) fn secrets(&mut self) {
        let held = self.all.iter(ResourceType::Secret);
        let old: Vec<_> = held.map(|resource| (ResourceType::Secret, resource.name.to_string())).collect();
        let set = secret::of_rules(&self.context);
        self.replace(old, set);
    }

    pub(super) fn gateway(&mut self) {
        let kinds =
            [ResourceType::Listener, ResourceType::Route, ResourceType::VirtualHost, ResourceType::Secret];
        let held = |kind| self.all.iter(kind).map(move |resource| (kind, resource.name.to_string()));
        let old: Vec<_> = kinds.into_iter().flat_map(held).collect();
        let mut set = gateway::gateway(&self.context);
        set.extend(fixed(&self.context));
        self.replace(old, set);
    }

    /// The outcome, and what changed in the order in which it may be sent.
    pub(super) fn finish(self) -> (Resources, Delta) {
        let mut delta = Delta::default();
        for kind in ResourceType::ALL {
            for (_, name) in self.changed.iter().filter(|(changed, _)| *changed == kind) {
                match self.all.get(kind, name) {
                    Some(resource) => delta.changed.push((kind, resource.clone())),
                    None => delta.removed.push((kind, name.clone())),
                }
            }
        }
        (self.all, delta)
    }
}
