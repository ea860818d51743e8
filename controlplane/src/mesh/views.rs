//! The registry of views: resources once per view, shared by every proxy that has it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Changes, Mesh};
use translate::{Memo, ProxyNode, ProxyView};

use super::{Slot, ViewSnapshot};

/// A view that nobody has is kept this long, for proxies that reconnect.
const IDLE: Duration = Duration::from_mins(2);
const MAX_IDLE: usize = 256;

struct View {
    snapshot: Arc<ViewSnapshot>,
    proxies: usize,
    idle_since: Instant,
}

struct Proxy {
    node: ProxyNode,
    view: Arc<ProxyView>,
    slot: Arc<Slot>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.slot.close();
    }
}

/// Views and the proxies that have them.
#[derive(Default)]
pub(super) struct Registry {
    views: HashMap<Arc<ProxyView>, View>,
    proxies: HashMap<u64, Proxy>,
    memo: Memo,
    ids: u64,
}

impl Registry {
    /// The id of the newest snapshot.
    pub(super) fn latest(&self) -> u64 {
        self.ids
    }

    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Adds a proxy; generates its view unless somebody has it already.
    pub(super) fn register(&mut self, node: ProxyNode, mesh: &Mesh) -> (u64, Arc<Slot>) {
        let view = self.join(ProxyView::of(&node, mesh), mesh, Instant::now());
        let slot = Arc::new(Slot::new(self.views[&view].snapshot.clone()));
        let id = self.id();
        self.proxies.insert(id, Proxy { node, view, slot: slot.clone() });
        (id, slot)
    }

    fn join(&mut self, view: ProxyView, mesh: &Mesh, since: Instant) -> Arc<ProxyView> {
        if let Some((known, entry)) = self.views.get_key_value(&view) {
            let (known, proxies) = (known.clone(), entry.proxies + 1);
            if let Some(entry) = self.views.get_mut(&known) {
                entry.proxies = proxies;
            }
            return known;
        }
        let view = Arc::new(view);
        let resources = translate::generate(mesh, &view, &self.memo);
        let snapshot = ViewSnapshot::first(view.clone(), resources, self.id(), since);
        self.views.insert(view.clone(), View { snapshot, proxies: 1, idle_since: since });
        view
    }

    fn part(&mut self, view: &Arc<ProxyView>) {
        if let Some(entry) = self.views.get_mut(view) {
            entry.proxies -= 1;
            entry.idle_since = Instant::now();
        }
    }

    /// Takes a proxy out.
    pub(super) fn leave(&mut self, id: u64) {
        if let Some(proxy) = self.proxies.remove(&id) {
            self.part(&proxy.view);
        }
    }

    /// Brings every view up to date and hands new snapshots to the proxies concerned. Returns how many proxies got one.
    pub(super) fn publish(&mut self, mesh: &Mesh, changes: &Changes, since: Instant) -> usize {
        self.forget_idle();
        let moved = self.move_proxies(mesh, changes, since);
        let mut changed: HashMap<Arc<ProxyView>, Arc<ViewSnapshot>> = HashMap::new();
        let mut id = self.ids;
        for (view, entry) in &mut self.views {
            let before = entry.snapshot.resources();
            let (resources, delta) = translate::update(mesh, view, &self.memo, before, changes);
            if delta.is_empty() {
                continue;
            }
            id += 1;
            entry.snapshot = entry.snapshot.next(resources, &delta, id, since);
            changed.insert(view.clone(), entry.snapshot.clone());
        }
        self.ids = id;
        let mut told = 0;
        for (id, proxy) in &self.proxies {
            let news = changed.get(&proxy.view).or_else(|| {
                moved.contains(id).then(|| self.views.get(&proxy.view).map(|view| &view.snapshot)).flatten()
            });
            if let Some(snapshot) = news {
                proxy.slot.put(snapshot.clone());
                told += 1;
            }
        }
        told
    }

    /// A changed label, service or Sidecar can give a proxy another view.
    fn move_proxies(&mut self, mesh: &Mesh, changes: &Changes, since: Instant) -> Vec<u64> {
        let root = &mesh.settings.root_namespace;
        let other = |proxy: &Proxy| {
            if !changes.touch_view_of(&proxy.node.instance(), root) {
                return None;
            }
            let view = ProxyView::of(&proxy.node, mesh);
            (view != *proxy.view).then_some(view)
        };
        let moving: Vec<_> =
            self.proxies.iter().filter_map(|(id, proxy)| Some((*id, other(proxy)?))).collect();
        let mut moved = Vec::new();
        for (id, view) in moving {
            let joined = self.join(view, mesh, since);
            if let Some(proxy) = self.proxies.get_mut(&id) {
                let left = std::mem::replace(&mut proxy.view, joined);
                self.part(&left);
                moved.push(id);
            }
        }
        moved
    }

    fn forget_idle(&mut self) {
        let idle = self.views.values().filter(|view| view.proxies == 0).count();
        self.views
            .retain(|_, view| view.proxies > 0 || (idle <= MAX_IDLE && view.idle_since.elapsed() < IDLE));
    }
}
