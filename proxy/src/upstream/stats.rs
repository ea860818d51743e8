//! A cluster's counters under Envoy's names.
//!
//! The pools count here; `observe` reads when it is scraped, and the admin endpoint for `/clusters` and `/stats`.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// Counters and gauges of one cluster. They are shared by the workers.
        #[derive(Debug, Default)]
        pub struct ClusterStats {
            $($(#[$doc])* pub $name: Counter,)*
        }

        impl ClusterStats {
            /// Envoy's names with the present values, in the order of the names.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name.get())),*].into_iter()
            }
        }
    };
}

counters! {
    /// Bytes that came from endpoints.
    upstream_cx_rx_bytes_total;
    /// Bytes that went to endpoints.
    upstream_cx_tx_bytes_total;
    /// Connections that failed.
    upstream_cx_connect_fail;
    /// Connections that took too long.
    upstream_cx_connect_timeout;
    /// Connections that we closed.
    upstream_cx_destroy_local;
    /// Connections that endpoints closed.
    upstream_cx_destroy_remote;
    /// Connections on HTTP/1.1.
    upstream_cx_http1_total;
    /// Connections on HTTP/2.
    upstream_cx_http2_total;
    /// Connections that were closed because nothing happened on them.
    upstream_cx_idle_timeout;
    /// Connections that were closed after their number of requests.
    upstream_cx_max_requests;
    /// Connections that a limit forbade.
    upstream_cx_overflow;
    /// Connections.
    upstream_cx_total;
    /// Answers of class 2xx.
    upstream_rq_2xx;
    /// Answers of class 3xx.
    upstream_rq_3xx;
    /// Answers of class 4xx.
    upstream_rq_4xx;
    /// Answers of class 5xx.
    upstream_rq_5xx;
    /// Requests that ended before their answer.
    upstream_rq_cancelled;
    /// Requests that failed because they had waited for a connection that failed.
    upstream_rq_pending_failure_eject;
    /// Requests that a limit forbade.
    upstream_rq_pending_overflow;
    /// Requests that waited for a connection.
    upstream_rq_pending_total;
    /// Attempts that took too long.
    upstream_rq_per_try_timeout;
    /// Retries.
    upstream_rq_retry;
    /// Retries that none could follow.
    upstream_rq_retry_limit_exceeded;
    /// Retries that a limit forbade.
    upstream_rq_retry_overflow;
    /// Retries that ended well.
    upstream_rq_retry_success;
    /// Requests that endpoints reset.
    upstream_rq_rx_reset;
    /// Requests that took too long.
    upstream_rq_timeout;
    /// Requests.
    upstream_rq_total;
    /// Requests that we reset.
    upstream_rq_tx_reset;
    /// Requests for which there was no endpoint.
    upstream_cx_none_healthy;
    /// Ejections.
    outlier_detection_ejections_enforced_total;
    /// Ejections that the limit of ejections forbade.
    outlier_detection_ejections_overflow;
    /// Ejections for consecutive answers of class 5xx.
    outlier_detection_ejections_enforced_consecutive_5xx;
    /// Ejections for consecutive gateway errors.
    outlier_detection_ejections_enforced_consecutive_gateway_failure;
    /// Ejections for consecutive failures to connect.
    outlier_detection_ejections_enforced_consecutive_local_origin_failure;
}

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Some more.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
