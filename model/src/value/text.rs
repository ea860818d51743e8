//! Shared strings. The same namespace, label or host name occurs in thousands of objects; it is kept once.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

/// A shared, immutable string.
pub type Text = Arc<str>;

struct Pool {
    strings: HashSet<Text>,
    /// Size at which strings that nobody else holds are thrown out.
    sweep_at: usize,
}

static POOL: LazyLock<Mutex<Pool>> =
    LazyLock::new(|| Mutex::new(Pool { strings: HashSet::new(), sweep_at: 4096 }));

/// The shared copy of a string. The pool forgets strings that nobody else holds any more, so that it
/// never outgrows the mesh by more than twice.
pub fn intern(text: &str) -> Text {
    let mut pool = POOL.lock();
    if let Some(known) = pool.strings.get(text) {
        return known.clone();
    }
    if pool.strings.len() >= pool.sweep_at {
        pool.strings.retain(|held| Arc::strong_count(held) > 1);
        pool.sweep_at = (pool.strings.len() * 2).max(4096);
    }
    let text: Text = text.into();
    pool.strings.insert(text.clone());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_share_one_allocation() {
        assert!(Arc::ptr_eq(&intern("reviews"), &intern(&String::from("reviews"))));
    }
}
