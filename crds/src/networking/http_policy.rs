//! How requests of an HTTP rule are carried: retries, cross-origin policy, injected faults.

use super::{Percent, StringMatch};
use crate::{
    Duration,
    macros::{keywords, message},
    rules::at_most_one,
};

message! {
    /// When and how often failed requests are tried again.
    pub struct HttpRetry {
        /// Tries after the first; 0 switches retries off.
        pub attempts: Option<i32>,
        /// Time for each try; the route's timeout when absent.
        pub per_try_timeout: Option<Duration>,
        /// Conditions, comma separated, as Envoy names them; numbers are status codes.
        pub retry_on: Option<String>,
        /// Whether other localities may be tried.
        #[schemars(extend("nullable" = true))]
        pub retry_remote_localities: Option<bool>,
        /// Whether hosts tried before are avoided; true when absent.
        #[schemars(extend("nullable" = true))]
        pub retry_ignore_previous_hosts: Option<bool>,
        /// Shortest pause between tries; 25 ms when absent.
        pub backoff: Option<Duration>,
    }

    /// Cross-origin resource sharing.
    pub struct CorsPolicy {
        /// Deprecated: exact origins. Use allowOrigins.
        pub allow_origin: Vec<String>,
        /// Origins that are allowed; a request's origin is echoed when one matches.
        pub allow_origins: Vec<StringMatch>,
        /// Value of Access-Control-Allow-Methods.
        pub allow_methods: Vec<String>,
        /// Value of Access-Control-Allow-Headers.
        pub allow_headers: Vec<String>,
        /// Value of Access-Control-Expose-Headers.
        pub expose_headers: Vec<String>,
        /// How long a preflight answer may be cached.
        pub max_age: Option<Duration>,
        /// Whether credentials are allowed.
        #[schemars(extend("nullable" = true))]
        pub allow_credentials: Option<bool>,
        /// What happens to preflights whose origin isn't allowed; they are forwarded when absent.
        pub unmatched_preflights: Option<UnmatchedPreflights>,
    }

    /// Faults injected by the client's proxy.
    pub struct HttpFaultInjection {
        /// Delays before forwarding.
        pub delay: Option<HttpFaultInjectionDelay>,
        /// Answers instead of forwarding.
        pub abort: Option<HttpFaultInjectionAbort>,
    }

    /// A delay before forwarding.
    #[schemars(extend("oneOf" = at_most_one(&["fixedDelay", "exponentialDelay"])))]
    pub struct HttpFaultInjectionDelay {
        /// Deprecated: share of delayed requests in whole percents. Use percentage.
        pub percent: Option<i32>,
        /// Length of the delay.
        pub fixed_delay: Option<Duration>,
        /// Has no effect in Istio either.
        pub exponential_delay: Option<Duration>,
        /// Share of delayed requests; none when absent.
        pub percentage: Option<Percent>,
    }

    /// An answer instead of forwarding.
    #[schemars(extend("oneOf" = at_most_one(&["httpStatus", "grpcStatus", "http2Error"])))]
    pub struct HttpFaultInjectionAbort {
        /// HTTP status code.
        pub http_status: Option<i32>,
        /// gRPC status name or number.
        pub grpc_status: Option<String>,
        /// Has no effect in Istio either.
        pub http2_error: Option<String>,
        /// Share of aborted requests; none when absent.
        pub percentage: Option<Percent>,
    }
}

keywords! {
    /// What happens to preflight requests whose origin isn't allowed.
    pub enum UnmatchedPreflights {
        /// As FORWARD.
        Unspecified = "UNSPECIFIED",
        /// They are forwarded.
        Forward = "FORWARD",
        /// They are answered without the headers that would allow the request.
        Ignore = "IGNORE",
    }
}
