//! From one set of resources to the next: only what changes can have affected is looked at again, and only what then
//! differs is replaced.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::config::VirtualService;
use model::{Change, Changes, Mesh, Service, ServiceKey, Text, host_matches, is_wildcard};
use xds::ResourceType;
use xds::names::{self, ClusterName};

use crate::context::Context;
use crate::generate::{Set, anew, endpoints_of, fixed, frame, of_host, of_other, of_service, own};
use crate::listener::{Unit, has_http_listener, opaque_units_of, units_of};
use crate::memo::{Memo, Shared};
use crate::resource::{Delta, Resources};
use crate::view::ProxyView;
use crate::{cluster, gateway, listener, route};

/// Brings a view's resources up to date with a mesh that differs from the one they were made from by these changes.
/// The view must be the one that they were made for: a proxy whose view changed has other resources altogether.
pub fn update(
    mesh: &Mesh,
    view: &ProxyView,
    memo: &Memo,
    before: &Resources,
    changes: &Changes,
) -> (Resources, Delta) {
    let shared = shared(mesh, view, memo, before, changes);
    let context = Context::new(mesh, view, memo);
    let mut after = shared.resources;
    if context.is_gateway() {
        let delta = known_delta(shared.step, before).unwrap_or_else(|| Delta::between(before, &after));
        return (after, delta);
    }
    let kept = own_of(before);
    let own = if touches_own(&context, changes) { own(&context) } else { kept.clone() };
    let mut own_delta = Delta::default();
    for (kind, resource) in own {
        let same =
            before.get(kind, &resource.name).filter(|known| known.version == resource.version).cloned();
        if same.is_none() {
            own_delta.changed.push((kind, resource.clone()));
        }
        after.insert(kind, same.unwrap_or(resource));
    }
    let gone = kept.into_iter().filter(|(kind, resource)| after.get(*kind, &resource.name).is_none());
    own_delta.removed.extend(gone.map(|(kind, resource)| (kind, resource.name.clone())));
    let delta = match known_delta(shared.step, before) {
        Some(delta) => delta.and(own_delta),
        None => Delta::between(before, &after),
    };
    (after, delta)
}

/// What was worked out for another view that came from the same version.
fn known_delta(step: Option<(u64, Arc<Delta>)>, before: &Resources) -> Option<Delta> {
    step.filter(|(from, _)| *from == before.made_from()).map(|(_, delta)| Delta::clone(&delta))
}

/// The shared part of a view, brought up to date once for all views that share it.
fn shared(mesh: &Mesh, view: &ProxyView, memo: &Memo, before: &Resources, changes: &Changes) -> Shared {
    memo.advance(mesh.version);
    let key = view.shared();
    // What a proxy that came meanwhile was given is newer than the others' and covered by the changes as well.
    let base = memo.shared(&key).filter(|known| known.resources.made_from() >= before.made_from());
    if let Some(known) = base.as_ref().filter(|known| known.resources.made_from() == mesh.version) {
        return known.clone();
    }
    let context = Context::new(mesh, &key, memo);
    let scoped = |name: &model::NamespacedName| Some(name) == key.sidecar.as_ref();
    let shared = match base.map(|base| base.resources) {
        None => Shared { resources: anew(&context), step: None },
        Some(base) if changes.everything || changes.sidecars.keys().any(scoped) => {
            let resources = anew(&context);
            let delta = Delta::between(&base, &resources);
            Shared { resources, step: Some((base.made_from(), Arc::new(delta))) }
        }
        Some(base) => {
            let from = base.made_from();
            let (resources, delta) = step(&context, base.at_version(mesh.version), changes);
            Shared { resources, step: Some((from, Arc::new(delta))) }
        }
    };
    memo.keep(key.clone(), shared.clone());
    shared
}

fn step(context: &Context<'_>, base: Resources, changes: &Changes) -> (Resources, Delta) {
    let mut draft = Draft { context: *context, all: base, changed: BTreeSet::new() };
    let affected = Affected::by(context, changes);
    draft.services(&affected);
    if !context.is_gateway() {
        draft.listeners(&affected);
        draft.routes(&affected);
    } else if affected.routing || !changes.gateways.is_empty() || !changes.secrets.is_empty() {
        draft.gateway();
    }
    let delta = draft.delta();
    (draft.all, delta)
}

/// Resources of the workload's own ports.
fn own_of(all: &Resources) -> Set {
    let clusters =
        all.with_prefix(ResourceType::Cluster, INBOUND).map(|one| (ResourceType::Cluster, one.clone()));
    let listener = all.get(ResourceType::Listener, names::VIRTUAL_INBOUND);
    clusters.chain(listener.map(|one| (ResourceType::Listener, one.clone()))).collect()
}

/// How names of the workload's own clusters begin.
const INBOUND: &str = "inbound|";

/// Whether changes can have affected the workload's own ports. Its services are part of the view.
fn touches_own(context: &Context<'_>, changes: &Changes) -> bool {
    let root = &context.mesh.settings.root_namespace;
    changes.everything
        || changes.sidecars.keys().any(|name| Some(name) == context.view.sidecar.as_ref())
        || changes
            .peer_authentications
            .keys()
            .any(|name| name.namespace == *root || name.namespace == context.view.namespace)
}

/// What a set of changes can have affected.
#[derive(Default)]
struct Affected {
    /// Services whose clusters and endpoints may differ, with the subsets that they may have had.
    clusters: BTreeSet<ServiceKey>,
    subsets: BTreeSet<String>,
    /// Services that are gone or different now, as they were.
    old: Vec<Arc<Service>>,
    /// Services of which only the endpoints may differ.
    endpoints: BTreeSet<ServiceKey>,
    listeners: BTreeSet<Unit>,
    /// Hosts whose virtual hosts may differ.
    hosts: BTreeSet<Text>,
    /// Anything about routes at all, for gateways.
    routing: bool,
}

impl Affected {
    fn by(context: &Context<'_>, changes: &Changes) -> Self {
        let mut affected = Self::default();
        affected.services(context, changes);
        affected.rules(context, changes);
        affected.virtual_services(context, changes);
        affected.policies(context, changes);
        affected
    }

    fn services(&mut self, context: &Context<'_>, changes: &Changes) {
        for (key, change) in &changes.endpoints {
            self.endpoints.insert(key.clone());
            let Some(service) = context.mesh.services.get(key) else { continue };
            let passthrough = service.resolution != model::Resolution::Endpoints;
            if change.accounts_changed() || passthrough {
                self.clusters.insert(key.clone());
            }
            if service.is_headless() {
                self.listeners.extend(opaque_units_of(service));
            }
        }
        for (key, change) in &changes.services {
            self.old.extend(change.old.clone());
            self.service(context, &key.host);
            for service in change.both() {
                self.listeners.extend(units_of(service));
                for neighbour in neighbours(context, service) {
                    self.hosts.insert(neighbour);
                }
            }
            // Routes name the only port of a service where they name none.
            self.hosts.extend(routed_to(context, &key.host));
            self.listeners
                .extend(routed_to(context, &key.host).iter().flat_map(|host| units_at(context, host)));
        }
        self.routing |= !changes.services.is_empty();
    }

    /// All services with a host: which of them a client means may have changed.
    fn service(&mut self, context: &Context<'_>, host: &Text) {
        self.hosts.insert(host.clone());
        self.clusters.extend(keys_of(context, host));
    }

    fn rules(&mut self, context: &Context<'_>, changes: &Changes) {
        for rule in changes.destination_rules.values().flat_map(Change::both) {
            self.subsets.extend(rule.subsets.iter().map(|subset| subset.name.clone()));
            for host in matching_hosts(context, &rule.host) {
                self.clusters.extend(keys_of(context, &host));
                // Hashing and idle timeouts are told to routes and listeners.
                self.listeners.extend(units_at(context, &host));
                for routed in routed_to(context, &host) {
                    self.listeners.extend(units_at(context, &routed));
                    self.hosts.insert(routed);
                }
                self.hosts.insert(host);
            }
            self.routing = true;
        }
    }

    fn virtual_services(&mut self, context: &Context<'_>, changes: &Changes) {
        let narrowed = context.scope.sidecar().is_some();
        for service in changes.virtual_services.values().flat_map(Change::both) {
            self.routing = true;
            for host in service.mesh_hosts() {
                self.virtual_service_host(context, service, host);
            }
            if narrowed {
                // A route that is seen lets its destinations be seen.
                service.destinations.iter().for_each(|host| self.clusters.extend(keys_of(context, host)));
            }
        }
    }

    fn virtual_service_host(&mut self, context: &Context<'_>, service: &VirtualService, host: &Text) {
        let opaque = !service.spec.tcp.is_empty() || !service.spec.tls.is_empty();
        for of_service in matching_hosts(context, host) {
            if opaque {
                self.listeners.extend(units_at(context, &of_service));
            }
            self.hosts.insert(of_service);
        }
        self.hosts.insert(host.clone());
        // `reviews.shop` as a host of its own takes the name from the service that had it as a short form.
        for suffix in [format!(".svc.{}", context.mesh.domain), format!(".{}", context.mesh.domain)] {
            self.hosts.insert(model::intern(&format!("{host}{suffix}")));
        }
    }

    fn policies(&mut self, context: &Context<'_>, changes: &Changes) {
        let mesh = context.mesh;
        let root = &mesh.settings.root_namespace;
        for (name, change) in &changes.peer_authentications {
            let mesh_wide = name.namespace == *root;
            let disables = |policy: &Arc<model::config::PeerAuthentication>| {
                let off = |mode: &Option<model::config::MutualTlsMode>| {
                    *mode == Some(model::config::MutualTlsMode::Disable)
                };
                off(&policy.mode) || policy.ports.values().any(off)
            };
            if change.both().any(disables) || mesh_wide {
                let services = mesh.services_in.iter().filter(|(of, _)| mesh_wide || **of == name.namespace);
                self.clusters.extend(services.flat_map(|(_, keys)| keys.iter().cloned()));
            }
        }
    }
}

fn keys_of(context: &Context<'_>, host: &Text) -> Vec<ServiceKey> {
    let keys = context.mesh.services.range(ServiceKey::first(host)..).map(|(key, _)| key);
    keys.take_while(|key| key.host == *host).cloned().collect()
}

/// Hosts of services that a host as written in a rule covers.
fn matching_hosts(context: &Context<'_>, written: &Text) -> BTreeSet<Text> {
    if !is_wildcard(written) {
        return keys_of(context, written).into_iter().map(|key| key.host).collect();
    }
    let hosts = context.mesh.services.keys().map(|key| &key.host);
    hosts.filter(|host| host_matches(written, host)).cloned().collect()
}

/// Listeners that services of a host have a part of their own in: HTTP has none, it is told apart by routes.
fn units_at(context: &Context<'_>, host: &Text) -> BTreeSet<Unit> {
    let services =
        keys_of(context, host).into_iter().filter_map(|key| context.mesh.services.get(&key).cloned());
    services.flat_map(|service| opaque_units_of(&service)).collect()
}

/// Hosts whose VirtualServices lead to a host.
fn routed_to(context: &Context<'_>, host: &Text) -> BTreeSet<Text> {
    let names = context.mesh.routes_to.get(host).into_iter().flatten();
    let services = names.filter_map(|name| context.mesh.virtual_services.get(name));
    services
        .flat_map(|service| service.mesh_hosts())
        .flat_map(|host| matching_hosts(context, host).into_iter().chain([host.clone()]))
        .collect()
}

/// Hosts whose names or addresses a service may take or free.
fn neighbours(context: &Context<'_>, service: &Service) -> BTreeSet<Text> {
    let sharing =
        service.addresses.iter().filter_map(|address| context.mesh.services_at.get(address)).flatten();
    let mut hosts: BTreeSet<Text> = sharing.map(|key| key.host.clone()).collect();
    let host = &service.key.host;
    // A wildcard stands for itself only as long as no service does.
    let wildcards = model::host_candidates(host).filter(|candidate| is_wildcard(candidate));
    hosts.extend(
        wildcards.filter_map(|wildcard| {
            Some(context.mesh.mesh_routes.get_key_value(wildcard.as_str())?.0.clone())
        }),
    );
    for suffix in [format!(".svc.{}", context.mesh.domain), format!(".{}", context.mesh.domain)] {
        hosts.insert(model::intern(&format!("{host}{suffix}")));
    }
    hosts
}

/// Resources on their way from one state to the next.
struct Draft<'a> {
    context: Context<'a>,
    all: Resources,
    changed: BTreeSet<(ResourceType, Text)>,
}

impl Draft<'_> {
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

    fn services(&mut self, affected: &Affected) {
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

    fn listeners(&mut self, affected: &Affected) {
        for unit in &affected.listeners {
            let name = unit.name(&self.context);
            let set = listener::outbound(&self.context, *unit).map(|one| (ResourceType::Listener, one));
            self.replace([(ResourceType::Listener, name)], set.into_iter().collect());
        }
    }

    fn routes(&mut self, affected: &Affected) {
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
        }
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
            if port == 80 {
                let hosts: Vec<Text> = self.context.mesh.mesh_routes.keys().cloned().collect();
                set.extend(hosts.iter().flat_map(|host| of_other(&self.context, host)));
            }
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
        if port == 80 && on_wildcard && self.context.mesh.mesh_routes.contains_key(host) {
            set.extend(of_other(&self.context, host));
        }
        let before = self.changed.len();
        self.replace(old, set);
        if self.changed.len() != before {
            framed.insert(port);
        }
    }

    fn gateway(&mut self) {
        let kinds =
            [ResourceType::Listener, ResourceType::Route, ResourceType::VirtualHost, ResourceType::Secret];
        let held = |kind| self.all.iter(kind).map(move |resource| (kind, resource.name.to_string()));
        let old: Vec<_> = kinds.into_iter().flat_map(held).collect();
        let mut set = gateway::gateway(&self.context);
        set.extend(fixed(&self.context));
        self.replace(old, set);
    }

    /// What changed, in the order in which it may be sent.
    fn delta(&self) -> Delta {
        let mut delta = Delta::default();
        for kind in ResourceType::ALL {
            for (_, name) in self.changed.iter().filter(|(changed, _)| *changed == kind) {
                match self.all.get(kind, name) {
                    Some(resource) => delta.changed.push((kind, resource.clone())),
                    None => delta.removed.push((kind, name.clone())),
                }
            }
        }
        delta
    }
}
