//! Istio's objects as the API server has them: which generation, which status, and whether they can be read at all.
//! The watches write it, whoever writes status reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crds::meta::IstioStatus;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use model::{Key, Kind};
use parking_lot::Mutex;
use serde::Deserialize as _;
use tokio::sync::Notify;

/// One object.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// By which a new object of the same name is told from this one.
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) status: IstioStatus,
    /// Why it cannot be read.
    pub(crate) broken: Option<String>,
    /// When this generation came.
    pub(crate) since: Instant,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    state: Mutex<State>,
    /// Something changed that a status may depend on.
    pub(crate) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    all: BTreeMap<Key, Arc<Seen>>,
    /// Names that a list which is being received has so far.
    listings: BTreeMap<Kind, BTreeSet<Key>>,
}

impl Objects {
    /// All objects, as they are now.
    pub(crate) fn all(&self) -> BTreeMap<Key, Arc<Seen>> {
        self.state.lock().all.clone()
    }

    /// An object came or changed, and could be read or not.
    pub(crate) fn saw(&self, kind: Kind, object: &DynamicObject, broken: Option<String>) {
        let key = Key::new(kind, &object.namespace().unwrap_or_default(), &object.name_any());
        // Whatever cannot be read of a status is not ours, and will be replaced.
        let status = object.data.get("status").and_then(|status| IstioStatus::deserialize(status).ok());
        let mut seen = Seen {
            uid: object.uid().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            status: status.unwrap_or_default(),
            broken,
            since: Instant::now(),
        };
        let mut state = self.state.lock();
        if let Some(listing) = state.listings.get_mut(&kind) {
            listing.insert(key.clone());
        }
        if let Some(known) = state.all.get(&key).filter(|known| known.is_same_spec(&seen)) {
            // The echo of our own write, or nothing at all.
            if known.status == seen.status && known.broken == seen.broken {
                return;
            }
            seen.since = known.since;
        }
        state.all.insert(key, Arc::new(seen));
        drop(state);
        self.changed.notify_one();
    }

    /// An object is gone.
    pub(crate) fn gone(&self, kind: Kind, place: &str) {
        let (namespace, name) = place.split_once('/').unwrap_or(("", place));
        self.state.lock().all.remove(&Key::new(kind, namespace, name));
    }

    /// A list of all objects of a kind begins.
    pub(crate) fn listing(&self, kind: Kind) {
        self.state.lock().listings.insert(kind, BTreeSet::new());
    }

    /// The list is complete: what it did not have is gone.
    pub(crate) fn listed(&self, kind: Kind) {
        let mut state = self.state.lock();
        if let Some(listing) = state.listings.remove(&kind) {
            state.all.retain(|key, _| key.kind != kind || listing.contains(key));
        }
    }

    /// A status was written: this is what the object has now, as far as it is still the same one.
    pub(crate) fn wrote(&self, key: &Key, seen: &Arc<Seen>, status: IstioStatus) {
        let mut state = self.state.lock();
        if let Some(known) = state.all.get_mut(key).filter(|known| known.is_same_spec(seen)) {
            *known = Arc::new(Seen { status, ..Seen::clone(known) });
        }
    }
}

impl Seen {
    /// Whether both are the same object with the same spec.
    fn is_same_spec(&self, other: &Self) -> bool {
        self.uid == other.uid && self.generation == other.generation
    }
}

/// What a watch of one of Istio's kinds tells.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    pub(crate) objects: Arc<Objects>,
    pub(crate) kind: Kind,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, generation: i64, accepted: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Sidecar",
            "metadata": {"name": name, "namespace": "shop", "uid": name, "generation": generation},
            "spec": {},
            "status": {"conditions": [{"type": "Accepted", "status": accepted}], "observedGeneration": "1"},
        }))
        .unwrap()
    }

    fn notified(objects: &Objects) -> bool {
        use futures::FutureExt as _;
        objects.changed.notified().now_or_never().is_some()
    }

    #[test]
    fn the_echo_of_a_write_is_no_news() {
        let objects = Objects::default();
        objects.saw(Kind::Sidecar, &object("a", 1, "False"), None);
        assert!(notified(&objects));
        let key = Key::new(Kind::Sidecar, "shop", "a");
        let seen = objects.all()[&key].clone();
        assert_eq!(seen.status.observed_generation, Some(crds::meta::Int64(1)));
        let written = IstioStatus::deserialize(&object("a", 1, "True").data["status"]).unwrap();
        objects.wrote(&key, &seen, written.clone());
        objects.saw(Kind::Sidecar, &object("a", 1, "True"), None);
        assert!(!notified(&objects));
        assert_eq!(objects.all()[&key].since, seen.since, "the same generation");
        // Somebody else's write is.
        objects.saw(Kind::Sidecar, &object("a", 1, "Unknown"), None);
        assert!(notified(&objects));
        // What was written meant an older generation: it is not taken for the new one's.
        objects.saw(Kind::Sidecar, &object("a", 2, "Unknown"), None);
        objects.wrote(&key, &seen, written.clone());
        assert_ne!(objects.all()[&key].status, written);
    }

    #[test]
    fn a_list_forgets_what_it_does_not_have() {
        let objects = Objects::default();
        for name in ["a", "b"] {
            objects.saw(Kind::Sidecar, &object(name, 1, "True"), None);
        }
        objects.listing(Kind::Sidecar);
        objects.saw(Kind::Sidecar, &object("b", 1, "True"), Some("unreadable".into()));
        objects.listed(Kind::Sidecar);
        let all = objects.all();
        assert_eq!(all.len(), 1);
        assert!(all.values().all(|seen| seen.broken.is_some()));
        objects.gone(Kind::Sidecar, "shop/b");
        assert!(objects.all().is_empty());
    }
}
