//! Random numbers for balancing and sampling: fast, one generator per worker, seeded by tests.

use std::cell::Cell;

/// SplitMix64. Good enough to spread load; not for secrets.
#[derive(Debug)]
pub struct Random(Cell<u64>);

impl Random {
    /// A generator that gives the same numbers each time.
    pub fn seeded(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    /// A generator that gives other numbers each time.
    pub fn from_entropy() -> Self {
        Self::seeded(rand::random())
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number less than `bound`, which is more than 0.
    pub fn below(&self, bound: usize) -> usize {
        // Multiply and shift: as even as a modulus here, and cheaper.
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
