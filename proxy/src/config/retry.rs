//! Retry policies.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::route::v3 as pb;

use super::error::{At as _, ConfigError, Result};
use super::in_use::InUse;
use super::value::{number, optional_duration};
use crate::snapshot::route::{RetryOn, RetryPolicy};

const PREVIOUS_HOSTS: &str =
    "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
const PREVIOUS_PRIORITIES: &str =
    "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig";

// Nearly all routes have the mesh's.
static POLICIES: InUse<RetryPolicy> = InUse::new();

/// The policy; none if it never tries again.
pub(super) fn policy(value: &pb::RetryPolicy) -> Result<Option<Arc<RetryPolicy>>> {
    if !value.retriable_headers.is_empty() || !value.retriable_request_headers.is_empty() {
        return Err(ConfigError::unsupported("retriable_headers"));
    }
    let mut policy = RetryPolicy::new(RetryOn::parse(&value.retry_on));
    policy.retries = number(value.num_retries.as_ref()).unwrap_or(1);
    if policy.retries == 0 || value.retry_on.is_empty() {
        return Ok(None);
    }
    for code in &value.retriable_status_codes {
        let code = u16::try_from(*code).ok().filter(|code| (100..600).contains(code));
        policy.status_codes.push(
            code.ok_or_else(|| ConfigError::new("a status code is from 100 to 599"))
                .field("retriable_status_codes")?,
        );
    }
    policy.per_try_timeout = super::value::timeout("per_try_timeout", value.per_try_timeout.as_ref(), None)?;
    if let Some(backoff) = &value.retry_back_off {
        let base = optional_duration("retry_back_off.base_interval", backoff.base_interval.as_ref())?;
        policy.base_interval = base.unwrap_or(policy.base_interval).max(Duration::from_millis(1));
        policy.max_interval =
            optional_duration("retry_back_off.max_interval", backoff.max_interval.as_ref())?
                .unwrap_or(policy.base_interval * 10)
                .max(policy.base_interval);
    }
    policy.host_selection_attempts = host_selection(value)?;
    policy.other_priorities = other_priorities(value)?;
    Ok(Some(POLICIES.one(Arc::new(policy))))
}

fn host_selection(value: &pb::RetryPolicy) -> Result<u32> {
    use pb::retry_policy::retry_host_predicate::ConfigType;
    let mut avoids_previous = false;
    for predicate in &value.retry_host_predicate {
        let type_url = match &predicate.config_type {
            Some(ConfigType::TypedConfig(any)) => any.type_url.as_str(),
            None => "",
        };
        match (type_url, predicate.name.as_str()) {
            (PREVIOUS_HOSTS, _) | ("", "envoy.retry_host_predicates.previous_hosts") => {
                avoids_previous = true;
            }
            (unknown, name) => {
                let error = ConfigError::unknown_extension("retry host predicate", name, unknown);
                return Err(error).field("retry_host_predicate");
            }
        }
    }
    let attempts = u32::try_from(value.host_selection_retry_max_attempts).unwrap_or(0).max(1);
    Ok(if avoids_previous { attempts } else { 0 })
}

fn other_priorities(value: &pb::RetryPolicy) -> Result<bool> {
    use pb::retry_policy::retry_priority::ConfigType;
    let Some(priority) = &value.retry_priority else { return Ok(false) };
    match &priority.config_type {
        Some(ConfigType::TypedConfig(any)) if any.type_url == PREVIOUS_PRIORITIES => Ok(true),
        Some(ConfigType::TypedConfig(any)) => {
            Err(ConfigError::unknown_extension("retry priority", &priority.name, &any.type_url))
                .field("retry_priority")
        }
        None => Ok(false),
    }
}
