//! The resources in force as they came, for the admin interface. Endpoints and secrets are not among them: the former are
//! shown from the snapshot, the latter not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::Mutex;
use xds::names::type_url;

/// One resource.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The control plane's version of it.
    pub version: Box<str>,
    /// The encoded message.
    pub body: Bytes,
    /// When it came.
    pub at: SystemTime,
    /// Why a newer version was refused, if one was.
    pub refused: Option<Box<str>>,
}

type Named = BTreeMap<Arc<str>, Stored>;

/// All resources, by type and name.
#[derive(Debug, Default)]
pub struct Held(Mutex<BTreeMap<&'static str, Named>>);

impl Held {
    /// Nothing yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The resources of a type, by name.
    pub fn of(&self, type_url: &str) -> Named {
        self.0.lock().get(type_url).cloned().unwrap_or_default()
    }

    pub(super) fn put(&self, type_url: &'static str, name: &Arc<str>, version: &str, body: Vec<u8>) {
        if type_url == type_url::ENDPOINTS || type_url == type_url::SECRET {
            return;
        }
        let stored =
            Stored { version: version.into(), body: body.into(), at: SystemTime::now(), refused: None };
        self.0.lock().entry(type_url).or_default().insert(name.clone(), stored);
    }

    pub(super) fn refuse(&self, type_url: &'static str, name: &str, reason: &str) {
        if let Some(stored) = self.0.lock().get_mut(type_url).and_then(|named| named.get_mut(name)) {
            stored.refused = Some(reason.into());
        }
    }

    pub(super) fn remove(&self, type_url: &str, name: &str) {
        if let Some(named) = self.0.lock().get_mut(type_url) {
            named.remove(name);
        }
    }
}
