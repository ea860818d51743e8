//! Numbers for texts, so that the series of a request is found by comparing numbers.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

/// Multiplies words of eight bytes. Fast on short texts and small keys; only for maps of bounded size.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct WordHasher(u64);

impl WordHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(27);
    }
}

impl Hasher for WordHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.add(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        let mut last = [0; 8];
        let rest = words.remainder();
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, number: u8) {
        self.add(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.add(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.add(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.add(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }
}

/// A map with [`WordHasher`].
pub(super) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<WordHasher>>;

/// Texts by number. Number 0 is "none", and what stands for texts beyond the bound.
#[derive(Debug)]
pub(super) struct Interner {
    numbers: FastMap<Arc<str>, u32>,
    bound: usize,
}

impl Interner {
    pub(super) fn new(bound: usize) -> Self {
        Self { numbers: FastMap::default(), bound }
    }

    /// The number of a text.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        if text.is_empty() || self.numbers.len() >= self.bound {
            return 0;
        }
        let number = self.numbers.len() as u32 + 1;
        self.numbers.insert(text.into(), number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_numbers_up_to_the_bound() {
        let mut interner = Interner::new(2);
        let (a, b) = (interner.number("a"), interner.number("b"));
        assert_ne!(a, b);
        assert_eq!((interner.number("a"), interner.number("")), (a, 0));
        assert_eq!(interner.number("c"), 0);
    }
}
