//! Values that many resources have in common, kept once.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Where one is kept that is equal to none of these, nobody gains: a mesh that has more kinds of a thing shares the first.
const MOST: usize = 64;

/// Values that are in use.
pub(super) struct InUse<T: ?Sized>(Mutex<Vec<Weak<T>>>);

impl<T: ?Sized + PartialEq> InUse<T> {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The value that is equal to this one, if there is one in use; else this one.
    pub(super) fn one(&self, value: Arc<T>) -> Arc<T> {
        let mut known = self.0.lock();
        if let Some(same) = known.iter().filter_map(Weak::upgrade).find(|other| *other == value) {
            return same;
        }
        known.retain(|other| other.strong_count() > 0);
        if known.len() < MOST {
            known.push(Arc::downgrade(&value));
        }
        value
    }
}

/// Texts that the parts of one resource have in common.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts(RefCell<HashSet<Arc<str>>>);

impl Texts {
    /// This text, which is the same one for every part that has it.
    pub(super) fn one(&self, text: &str) -> Arc<str> {
        let mut known = self.0.borrow_mut();
        if let Some(known) = known.get(text) {
            return known.clone();
        }
        let new: Arc<str> = if text.is_empty() { Arc::default() } else { text.into() };
        known.insert(new.clone());
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_for_as_long_as_one_is_in_use() {
        static TEXTS: InUse<str> = InUse::new();
        let first = TEXTS.one("a".into());
        assert!(Arc::ptr_eq(&first, &TEXTS.one("a".into())));
        assert!(!Arc::ptr_eq(&first, &TEXTS.one("b".into())));
        drop(first);
        assert_eq!(TEXTS.0.lock().iter().filter(|one| one.strong_count() > 0).count(), 0);
    }

    #[test]
    fn what_is_not_shared_takes_no_room() {
        static NUMBERS: InUse<usize> = InUse::new();
        let all: Vec<_> = (0..1000).map(|number| NUMBERS.one(Arc::new(number))).collect();
        assert_eq!((all.len(), NUMBERS.0.lock().len()), (1000, MOST));
    }
}
