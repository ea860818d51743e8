//! What the proxies of one view should have at one moment, and which names changed since the moment before.

use std::sync::Arc;
use std::time::Instant;

use translate::{Delta, ProxyView, Resource, Resources};
use xds::ResourceType;
use xds::server::Snapshot;

/// Resources of a view, with the step that led to them.
#[derive(Debug)]
pub(crate) struct ViewSnapshot {
    /// Whom it is for.
    view: Arc<ProxyView>,
    resources: Resources,
    /// Unique among all snapshots of this process.
    id: u64,
    /// The snapshot before, and the names that changed since, by type: what most streams ask for, worked out once.
    step: Option<Step>,
    /// When the change that led here was seen.
    pub(crate) since: Instant,
}

#[derive(Debug)]
struct Step {
    from: u64,
    changed: [Vec<Arc<str>>; ResourceType::ALL.len()],
}

impl ViewSnapshot {
    pub(crate) fn first(view: Arc<ProxyView>, resources: Resources, id: u64, since: Instant) -> Arc<Self> {
        Arc::new(Self { view, resources, id, step: None, since })
    }

    pub(crate) fn next(&self, resources: Resources, delta: &Delta, id: u64, since: Instant) -> Arc<Self> {
        let mut changed = [const { Vec::new() }; ResourceType::ALL.len()];
        for (kind, resource) in &delta.changed {
            changed[*kind as usize].push(resource.name.clone());
        }
        for (kind, name) in &delta.removed {
            changed[*kind as usize].push(name.clone());
        }
        let step = Some(Step { from: self.id, changed });
        Arc::new(Self { view: self.view.clone(), resources, id, step, since })
    }

    pub(crate) fn view(&self) -> &Arc<ProxyView> {
        &self.view
    }

    /// Larger than that of any snapshot made before it, of whatever view.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn resources(&self) -> &Resources {
        &self.resources
    }

    pub(crate) fn get(&self, kind: ResourceType, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(kind, name)
    }
}

impl Snapshot for ViewSnapshot {
    fn version(&self, kind: ResourceType, name: &str) -> Option<u64> {
        self.resources.version(kind, name)
    }

    fn size(&self, kind: ResourceType, name: &str) -> usize {
        self.resources.size(kind, name)
    }

    fn names(&self, kind: ResourceType, prefix: &str) -> Vec<Arc<str>> {
        self.resources.names(kind, prefix)
    }

    fn changed_since(&self, base: &Self, kind: ResourceType) -> Vec<Arc<str>> {
        match &self.step {
            Some(step) if step.from == base.id => step.changed[kind as usize].clone(),
            _ => self.resources.changed_since(&base.resources, kind),
        }
    }
}
