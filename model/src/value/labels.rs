//! Labels and the selection by them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::text::{Text, intern};

/// Sorted, shared labels.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[(Text, Text)]>);

impl Default for Labels {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl Labels {
    /// From pairs in any order; the last of equal keys wins.
    pub fn new<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let sorted: BTreeMap<Text, Text> =
            pairs.into_iter().map(|(key, value)| (intern(key.as_ref()), intern(value.as_ref()))).collect();
        Self(sorted.into_iter().collect())
    }

    /// From an object's metadata.
    pub fn of(map: Option<&BTreeMap<String, String>>) -> Self {
        map.map_or_else(Self::default, Self::new)
    }

    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&Text> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// Whether every label of a selector is here. An empty selector selects everything.
    pub fn satisfy(&self, selector: &Labels) -> bool {
        selector.0.iter().all(|(key, value)| self.get(key) == Some(value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order of keys.
    pub fn iter(&self) -> impl Iterator<Item = &(Text, Text)> {
        self.0.iter()
    }

    /// Only the labels whose key passes.
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(key, _)| keep(key)).cloned().collect())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(key, value)| (key, value))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_needs_all_of_its_labels() {
        let labels = Labels::new([("app", "reviews"), ("version", "v1")]);
        assert!(labels.satisfy(&Labels::new([("version", "v1")])));
        assert!(labels.satisfy(&Labels::default()));
        assert!(!labels.satisfy(&Labels::new([("version", "v2")])));
        assert!(!labels.satisfy(&Labels::new([("app", "reviews"), ("zone", "a")])));
    }
}
