//! Small operations on indexes, each in the size of one entry.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::changes::Change;
use crate::config::Configured;
use crate::mesh::Aged;
use crate::value::{NamespacedName, Text};

/// Puts, replaces or removes one object; none if that changes nothing.
pub(super) fn replace<T: PartialEq>(
    map: &mut OrdMap<NamespacedName, Arc<T>>,
    name: &NamespacedName,
    new: Option<Arc<T>>,
) -> Option<Change<T>> {
    let old = map.get(name).cloned();
    if old == new {
        return None;
    }
    match &new {
        Some(new) => map.insert(name.clone(), new.clone()),
        None => map.remove(name),
    };
    Some(Change { old, new })
}

/// Replaces the object of this name in the list under a key; the list stays in order of age.
pub(super) fn replace_in<K: Ord + Clone, T: Configured>(
    map: &mut OrdMap<K, Aged<T>>,
    key: &K,
    name: &NamespacedName,
    new: Option<&Arc<T>>,
) {
    let others = map.get(key).into_iter().flat_map(|list| list.iter());
    let mut list: Vec<Arc<T>> =
        others.filter(|other| other.meta().name != *name).chain(new).cloned().collect();
    if list.is_empty() {
        map.remove(key);
    } else {
        list.sort_by_key(|object| object.meta().age_order());
        map.insert(key.clone(), list.into());
    }
}

/// The object of this name in the list under a key.
pub(super) fn find_in<K: Ord, T: Configured>(
    map: &OrdMap<K, Aged<T>>,
    key: &K,
    name: &NamespacedName,
) -> Option<Arc<T>> {
    map.get(key)?.iter().find(|object| object.meta().name == *name).cloned()
}

/// Adds a member to the set under a key.
pub(super) fn add_to<K: Ord + Clone, V: Ord + Clone>(map: &mut OrdMap<K, OrdSet<V>>, key: K, member: V) {
    map.entry(key).or_default().insert(member);
}

/// Removes a member from the set under a key.
pub(super) fn remove_from<K: Ord + Clone, V: Ord + Clone>(
    map: &mut OrdMap<K, OrdSet<V>>,
    key: &K,
    member: &V,
) {
    if let Some(set) = map.get_mut(key) {
        set.remove(member);
        if set.is_empty() {
            map.remove(key);
        }
    }
}

/// Counts the users of label keys; true if the set of keys in use changed.
pub(super) fn recount(counts: &mut OrdMap<Text, usize>, old: &[Text], new: &[Text]) -> bool {
    let mut changed = false;
    for key in new {
        let count = counts.entry(key.clone()).or_insert(0);
        changed |= *count == 0;
        *count += 1;
    }
    for key in old {
        if let Some(count) = counts.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(key);
                changed = true;
            }
        }
    }
    changed
}
