//! How a cluster's endpoint is picked.

use crds::networking::{ConsistentHashLb, LoadBalancerSettings, SimpleLb};

use super::of_type;
use crate::endpoints::Locality;
use crate::proto::{cluster, core, kinds, uint64, written};
use cluster::cluster::{DiscoveryType, LbConfig, LbPolicy};

/// Envoy's default of 1024 entries, spelled out as istiod does.
const RING_SIZE: u64 = 1024;

/// Applies the load balancer settings of a policy.
pub(super) fn apply(
    settings: Option<&LoadBalancerSettings>,
    locality: &Locality<'_>,
    cluster: &mut cluster::Cluster,
) {
    if locality.is_weighted() {
        use cluster::cluster::common_lb_config::{LocalityConfigSpecifier, LocalityWeightedLbConfig};
        let common = cluster.common_lb_config.get_or_insert_default();
        common.locality_config_specifier =
            Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {}));
    }
    if cluster.cluster_discovery_type == of_type(DiscoveryType::OriginalDst) {
        cluster.lb_policy = LbPolicy::ClusterProvided.into();
        return;
    }
    match settings.and_then(|settings| settings.simple).unwrap_or_default() {
        SimpleLb::Random => cluster.lb_policy = LbPolicy::Random.into(),
        SimpleLb::RoundRobin => {
            cluster.lb_policy = LbPolicy::RoundRobin.into();
            cluster.lb_config = slow_start(settings).map(|slow_start| {
                LbConfig::RoundRobinLbConfig(cluster::cluster::RoundRobinLbConfig {
                    slow_start_config: Some(slow_start),
                })
            });
        }
        SimpleLb::Passthrough => {
            cluster.lb_policy = LbPolicy::ClusterProvided.into();
            cluster.cluster_discovery_type = of_type(DiscoveryType::OriginalDst);
            cluster.eds_cluster_config = None;
            cluster.load_assignment = None;
        }
        SimpleLb::Unspecified | SimpleLb::LeastConn | SimpleLb::LeastRequest | SimpleLb::Unrecognized => {
            cluster.lb_policy = LbPolicy::LeastRequest.into();
            cluster.lb_config = slow_start(settings).map(|slow_start| {
                LbConfig::LeastRequestLbConfig(cluster::cluster::LeastRequestLbConfig {
                    slow_start_config: Some(slow_start),
                    ..Default::default()
                })
            });
        }
    }
    if let Some(hash) = settings.and_then(|settings| settings.consistent_hash.as_ref()) {
        consistent_hash(hash, cluster);
    }
}

fn consistent_hash(hash: &ConsistentHashLb, cluster: &mut cluster::Cluster) {
    let positive = |size: Option<u64>| size.filter(|size| *size > 0);
    if let Some(maglev) = &hash.maglev {
        cluster.lb_policy = LbPolicy::Maglev.into();
        cluster.lb_config = positive(maglev.table_size).map(|size| {
            LbConfig::MaglevLbConfig(cluster::cluster::MaglevLbConfig { table_size: uint64(size) })
        });
        return;
    }
    let size = match &hash.ring_hash {
        Some(ring) => positive(ring.minimum_ring_size),
        None => Some(positive(hash.minimum_ring_size).unwrap_or(RING_SIZE)),
    };
    cluster.lb_policy = LbPolicy::RingHash.into();
    cluster.lb_config = size.map(|size| {
        LbConfig::RingHashLbConfig(cluster::cluster::RingHashLbConfig {
            minimum_ring_size: uint64(size),
            ..Default::default()
        })
    });
}

/// New endpoints get their share bit by bit.
fn slow_start(settings: Option<&LoadBalancerSettings>) -> Option<cluster::cluster::SlowStartConfig> {
    let settings = settings?;
    if let Some(warmup) = &settings.warmup {
        return Some(cluster::cluster::SlowStartConfig {
            slow_start_window: written(Some(warmup.duration)),
            aggression: Some(core::RuntimeDouble {
                default_value: warmup.aggression.unwrap_or(1.0),
                // Envoy wants a key here; nothing ever sets it.
                runtime_key: "(".to_owned(),
            }),
            min_weight_percent: Some(kinds::Percent { value: warmup.minimum_percent.unwrap_or(10.0) }),
        });
    }
    settings.warmup_duration_secs.map(|window| cluster::cluster::SlowStartConfig {
        slow_start_window: written(Some(window)),
        ..Default::default()
    })
}
