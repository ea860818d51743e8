//! When a request is tried again.

use std::time::Duration;

/// Envoy's RetryPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// What is tried again.
    pub on: RetryOn,
    /// The codes for [`RetryOn::STATUS_CODES`].
    pub status_codes: Vec<u16>,
    /// Attempts after the first.
    pub retries: u32,
    /// Time for one attempt.
    pub per_try_timeout: Option<Duration>,
    /// The first wait before another attempt is up to this; it doubles each time.
    pub base_interval: Duration,
    /// The longest wait.
    pub max_interval: Duration,
    /// How often an endpoint is picked again because it was tried already. 0: endpoints may be tried again.
    pub host_selection_attempts: u32,
    /// Endpoints of other localities are preferred once one has failed (`previous_priorities`).
    pub other_priorities: bool,
}

impl RetryPolicy {
    /// Envoy's defaults: one retry, 25 ms.
    pub fn new(on: RetryOn) -> Self {
        Self {
            on,
            status_codes: Vec::new(),
            retries: 1,
            per_try_timeout: None,
            base_interval: Duration::from_millis(25),
            max_interval: Duration::from_millis(250),
            host_selection_attempts: 0,
            other_priorities: false,
        }
    }
}

/// A set of reasons to try again: Envoy's `retry_on` and `x-envoy-retry-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryOn(u32);

impl RetryOn {
    /// `5xx`: any 5xx, or no answer at all.
    pub const FIVE_XX: Self = Self(1);
    /// `gateway-error`: 502, 503, 504.
    pub const GATEWAY_ERROR: Self = Self(1 << 1);
    /// `connect-failure`.
    pub const CONNECT_FAILURE: Self = Self(1 << 2);
    /// `retriable-4xx`: 409.
    pub const RETRIABLE_4XX: Self = Self(1 << 3);
    /// `refused-stream`.
    pub const REFUSED_STREAM: Self = Self(1 << 4);
    /// `reset`: no answer at all.
    pub const RESET: Self = Self(1 << 5);
    /// `reset-before-request`: no answer, and the request hadn't been sent.
    pub const RESET_BEFORE_REQUEST: Self = Self(1 << 6);
    /// `retriable-status-codes`.
    pub const STATUS_CODES: Self = Self(1 << 7);
    /// `envoy-ratelimited`.
    pub const RATELIMITED: Self = Self(1 << 8);
    /// `cancelled`, gRPC.
    pub const GRPC_CANCELLED: Self = Self(1 << 9);
    /// `deadline-exceeded`, gRPC.
    pub const GRPC_DEADLINE_EXCEEDED: Self = Self(1 << 10);
    /// `internal`, gRPC.
    pub const GRPC_INTERNAL: Self = Self(1 << 11);
    /// `resource-exhausted`, gRPC.
    pub const GRPC_RESOURCE_EXHAUSTED: Self = Self(1 << 12);
    /// `unavailable`, gRPC.
    pub const GRPC_UNAVAILABLE: Self = Self(1 << 13);
    /// `http3-post-connect-failure`; accepted, never happens.
    pub const HTTP3_POST_CONNECT_FAILURE: Self = Self(1 << 14);

    /// Reads a comma-separated list. Words that Envoy wouldn't know have no effect, as there; a number is a status
    /// code, which is left to the caller.
    pub fn parse(list: &str) -> Self {
        list.split(',').map(str::trim).fold(Self::default(), |set, word| {
            set.with(match word {
                "5xx" => Self::FIVE_XX,
                "gateway-error" => Self::GATEWAY_ERROR,
                "connect-failure" => Self::CONNECT_FAILURE,
                "retriable-4xx" => Self::RETRIABLE_4XX,
                "refused-stream" => Self::REFUSED_STREAM,
                "reset" => Self::RESET,
                "reset-before-request" => Self::RESET_BEFORE_REQUEST,
                "retriable-status-codes" => Self::STATUS_CODES,
                "envoy-ratelimited" => Self::RATELIMITED,
                "cancelled" => Self::GRPC_CANCELLED,
                "deadline-exceeded" => Self::GRPC_DEADLINE_EXCEEDED,
                "internal" => Self::GRPC_INTERNAL,
                "resource-exhausted" => Self::GRPC_RESOURCE_EXHAUSTED,
                "unavailable" => Self::GRPC_UNAVAILABLE,
                "http3-post-connect-failure" => Self::HTTP3_POST_CONNECT_FAILURE,
                _ => Self::default(),
            })
        })
    }

    /// Both sets.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any reason of `other` is in this set.
    pub fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}
