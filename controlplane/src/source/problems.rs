//! What is wrong with objects at the moment: told once in the log, listed at `/debug/problemz` until it is mended.

use std::collections::{BTreeMap, HashSet};

use parking_lot::Mutex;

/// Told apart only up to here; a cluster full of broken objects must not fill memory.
const MAX: usize = 10_000;

/// Problems by where they are: a file, or a kind and name.
#[derive(Debug, Default)]
pub(crate) struct Problems(Mutex<BTreeMap<String, String>>);

impl Problems {
    /// Something is wrong there; what was good before stays in use.
    pub(crate) fn report(&self, place: &str, problem: String) {
        if let Some(problem) = self.take_in(place, problem) {
            tracing::warn!(place, problem, "ignored; the last good state stays in use");
        }
    }

    /// Something there is in use and does not do what it says.
    pub(crate) fn note(&self, place: &str, problem: String) {
        if let Some(problem) = self.take_in(place, problem) {
            tracing::warn!(place, problem, "in use, but not all of it has the effect it should");
        }
    }

    /// Lists a problem; returned is one that was not known.
    fn take_in(&self, place: &str, problem: String) -> Option<String> {
        let mut all = self.0.lock();
        if all.get(place) == Some(&problem) {
            return None;
        }
        if all.len() < MAX || all.contains_key(place) {
            all.insert(place.to_owned(), problem.clone());
        }
        Some(problem)
    }

    /// All is well there.
    pub(crate) fn clear(&self, place: &str) {
        if self.0.lock().remove(place).is_some() {
            tracing::info!(place, "mended");
        }
    }

    /// Forgets problems of places below this one that are not in `current`.
    pub(crate) fn keep(&self, prefix: &str, current: &[String]) {
        let current: HashSet<&str> = current.iter().map(String::as_str).collect();
        self.0.lock().retain(|place, _| !place.starts_with(prefix) || current.contains(place.as_str()));
    }

    pub(crate) fn all(&self) -> BTreeMap<String, String> {
        self.0.lock().clone()
    }
}
