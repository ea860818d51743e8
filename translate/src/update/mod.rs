//! From one set of resources to the next: only what changes can have affected is looked at again, and only what then
//! differs is replaced.

mod affected;
mod draft;

use std::sync::Arc;

use model::{Changes, Mesh};
use xds::ResourceType;
use xds::names;

use crate::context::Context;
use crate::generate::{Set, anew, own};
use crate::memo::{Memo, Shared};
use crate::resource::{Delta, Resources};
use crate::view::ProxyView;
use affected::Affected;
use draft::Draft;

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
    let mut draft = Draft::new(*context, base);
    let affected = Affected::by(context, changes);
    draft.services(&affected);
    if !context.is_gateway() {
        draft.listeners(&affected);
        draft.routes(&affected);
        draft.names(&affected);
        if !changes.secrets.is_empty() || !changes.destination_rules.is_empty() {
            draft.secrets();
        }
    } else if affected.routing || !changes.gateways.is_empty() || !changes.secrets.is_empty() {
        draft.gateway();
    }
    draft.finish()
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
