//! Resolves the names of DNS clusters, over and over, and publishes what they come to.
//!
//! One task per cluster. An answer replaces the cluster's endpoints in the configuration in force; a failure leaves the
//! old ones and is tried again sooner. States are kept by address, so an address that stays keeps its health and pools.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{Resolver, TokioResolver, config::LookupIpStrategy, net::NetError};
use tokio::{task::AbortHandle, time::Instant};

use super::random::Random;
use crate::snapshot::{
    Live, Snapshot,
    cluster::{
        Cluster, ClusterState, Discovery, Dns, DnsFamily, DnsTarget, Endpoint, Endpoints, LocalityEndpoints,
        Priority,
    },
};

/// The tasks of all DNS clusters.
#[derive(Debug)]
pub(super) struct Resolutions {
    live: Arc<Live>,
    running: HashMap<Arc<str>, Running>,
}

#[derive(Debug)]
struct Running {
    dns: Arc<Dns>,
    state: u64,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Resolutions {
    pub(super) fn new(live: Arc<Live>) -> Self {
        Self { live, running: HashMap::new() }
    }

    /// Begins with new clusters and ends with those that are gone.
    pub(super) fn follow(&mut self, snapshot: &Arc<Snapshot>) {
        self.running.retain(|name, running| {
            snapshot.cluster(name).is_some_and(|cluster| {
                cluster.state.id == running.state && dns_of(cluster).is_some_and(|dns| **dns == *running.dns)
            })
        });
        for cluster in snapshot.clusters.resolved() {
            if let Some(dns) = dns_of(cluster)
                && !self.running.contains_key(&cluster.name)
            {
                let task = resolve_for_ever(
                    self.live.clone(),
                    cluster.name.clone(),
                    dns.clone(),
                    cluster.state.clone(),
                );
                let task = tokio::spawn(task).abort_handle();
                let running = Running { dns: dns.clone(), state: cluster.state.id, task };
                self.running.insert(cluster.name.clone(), running);
            }
        }
    }
}

fn dns_of(cluster: &Cluster) -> Option<&Arc<Dns>> {
    match &cluster.config.discovery {
        Discovery::Dns(dns) => Some(dns),
        _ => None,
    }
}

async fn resolve_for_ever(live: Arc<Live>, name: Arc<str>, dns: Arc<Dns>, state: Arc<ClusterState>) {
    let random = Random::from_entropy();
    let mut failures = 0;
    let mut resolver = None;
    loop {
        if resolver.is_none() {
            resolver =
                resolver_for(dns.family).inspect_err(|error| tracing::warn!(%error, "no DNS resolver")).ok();
        }
        let answers = match &resolver {
            None => None,
            Some(resolver) => resolve(resolver, &dns).await,
        };
        let wait = if let Some((answers, ttl)) = answers {
            failures = 0;
            publish(&live, &name, &dns, &state, &answers);
            if dns.respect_ttl { ttl.max(Duration::from_secs(1)) } else { dns.refresh }
        } else {
            failures += 1;
            tracing::debug!(cluster = &*name, failures, "DNS resolution failed");
            backoff(dns.failure_refresh, failures, &random)
        };
        tokio::time::sleep(wait).await;
    }
}

/// Grows from `base` to `most`, drawn by lot so that proxies don't ask all at once.
fn backoff((base, most): (Duration, Duration), failures: u32, random: &Random) -> Duration {
    let longest = base.saturating_mul(1 << failures.min(16)).min(most.max(base));
    let nanoseconds = longest.as_nanos().min(u128::from(u64::MAX)) as usize;
    Duration::from_nanos(random.below(nanoseconds.max(1)) as u64).max(base.min(longest) / 2)
}

fn resolver_for(family: DnsFamily) -> Result<TokioResolver, NetError> {
    let mut builder = Resolver::builder_tokio()?;
    let options = builder.options_mut();
    // The refresh rate decides how old an answer may be.
    options.cache_size = 0;
    options.ip_strategy = match family {
        DnsFamily::Auto => LookupIpStrategy::Ipv6thenIpv4,
        DnsFamily::V4Only => LookupIpStrategy::Ipv4Only,
        DnsFamily::V6Only => LookupIpStrategy::Ipv6Only,
        DnsFamily::V4Preferred => LookupIpStrategy::Ipv4thenIpv6,
        DnsFamily::All => LookupIpStrategy::Ipv4AndIpv6,
    };
    builder.build()
}

/// The addresses of each target. `None` if any target failed in a way that may pass.
async fn resolve(resolver: &TokioResolver, dns: &Dns) -> Option<(Vec<Vec<IpAddr>>, Duration)> {
    let mut answers = Vec::with_capacity(dns.targets.len());
    let mut ttl = dns.refresh;
    for target in &dns.targets {
        if let Ok(address) = target.host.parse() {
            answers.push(vec![address]);
            continue;
        }
        match resolver.lookup_ip(&*target.host).await {
            Ok(found) => {
                ttl = ttl.min(found.valid_until().saturating_duration_since(Instant::now().into_std()));
                let mut addresses: Vec<IpAddr> = found.iter().collect();
                if dns.strict {
                    addresses.sort_unstable();
                    addresses.dedup();
                } else {
                    addresses.truncate(1);
                }
                answers.push(addresses);
            }
            // A name that has no address, said with authority, has no endpoints.
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => answers.push(Vec::new()),
            Err(_) => return None,
        }
    }
    Some((answers, ttl))
}

fn publish(live: &Live, name: &Arc<str>, dns: &Arc<Dns>, state: &Arc<ClusterState>, answers: &[Vec<IpAddr>]) {
    let endpoints = Arc::new(assigned(dns, state, answers));
    live.update(|snapshot| {
        let Some(cluster) = snapshot.cluster(name) else { return snapshot.clone() };
        let ours = cluster.state.id == state.id && dns_of(cluster).is_some_and(|now| **now == **dns);
        if !ours || same(&cluster.endpoints, &endpoints) {
            return snapshot.clone();
        }
        snapshot.with_clusters([Arc::new(cluster.with_endpoints(endpoints))], &[])
    });
    state.forget_unused_endpoints();
}

/// The endpoints for these answers.
fn assigned(dns: &Dns, state: &ClusterState, answers: &[Vec<IpAddr>]) -> Endpoints {
    let mut all = Endpoints { priorities: Vec::new(), overprovisioning: dns.overprovisioning };
    for (target, addresses) in dns.targets.iter().zip(answers) {
        let index = target.priority as usize;
        if all.priorities.len() <= index {
            all.priorities.resize_with(index + 1, Priority::default);
        }
        let localities = &mut all.priorities[index].localities;
        let at = localities.iter().position(|known| known.locality == target.locality).unwrap_or_else(|| {
            localities.push(LocalityEndpoints {
                locality: target.locality.clone(),
                weight: target.locality_weight,
                endpoints: Vec::new(),
            });
            localities.len() - 1
        });
        localities[at].endpoints.extend(addresses.iter().map(|ip| Arc::new(endpoint(target, state, *ip))));
    }
    all
}

fn endpoint(target: &DnsTarget, state: &ClusterState, ip: IpAddr) -> Endpoint {
    Endpoint {
        weight: target.weight.max(1),
        hostname: Some(target.host.clone()),
        metadata: target.metadata.clone(),
        ..Endpoint::new(state.endpoint(SocketAddr::new(ip, target.port)))
    }
}

fn same(old: &Endpoints, new: &Endpoints) -> bool {
    let key = |endpoint: &Arc<Endpoint>| (endpoint.address(), endpoint.weight);
    old.priorities.len() == new.priorities.len() && old.iter().map(key).eq(new.iter().map(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::cluster::{ClusterConfig, Registry};

    fn target(host: &str, priority: u32, zone: &str) -> DnsTarget {
        let locality = crate::snapshot::cluster::Locality { zone: zone.into(), ..Default::default() };
        DnsTarget {
            host: host.into(),
            port: 80,
            priority,
            locality: Arc::new(locality),
            locality_weight: 1,
            weight: 1,
            metadata: Arc::default(),
        }
    }

    fn dns(targets: Vec<DnsTarget>) -> Arc<Dns> {
        Arc::new(Dns {
            strict: true,
            refresh: Duration::from_mins(1),
            respect_ttl: false,
            failure_refresh: (Duration::from_secs(1), Duration::from_secs(10)),
            family: DnsFamily::V4Only,
            targets,
            overprovisioning: 140,
        })
    }

    #[test]
    fn targets_become_endpoints_by_priority_and_locality() {
        let state = Registry::new().cluster(&"c".into());
        let dns = dns(vec![target("a", 0, "z1"), target("b", 0, "z1"), target("c", 1, "z2")]);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let answers = [vec![ip("10.0.0.1"), ip("10.0.0.2")], vec![ip("10.0.0.3")], vec![ip("10.0.0.4")]];
        let all = assigned(&dns, &state, &answers);
        let shape: Vec<Vec<usize>> = all
            .priorities
            .iter()
            .map(|priority| priority.localities.iter().map(|locality| locality.endpoints.len()).collect())
            .collect();
        assert_eq!(shape, [vec![3], vec![1]]);
        assert_eq!(all.iter().next().unwrap().hostname.as_deref(), Some("a"));
    }

    #[tokio::test]
    async fn an_answer_replaces_the_endpoints_in_force() {
        let registry = Registry::new();
        let config = ClusterConfig::new(Discovery::Dns(dns(vec![target("127.0.0.1", 0, "")])));
        let cluster = Arc::new(Cluster::new("c", config, Arc::default(), &registry));
        let live = Live::new(Snapshot::default().with_clusters([cluster], &[]));
        let mut resolutions = Resolutions::new(live.clone());
        resolutions.follow(&live.load());
        for _ in 0..100 {
            if !live.load().cluster("c").unwrap().endpoints.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let snapshot = live.load();
        let addresses: Vec<_> =
            snapshot.cluster("c").unwrap().endpoints.iter().map(|endpoint| endpoint.address()).collect();
        assert_eq!(addresses, ["127.0.0.1:80".parse().unwrap()]);
        live.update(|snapshot| snapshot.with_clusters([], &["c".into()]));
        resolutions.follow(&live.load());
        assert!(resolutions.running.is_empty());
    }

    #[test]
    fn failures_wait_longer_each_time() {
        let random = Random::seeded(1);
        let limits = (Duration::from_secs(1), Duration::from_secs(10));
        for failures in 1..40 {
            let wait = backoff(limits, failures, &random);
            assert!(wait >= limits.0 / 2 && wait <= limits.1, "{wait:?}");
        }
    }
}
