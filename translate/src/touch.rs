//! Whether an object has a part in what a view has: who must have acknowledged it before it counts as in force.
//!
//! Errs on the side of yes: a view that would be the same without the object may be said to be touched by it, never the
//! other way round.

use std::sync::Arc;

use model::config::{MergedRule, MutualTlsMode, PeerAuthentication, VirtualService};
use model::{
    Key, Kind, Mesh, NamespacedName, Registry, Service, ServiceKey, Text, host_matches, is_wildcard,
};

use crate::context::Context;
use crate::gateway;
use crate::memo::Memo;
use crate::view::ProxyView;

/// Whether an object of the mesh has a part in what proxies with this view have.
pub fn touches(mesh: &Mesh, view: &ProxyView, object: &Key) -> bool {
    let memo = Memo::default();
    let context = Context::new(mesh, view, &memo);
    let name = &object.name;
    match object.kind {
        Kind::VirtualService => virtual_service(&context, name),
        Kind::DestinationRule => destination_rule(&context, name),
        Kind::Gateway => {
            let selects = |of: &Arc<model::config::Gateway>| view.labels.satisfy(&of.selector);
            context.is_gateway() && mesh.gateways.get(name).is_some_and(selects)
        }
        Kind::ServiceEntry => service_entry(&context, name),
        Kind::WorkloadEntry => workload_entry(&context, name),
        Kind::Sidecar => view.sidecar.as_ref() == Some(name),
        Kind::PeerAuthentication => peer_authentication(&context, name),
        _ => true,
    }
}

fn virtual_service(context: &Context<'_>, name: &NamespacedName) -> bool {
    let Some(service) = context.mesh.virtual_services.get(name) else { return false };
    if service.hosts.is_empty() {
        let roots = context.mesh.written.roots.values();
        let mut roots = roots.filter(|root| root.delegates().any(|(_, delegate)| delegate == *name));
        // What is sent is made from roots with their delegates' rules in place.
        let whole = |root: &Arc<VirtualService>| context.mesh.virtual_services.get(&root.meta.name);
        return roots.any(|root| whole(root).is_some_and(|root| routes(context, root)));
    }
    routes(context, service)
}

fn routes(context: &Context<'_>, service: &Arc<VirtualService>) -> bool {
    if context.is_gateway() {
        return gateway::serves(context, service);
    }
    service.on_mesh && context.scope.sees_routes(service)
}

fn destination_rule(context: &Context<'_>, name: &NamespacedName) -> bool {
    let rules = context.mesh.destination_rules.get(&name.namespace).into_iter().flatten();
    let mut merged = rules.flat_map(|(_, list)| list.iter()).filter(|rule| rule.sources.contains(name));
    merged.any(|rule| follows(context, rule))
}

/// Whether some host that the view knows is talked to by this rule.
fn follows(context: &Context<'_>, rule: &Arc<MergedRule>) -> bool {
    let used = |host: &str, namespace: &str| {
        context.rule_for(host, namespace).is_some_and(|used| Arc::ptr_eq(used, rule))
    };
    let by = |service: &Arc<Service>| {
        context.scope.needs(service) && used(&service.key.host, &service.key.namespace)
    };
    if is_wildcard(&rule.host) {
        let all = context.mesh.services.values();
        return all.filter(|service| host_matches(&rule.host, &service.key.host)).any(by);
    }
    context.mesh.services_of(&rule.host).any(by)
}

fn service_entry(context: &Context<'_>, name: &NamespacedName) -> bool {
    let entry = context.mesh.written.service_entries.get(name);
    let services = entry.into_iter().flat_map(|entry| &entry.services);
    // Several entries may add up to one service, and one of Kubernetes' is not theirs.
    let known = services.filter_map(|service| context.mesh.services.get(&service.key));
    known
        .filter(|service| service.registry == Registry::ServiceEntry)
        .any(|service| context.scope.needs(service))
}

fn workload_entry(context: &Context<'_>, name: &NamespacedName) -> bool {
    let behind = |key: &ServiceKey| {
        let groups = context.mesh.endpoints.get(key).into_iter().flat_map(|known| &known.groups);
        groups
            .flat_map(|group| &group.endpoints)
            .any(|endpoint| endpoint.workload.as_ref().is_some_and(|workload| workload.instance == *name))
    };
    in_namespace(context, &name.namespace).any(|service| context.scope.needs(service) && behind(&service.key))
}

fn in_namespace<'a>(context: &Context<'a>, namespace: &Text) -> impl Iterator<Item = &'a Arc<Service>> {
    let (mesh, keys) = (context.mesh, context.mesh.services_in.get(namespace));
    keys.into_iter().flatten().filter_map(|key| mesh.services.get(key))
}

/// The workloads that it is for; and clients, where somebody is not to be spoken to by mutual TLS.
fn peer_authentication(context: &Context<'_>, name: &NamespacedName) -> bool {
    let (mesh, view) = (context.mesh, context.view);
    let root = &mesh.settings.root_namespace;
    let policies =
        |namespace: &Text| mesh.peer_authentications.get(namespace).into_iter().flat_map(|list| list.iter());
    let Some(policy) = policies(&name.namespace).find(|policy| policy.meta.name == *name) else {
        return false;
    };
    let mesh_wide = name.namespace == *root;
    let selects = if mesh_wide { policy.selector.is_empty() } else { view.labels.satisfy(&policy.selector) };
    if !context.is_gateway() && selects && (mesh_wide || view.namespace == name.namespace) {
        return true;
    }
    if mesh_wide {
        return selects;
    }
    let plain = policies(root).chain(policies(&name.namespace)).any(|policy| disables(policy));
    plain && in_namespace(context, &name.namespace).any(|service| context.scope.needs(service))
}

fn disables(policy: &PeerAuthentication) -> bool {
    let off = |mode: &Option<MutualTlsMode>| *mode == Some(MutualTlsMode::Disable);
    off(&policy.mode) || policy.ports.values().any(off)
}
