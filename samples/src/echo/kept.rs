//! Requests kept for a later question: what reached a server whose answer nobody gets, as a mirror's or a retry's.
//!
//! A request with the header `x-echo-keep: NAME` counts under this name. `/kept/NAME` answers the report of the last
//! one with their number in `kept`, and starts again from none.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::identity::Identity;

/// A server that nobody asks must not grow: names beyond this are not kept.
const MOST_NAMES: usize = 4096;

/// By name: how many requests, and the last one's report.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<String, (u64, Value)>>);

impl Kept {
    /// Counts a request.
    pub(super) fn keep(&self, name: &str, report: Value) {
        let mut kept = self.0.lock();
        if kept.len() < MOST_NAMES || kept.contains_key(name) {
            let entry = kept.entry(name.to_owned()).or_default();
            *entry = (entry.0 + 1, report);
        }
    }

    fn take(&self, name: &str) -> Option<(u64, Value)> {
        self.0.lock().remove(name)
    }
}

pub(super) async fn answer(
    State(identity): State<Arc<Identity>>,
    Extension(kept): Extension<Arc<Kept>>,
    Path(name): Path<String>,
) -> Json<Value> {
    let (count, mut last) =
        kept.take(&name).unwrap_or_else(|| (0, json!({ "pod": identity.pod, "version": identity.version })));
    last["kept"] = count.into();
    Json(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_told_once() {
        let kept = Kept::default();
        kept.keep("a", json!({ "path": "/1" }));
        kept.keep("a", json!({ "path": "/2" }));
        assert_eq!(kept.take("a"), Some((2, json!({ "path": "/2" }))));
        assert_eq!(kept.take("a"), None);
    }
}
