//! What keeps a cluster and its endpoints from being overrun: limits, and ejection of endpoints that fail.

use std::{num::NonZeroU32, time::Duration};

/// Limits of the circuit breaker. Istio's default is no limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Connections.
    pub max_connections: u32,
    /// Requests that wait for a connection.
    pub max_pending_requests: u32,
    /// Requests under way.
    pub max_requests: u32,
    /// Retries under way.
    pub max_retries: u32,
    /// Retries under way as a share of the requests, in place of `max_retries`.
    pub retry_budget: Option<RetryBudget>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: u32::MAX,
            max_pending_requests: u32::MAX,
            max_requests: u32::MAX,
            max_retries: u32::MAX,
            retry_budget: None,
        }
    }
}

impl Limits {
    /// Whether it matters how many connections there are, or how many requests wait for one.
    pub fn count_connections(&self) -> bool {
        self.max_connections != u32::MAX || self.max_pending_requests != u32::MAX
    }
}

/// Envoy's `RetryBudget`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    /// Percent of the requests under way; 20 in Envoy.
    pub percent: f64,
    /// As many are always allowed; 3 in Envoy.
    pub min_concurrency: u32,
}

/// When endpoints are ejected. `None` in a count switches that detection off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlierDetection {
    /// So many answers of class 5xx (or of `error_codes`) in a row.
    pub consecutive_5xx: Option<NonZeroU32>,
    /// So many 502, 503, 504 in a row.
    pub consecutive_gateway: Option<NonZeroU32>,
    /// So many failures to connect and the like in a row; only with `split_local_origin`.
    pub consecutive_local_origin: Option<NonZeroU32>,
    /// Failures to connect count for themselves and not as 5xx.
    pub split_local_origin: bool,
    /// Time between checks whether an ejection is over.
    pub interval: Duration,
    /// An ejection lasts this long, times how often the endpoint was ejected.
    pub base_ejection: Duration,
    /// The longest ejection.
    pub max_ejection: Duration,
    /// At most so many percent of the endpoints are ejected.
    pub max_ejection_percent: u32,
    /// One endpoint may be ejected even if that is more than `max_ejection_percent`.
    pub always_eject_one: bool,
    /// Codes that count as errors in place of 5xx (`outlierDetectionHttpErrorCodes`). Empty: 5xx.
    pub error_codes: Vec<u16>,
}

impl Default for OutlierDetection {
    /// What Istio writes for an empty block.
    fn default() -> Self {
        Self {
            consecutive_5xx: NonZeroU32::new(5),
            consecutive_gateway: None,
            consecutive_local_origin: NonZeroU32::new(5),
            split_local_origin: false,
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_mins(5),
            max_ejection_percent: 10,
            always_eject_one: false,
            error_codes: Vec::new(),
        }
    }
}
