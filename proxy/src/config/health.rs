//! Circuit breakers and outlier detection.

use std::num::NonZeroU32;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3 as pb;
use envoy_types::pb::envoy::config::core::v3::RoutingPriority;
use envoy_types::pb::google::protobuf as wkt;

use super::error::Result;
use super::value::{flag, number, optional_duration};
use crate::snapshot::cluster::{Limits, OutlierDetection, RetryBudget};

/// The limits for requests of normal priority, which are all that the mesh has.
pub(super) fn limits(value: Option<&pb::CircuitBreakers>) -> Limits {
    let normal = RoutingPriority::Default as i32;
    let thresholds = value.and_then(|value| value.thresholds.iter().find(|one| one.priority == normal));
    let limit = |get: fn(&pb::circuit_breakers::Thresholds) -> Option<&wkt::UInt32Value>, default| {
        number(thresholds.and_then(get)).unwrap_or(default)
    };
    let budget = thresholds.and_then(|one| one.retry_budget.as_ref());
    Limits {
        max_connections: limit(|one| one.max_connections.as_ref(), 1024),
        max_pending_requests: limit(|one| one.max_pending_requests.as_ref(), 1024),
        max_requests: limit(|one| one.max_requests.as_ref(), 1024),
        max_retries: limit(|one| one.max_retries.as_ref(), 3),
        retry_budget: budget.map(|budget| RetryBudget {
            percent: budget.budget_percent.as_ref().map_or(20.0, |percent| percent.value).clamp(0.0, 100.0),
            min_concurrency: number(budget.min_retry_concurrency.as_ref()).unwrap_or(3),
        }),
    }
}

/// When endpoints are ejected. A detection that is not enforced is off.
/// `error_codes` count as errors in place of 5xx, if there are any.
pub(super) fn outlier(value: &pb::OutlierDetection, error_codes: Vec<u16>) -> Result<OutlierDetection> {
    let seconds = |field, duration: Option<&wkt::Duration>, default| {
        optional_duration(field, duration).map(|found| found.unwrap_or(Duration::from_secs(default)))
    };
    let base_ejection = seconds("base_ejection_time", value.base_ejection_time.as_ref(), 30)?;
    Ok(OutlierDetection {
        consecutive_5xx: count(value.consecutive_5xx, value.enforcing_consecutive_5xx, 100),
        consecutive_gateway: count(
            value.consecutive_gateway_failure,
            value.enforcing_consecutive_gateway_failure,
            0,
        ),
        consecutive_local_origin: count(
            value.consecutive_local_origin_failure,
            value.enforcing_consecutive_local_origin_failure,
            100,
        ),
        split_local_origin: value.split_external_local_origin_errors,
        interval: seconds("interval", value.interval.as_ref(), 10)?.max(Duration::from_millis(1)),
        base_ejection,
        max_ejection: seconds("max_ejection_time", value.max_ejection_time.as_ref(), 300)?.max(base_ejection),
        max_ejection_percent: number(value.max_ejection_percent.as_ref()).unwrap_or(10).min(100),
        always_eject_one: flag(value.always_eject_one_host.as_ref()),
        error_codes,
    })
}

fn count(
    threshold: Option<wkt::UInt32Value>,
    enforcing: Option<wkt::UInt32Value>,
    default_enforcing: u32,
) -> Option<NonZeroU32> {
    let enforced = number(enforcing.as_ref()).unwrap_or(default_enforcing) > 0;
    enforced.then(|| NonZeroU32::new(number(threshold.as_ref()).unwrap_or(5))).flatten()
}
