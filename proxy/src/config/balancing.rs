//! How a cluster's endpoints are chosen.

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3 as pb;
use envoy_types::pb::google::protobuf as wkt;

use super::error::{At as _, ConfigError, Result};
use super::value::{enumeration, number, optional_duration};
use crate::snapshot::cluster::{Balancing, Policy, SlowStart};

/// Compiles a cluster's load balancing.
pub(super) fn balancing(value: &pb::Cluster) -> Result<Balancing> {
    use pb::cluster::common_lb_config::LocalityConfigSpecifier as Locality;
    let mut balancing =
        Balancing { policy: policy(value)?, slow_start: slow_start(value)?, ..Balancing::default() };
    let Some(common) = &value.common_lb_config else { return Ok(balancing) };
    if let Some(threshold) = &common.healthy_panic_threshold {
        balancing.panic_threshold = threshold.value.clamp(0.0, 100.0);
    }
    balancing.locality_weighted =
        matches!(common.locality_config_specifier, Some(Locality::LocalityWeightedLbConfig(_)));
    balancing.hash_hostname =
        common.consistent_hashing_lb_config.as_ref().is_some_and(|config| config.use_hostname_for_hashing);
    Ok(balancing)
}

fn policy(value: &pb::Cluster) -> Result<Policy> {
    use pb::cluster::{LbConfig, LbPolicy as Pb};
    let size = |value: Option<&wkt::UInt64Value>, default| value.map_or(default, |value| value.value);
    Ok(match enumeration(value.lb_policy).field("lb_policy")? {
        // A cluster that provides its own choice has a single one.
        Pb::RoundRobin | Pb::ClusterProvided => Policy::RoundRobin,
        Pb::Random => Policy::Random,
        Pb::LeastRequest => match &value.lb_config {
            Some(LbConfig::LeastRequestLbConfig(config)) => {
                Policy::LeastRequest { choices: number(config.choice_count.as_ref()).unwrap_or(2).max(2) }
            }
            _ => Policy::LeastRequest { choices: 2 },
        },
        Pb::RingHash => match &value.lb_config {
            Some(LbConfig::RingHashLbConfig(config)) => ring(
                size(config.minimum_ring_size.as_ref(), 1024),
                size(config.maximum_ring_size.as_ref(), 8 << 20),
                config.hash_function,
            )
            .field("ring_hash_lb_config")?,
            _ => Policy::RingHash { min_size: 1024, max_size: 8 << 20 },
        },
        Pb::Maglev => match &value.lb_config {
            Some(LbConfig::MaglevLbConfig(config)) => {
                maglev(size(config.table_size.as_ref(), 65_537)).field("maglev_lb_config")?
            }
            _ => Policy::Maglev { table_size: 65_537 },
        },
        Pb::LoadBalancingPolicyConfig => {
            return Err(ConfigError::unsupported("LOAD_BALANCING_POLICY_CONFIG"));
        }
    })
}

/// The bounds are Envoy's.
fn ring(min_size: u64, max_size: u64, hash_function: i32) -> Result<Policy> {
    use pb::cluster::ring_hash_lb_config::HashFunction;
    if hash_function != HashFunction::XxHash as i32 {
        return Err(ConfigError::unsupported("a hash function other than XX_HASH"));
    }
    if min_size == 0 || min_size > max_size || max_size > 8 << 20 {
        return Err(ConfigError::new(
            "the ring must have 1 to 8388608 entries, the minimum not above the maximum",
        ));
    }
    Ok(Policy::RingHash { min_size, max_size })
}

fn maglev(table_size: u64) -> Result<Policy> {
    let is_prime = table_size >= 2 && (2..=table_size.isqrt()).all(|d| !table_size.is_multiple_of(d));
    if table_size > 5_000_011 || !is_prime {
        let problem = format!("{table_size} is not a prime up to 5000011");
        return Err(ConfigError::new(problem)).field("table_size");
    }
    Ok(Policy::Maglev { table_size })
}

fn slow_start(value: &pb::Cluster) -> Result<Option<SlowStart>> {
    use pb::cluster::LbConfig;
    let config = match &value.lb_config {
        Some(LbConfig::RoundRobinLbConfig(config)) => config.slow_start_config.as_ref(),
        Some(LbConfig::LeastRequestLbConfig(config)) => config.slow_start_config.as_ref(),
        _ => None,
    };
    let Some(config) = config else { return Ok(None) };
    let window = optional_duration("slow_start_config.slow_start_window", config.slow_start_window.as_ref())?
        .unwrap_or(Duration::ZERO);
    Ok((!window.is_zero()).then(|| SlowStart {
        window,
        aggression: config.aggression.as_ref().map_or(1.0, |value| value.default_value),
        min_weight_percent: config.min_weight_percent.as_ref().map_or(10.0, |value| value.value),
    }))
}
