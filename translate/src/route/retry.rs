//! Retries.

use crds::networking::HttpRetry;
use envoy_types::pb::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;

use crate::proto::{any, previous_hosts, route, uint32, written};
use route::retry_policy::{
    RetryBackOff, RetryHostPredicate, RetryPriority, retry_host_predicate, retry_priority,
};

const ATTEMPTS: u32 = 2;
/// Failures after which the server cannot have begun to answer. No status codes are listed, so a plain 503 passes.
const RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
/// A reset before the app saw the request is safe to repeat, whatever the method.
const INBOUND_RETRY_ON: &str = "reset-before-request";
const BY_STATUS: &str = "retriable-status-codes";

/// The retry policy of a route, or of the mesh where the route has none. Zero attempts switch retries off.
pub(super) fn policy(written_policy: Option<&HttpRetry>, hashed: bool) -> Option<route::RetryPolicy> {
    // Who hashes wants the same endpoint again.
    let avoid_previous =
        written_policy.and_then(|retry| retry.retry_ignore_previous_hosts).unwrap_or(!hashed);
    let mut policy = route::RetryPolicy {
        num_retries: uint32(ATTEMPTS),
        retry_on: RETRY_ON.to_owned(),
        host_selection_retry_max_attempts: 5,
        retry_host_predicate: if avoid_previous { vec![previous_hosts()] } else { Vec::new() },
        ..Default::default()
    };
    let Some(retry) = written_policy else { return Some(policy) };
    policy.num_retries = uint32(attempts(retry)?);
    apply_retry_on(retry, &mut policy);
    policy.per_try_timeout = written(retry.per_try_timeout);
    policy.retry_back_off = back_off(retry);
    if retry.retry_remote_localities == Some(true) {
        policy.retry_priority = Some(RetryPriority {
            name: "envoy.retry_priorities.previous_priorities".to_owned(),
            config_type: Some(retry_priority::ConfigType::TypedConfig(any(&PreviousPrioritiesConfig {
                update_frequency: 2,
            }))),
        });
    }
    Some(policy)
}

/// The retry policy of a sidecar towards its own app.
pub(super) fn inbound() -> route::RetryPolicy {
    route::RetryPolicy {
        num_retries: uint32(ATTEMPTS),
        retry_on: INBOUND_RETRY_ON.to_owned(),
        ..Default::default()
    }
}

fn attempts(retry: &HttpRetry) -> Option<u32> {
    u32::try_from(retry.attempts.unwrap_or_default()).ok().filter(|attempts| *attempts > 0)
}

/// Numbers among the conditions are status codes, and switch on retries by status.
fn apply_retry_on(retry: &HttpRetry, policy: &mut route::RetryPolicy) {
    let Some(conditions) = retry.retry_on.as_deref().filter(|conditions| !conditions.is_empty()) else {
        return;
    };
    let mut names = Vec::new();
    for condition in conditions.split(',').map(str::trim).filter(|condition| !condition.is_empty()) {
        match condition.parse::<u32>() {
            Ok(code) if (100..600).contains(&code) => policy.retriable_status_codes.push(code),
            _ => names.push(condition),
        }
    }
    if !policy.retriable_status_codes.is_empty() && !names.contains(&BY_STATUS) {
        names.push(BY_STATUS);
    }
    policy.retry_on = names.join(",");
}

fn back_off(retry: &HttpRetry) -> Option<RetryBackOff> {
    retry.backoff.map(|base| RetryBackOff { base_interval: written(Some(base)), max_interval: None })
}

fn previous_hosts() -> RetryHostPredicate {
    RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
        config_type: Some(retry_host_predicate::ConfigType::TypedConfig(any(
            &previous_hosts::PreviousHostsPredicate {},
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn status_codes_among_the_conditions_become_a_list() {
        for (written, retry_on, codes) in [
            (json!({"attempts": 3}), RETRY_ON, vec![]),
            (json!({"attempts": 3, "retryOn": "5xx, reset"}), "5xx,reset", vec![]),
            (
                json!({"attempts": 3, "retryOn": "reset,503,429"}),
                "reset,retriable-status-codes",
                vec![503, 429],
            ),
            (
                json!({"attempts": 3, "retryOn": "503,retriable-status-codes"}),
                "retriable-status-codes",
                vec![503],
            ),
            (json!({"attempts": 3, "retryOn": "9999"}), "9999", vec![]),
        ] {
            let policy = policy(Some(&serde_json::from_value(written).unwrap()), false).unwrap();
            assert_eq!((policy.retry_on.as_str(), policy.retriable_status_codes), (retry_on, codes));
        }
    }

    #[test]
    fn zero_attempts_switch_retries_off() {
        assert_eq!(policy(Some(&HttpRetry::default()), false), None);
        assert!(policy(None, true).unwrap().retry_host_predicate.is_empty());
    }
}
