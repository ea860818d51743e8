//! How an endpoint is chosen.

use std::time::Duration;

/// How an endpoint is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Balancing {
    /// Among the endpoints of a locality.
    pub policy: Policy,
    /// If fewer percent than this are healthy, health is ignored. Istio sets 0: never.
    pub panic_threshold: f64,
    /// Localities get traffic by their weights (`locality_weighted_lb_config`).
    pub locality_weighted: bool,
    /// New endpoints get traffic little by little.
    pub slow_start: Option<SlowStart>,
    /// Hash the endpoint's host name instead of its address.
    pub hash_hostname: bool,
}

impl Default for Balancing {
    fn default() -> Self {
        Self {
            policy: Policy::RoundRobin,
            panic_threshold: 50.0,
            locality_weighted: false,
            slow_start: None,
            hash_hostname: false,
        }
    }
}

/// Envoy's `lb_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Policy {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The least busy of two drawn by lot; by weight and load where weights differ.
    LeastRequest {
        /// How many are drawn; 2 in Envoy.
        choices: u32,
    },
    /// By lot.
    Random,
    /// Ketama ring.
    RingHash {
        /// The fewest entries; 1024 in Envoy.
        min_size: u64,
        /// The most entries; 8388608 in Envoy.
        max_size: u64,
    },
    /// Maglev table.
    Maglev {
        /// Its size, a prime; 65537 in Envoy.
        table_size: u64,
    },
}

/// Envoy's `SlowStartConfig`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowStart {
    /// How long an endpoint counts as new.
    pub window: Duration,
    /// 1 is linear, more begins faster.
    pub aggression: f64,
    /// The percentage of its weight that it begins with.
    pub min_weight_percent: f64,
}
