//! Turns in proportion to weights.

use std::collections::BinaryHeap;

use crate::upstream::random::Random;

/// Earliest deadline first: turns in proportion to weights, in O(log n).
#[derive(Debug)]
pub(super) struct Edf {
    queue: BinaryHeap<Turn>,
    now: f64,
    order: u64,
}

#[derive(Debug, PartialEq)]
struct Turn {
    deadline: f64,
    order: u64,
    index: usize,
}

impl Eq for Turn {}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Turn {
    /// The earliest is the greatest, because the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.deadline.total_cmp(&self.deadline).then_with(|| other.order.cmp(&self.order))
    }
}

impl Edf {
    /// Begins somewhere, so that workers (and proxies) don't all send to the same endpoint first.
    pub(super) fn new(weights: &[f64], random: &Random) -> Self {
        let queue = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| {
                let part = (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
                Turn { deadline: (1.0 - part) / weight, order: index as u64, index }
            })
            .collect();
        Self { queue, now: 0.0, order: weights.len() as u64 }
    }

    pub(super) fn next(&mut self, weight: impl FnOnce(usize) -> f64) -> Option<usize> {
        let Turn { deadline, index, .. } = self.queue.pop()?;
        self.now = deadline;
        self.order += 1;
        self.queue.push(Turn { deadline: deadline + 1.0 / weight(index), order: self.order, index });
        Some(index)
    }
}
