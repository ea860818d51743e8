//! The numbers behind a series. Each worker has its own, which it alone writes and a scrape reads.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

/// The upper bounds of Envoy's histograms.
pub(super) const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// A number that one thread adds to.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds. Cheaper than an atomic addition, because nobody else writes.
    pub(super) fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram of whole numbers.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Values up to each bound; the last is for those beyond all.
    buckets: [Count; BOUNDS.len() + 1],
    sum: Count,
}

impl Histogram {
    pub(super) fn record(&self, value: u64) {
        let at = BOUNDS.iter().position(|bound| value as f64 <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[at].add(1);
        self.sum.add(value);
    }

    /// Adds the values to `total`.
    pub(super) fn add_to(&self, total: &mut HistogramTotal) {
        for (sum, bucket) in total.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.get();
        }
        total.sum += self.sum.get();
    }
}

/// Histograms of several workers, summed.
#[derive(Debug, Default, Clone)]
pub(super) struct HistogramTotal {
    pub(super) buckets: [u64; BOUNDS.len() + 1],
    pub(super) sum: u64,
}

/// Requests with the same labels.
#[derive(Debug)]
pub(super) struct RequestSeries {
    /// The labels as they are written.
    pub(super) labels: Arc<str>,
    /// Whether messages are counted.
    pub(super) grpc: bool,
    pub(super) requests: Count,
    pub(super) duration: Histogram,
    pub(super) request_bytes: Histogram,
    pub(super) response_bytes: Histogram,
    pub(super) request_messages: Count,
    pub(super) response_messages: Count,
}

impl RequestSeries {
    pub(super) fn new(labels: Arc<str>, grpc: bool) -> Self {
        Self {
            labels,
            grpc,
            requests: Count::default(),
            duration: Histogram::default(),
            request_bytes: Histogram::default(),
            response_bytes: Histogram::default(),
            request_messages: Count::default(),
            response_messages: Count::default(),
        }
    }
}

/// Connections with the same labels.
#[derive(Debug)]
pub(super) struct TcpSeries {
    /// The labels as they are written.
    pub(super) labels: Arc<str>,
    pub(super) sent: Count,
    pub(super) received: Count,
    pub(super) opened: Count,
    pub(super) closed: Count,
}

impl TcpSeries {
    pub(super) fn new(labels: Arc<str>) -> Self {
        Self {
            labels,
            sent: Count::default(),
            received: Count::default(),
            opened: Count::default(),
            closed: Count::default(),
        }
    }
}

/// The series of one worker.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// Locked for a new series and for a scrape, never to count.
    pub(super) requests: Mutex<Vec<Arc<RequestSeries>>>,
    /// The same for TCP.
    pub(super) tcp: Mutex<Vec<Arc<TcpSeries>>>,
    /// Requests and connections that went to the last series because there were too many.
    pub(super) overflow: Count,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_bucket_that_they_do_not_exceed() {
        let histogram = Histogram::default();
        for value in [0, 1, 2, 5, 3_600_000, 3_600_001] {
            histogram.record(value);
        }
        let mut total = HistogramTotal::default();
        histogram.add_to(&mut total);
        assert_eq!(total.buckets[..3], [1, 1, 2]);
        assert_eq!(total.buckets[18..], [1, 1]);
        assert_eq!(total.sum, 7_200_009);
    }
}
