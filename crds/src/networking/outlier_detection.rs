//! When failing endpoints are set aside. Off unless the block is present.

use crate::{Duration, macros::message};

message! {
    /// When failing endpoints are set aside.
    pub struct OutlierDetection {
        /// Deprecated and without effect; use consecutive5xxErrors or consecutiveGatewayErrors.
        pub consecutive_errors: Option<i32>,
        /// Tell failures to connect apart from bad answers.
        pub split_external_local_origin_errors: Option<bool>,
        /// Failures to connect in a row (needs splitExternalLocalOriginErrors); 5 when absent.
        #[schemars(extend("nullable" = true))]
        pub consecutive_local_origin_failures: Option<u32>,
        /// 502, 503 and 504 in a row; 0 and absent switch it off.
        #[schemars(extend("nullable" = true))]
        pub consecutive_gateway_errors: Option<u32>,
        /// 5xx in a row; 5 when absent, 0 switches it off.
        #[serde(rename = "consecutive5xxErrors")]
        #[schemars(extend("nullable" = true))]
        pub consecutive_5xx_errors: Option<u32>,
        /// Time between sweeps; 10 s when absent.
        pub interval: Option<Duration>,
        /// Shortest time an endpoint is set aside, multiplied by how often it was; 30 s when absent.
        pub base_ejection_time: Option<Duration>,
        /// Most endpoints that may be set aside, in percent; 10 when absent.
        pub max_ejection_percent: Option<i32>,
        /// Below this share of healthy endpoints all are used; 0 (never) when absent.
        pub min_health_percent: Option<i32>,
        /// Status codes that count as errors.
        #[schemars(inner(range(min = 100, max = 599)))]
        pub outlier_detection_http_error_codes: Vec<u32>,
    }
}
