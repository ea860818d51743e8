//! Remembers what was generated from which inputs, so that views which share the inputs share the resource.
//!
//! The mesh is structurally shared: an object that did not change is the same allocation. So the key of a resource is
//! the addresses of the objects it was made from, and nothing ever needs to be invalidated: other inputs, other key.
//! The inputs are held, so that no address is reused while it is part of a key.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use model::Text;
use parking_lot::Mutex;
use smallvec::SmallVec;
use xds::ResourceType;

use crate::resource::{Delta, Resource, Resources};
use crate::view::ProxyView;

/// An object that a resource was made from.
#[derive(Clone)]
enum Held {
    Object(#[expect(dead_code, reason = "held only to keep its address taken")] Arc<dyn Any + Send + Sync>),
    Text(#[expect(dead_code, reason = "held only to keep its address taken")] Text),
}

/// Everything that one resource depends on besides its type, its name included.
#[derive(Clone, Default)]
pub(crate) struct Inputs {
    words: SmallVec<[u64; 10]>,
    held: SmallVec<[Held; 6]>,
}

impl Inputs {
    /// Depends on a shared object.
    pub(crate) fn object<T: Any + Send + Sync>(&mut self, object: &Arc<T>) -> &mut Self {
        self.words.push(Arc::as_ptr(object) as usize as u64);
        self.held.push(Held::Object(object.clone()));
        self
    }

    /// Depends on a shared object that may be absent.
    pub(crate) fn optional<T: Any + Send + Sync>(&mut self, object: Option<&Arc<T>>) -> &mut Self {
        match object {
            Some(object) => self.object(object),
            None => self.word(0),
        }
    }

    /// Depends on an interned string.
    pub(crate) fn text(&mut self, text: &Text) -> &mut Self {
        self.words.push(Arc::as_ptr(text).cast::<u8>() as usize as u64);
        self.held.push(Held::Text(text.clone()));
        self
    }

    /// Depends on a plain value.
    pub(crate) fn word(&mut self, word: u64) -> &mut Self {
        self.words.push(word);
        self
    }
}

#[derive(PartialEq, Eq, Hash)]
struct MemoKey {
    kind: ResourceType,
    words: SmallVec<[u64; 10]>,
}

struct Entry {
    resource: Weak<Resource>,
    #[expect(dead_code, reason = "held only to keep the addresses in the key taken")]
    held: SmallVec<[Held; 6]>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<MemoKey, Entry>,
    sweep_at: usize,
}

/// What all views share that differ only in the workload's own ports.
#[derive(Clone)]
pub(crate) struct Shared {
    /// As of the mesh of this version.
    pub(crate) resources: Resources,
    /// What led here from the version before.
    pub(crate) step: Option<(u64, Arc<Delta>)>,
}

#[derive(Default)]
struct SharedViews {
    views: HashMap<ProxyView, Shared>,
    /// The version that views were last brought to.
    latest: u64,
}

/// Generated resources by their inputs, and shared parts of views. Forgets what no view holds any more.
#[derive(Default)]
pub struct Memo {
    table: Mutex<Table>,
    shared: Mutex<SharedViews>,
}

impl Memo {
    /// The resource made from these inputs, generated now if nobody has it.
    pub(crate) fn resource(
        &self,
        kind: ResourceType,
        inputs: Inputs,
        generate: impl FnOnce() -> Arc<Resource>,
    ) -> Arc<Resource> {
        let key = MemoKey { kind, words: inputs.words };
        let known = self.table.lock().entries.get(&key).and_then(|entry| entry.resource.upgrade());
        if let Some(known) = known {
            return known;
        }
        let resource = generate();
        let mut table = self.table.lock();
        if table.entries.len() >= table.sweep_at {
            table.entries.retain(|_, entry| entry.resource.strong_count() > 0);
            table.sweep_at = (table.entries.len() * 2).max(1024);
        }
        table.entries.insert(key, Entry { resource: Arc::downgrade(&resource), held: inputs.held });
        resource
    }

    /// The shared part of a view, as far as it was last brought.
    pub(crate) fn shared(&self, key: &ProxyView) -> Option<Shared> {
        self.shared.lock().views.get(key).cloned()
    }

    /// Keeps the shared part of a view for the next one.
    pub(crate) fn keep(&self, key: ProxyView, shared: Shared) {
        self.shared.lock().views.insert(key, shared);
    }

    /// Views are about to be brought to a version: what was not brought to the last one is nobody's any more.
    pub(crate) fn advance(&self, version: u64) {
        let mut shared = self.shared.lock();
        if version > shared.latest {
            let latest = std::mem::replace(&mut shared.latest, version);
            shared.views.retain(|_, shared| shared.resources.made_from() >= latest);
        }
    }

    /// Number of remembered resources, dead ones included until the next sweep.
    pub fn len(&self) -> usize {
        self.table.lock().entries.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Memo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memo").field("len", &self.len()).finish()
    }
}
