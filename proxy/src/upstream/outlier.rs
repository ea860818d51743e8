//! Outlier detection: endpoints that fail again and again get no traffic for a while.
//!
//! The pools [`report`] what became of each request, which may eject the endpoint at once. [`sweep`], which the control
//! thread calls for each cluster at its interval, lets endpoints back. The rules and their order are Envoy's; success
//! rates are not looked at, as Istio switches that off.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::state::EndpointState;
use crate::snapshot::cluster::{Cluster, Endpoint, OutlierDetection};

/// An endpoint's errors in a row, and whether it is ejected.
#[derive(Debug, Default)]
pub(super) struct EndpointHealth {
    consecutive_5xx: AtomicU32,
    consecutive_gateway: AtomicU32,
    consecutive_local: AtomicU32,
    ejected: AtomicBool,
    /// By how much the base ejection time is multiplied; grows with ejections and shrinks with quiet intervals.
    backoff: AtomicU32,
}

impl EndpointHealth {
    pub(super) fn ejected(&self) -> bool {
        self.ejected.load(Ordering::Relaxed)
    }

    fn reset(&self) {
        for counter in [&self.consecutive_5xx, &self.consecutive_gateway, &self.consecutive_local] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// The ejections of one cluster.
#[derive(Debug, Default)]
pub struct ClusterHealth {
    epoch: AtomicU64,
    ejections: Mutex<Vec<Ejection>>,
    swept: Mutex<Option<Instant>>,
}

impl ClusterHealth {
    /// A number that changes with each ejection and return. Workers look at it to know that their view is old.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Endpoints that are ejected now.
    pub fn ejected(&self) -> usize {
        self.ejections.lock().len()
    }

    fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }
}

#[derive(Debug)]
struct Ejection {
    endpoint: Arc<EndpointState>,
    since: Instant,
}

/// What became of a request or a connection, as far as its endpoint is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// It answered with this status; a gRPC status in the head counts as the HTTP status that it stands for.
    Status(u16),
    /// It could not be connected to.
    ConnectFailed,
    /// It could be connected to. Reported for TCP only, or after a failure.
    Connected,
    /// It didn't answer in time.
    TimedOut,
    /// It broke off before it had answered.
    Reset,
}

/// What kind of error was seen often enough.
#[derive(Debug, Clone, Copy)]
enum Reason {
    Consecutive5xx,
    Gateway,
    LocalOrigin,
}

/// Tells the detector what became of a request.
pub fn report(cluster: &Cluster, endpoint: &Endpoint, seen: Observation, now: Instant) {
    let Some(config) = &cluster.config.outlier else { return };
    let health = &endpoint.state.health;
    let code = match seen {
        Observation::Status(code) => code,
        Observation::Connected => {
            if config.split_local_origin {
                health.consecutive_local.store(0, Ordering::Relaxed);
            }
            return;
        }
        _ if config.split_local_origin => {
            let reached = reaches(&health.consecutive_local, config.consecutive_local_origin);
            return eject_if(reached, cluster, config, endpoint, Reason::LocalOrigin, now);
        }
        // Without the split, what we found out ourselves counts as if the endpoint had said it.
        Observation::ConnectFailed => 503,
        Observation::TimedOut => 504,
        Observation::Reset => 502,
    };
    if config.split_local_origin {
        health.consecutive_local.store(0, Ordering::Relaxed);
    }
    let said_by_endpoint = matches!(seen, Observation::Status(_));
    let error = match (said_by_endpoint, config.error_codes.is_empty()) {
        (true, false) => config.error_codes.contains(&code),
        _ => code >= 500,
    };
    if !error {
        health.consecutive_5xx.store(0, Ordering::Relaxed);
        health.consecutive_gateway.store(0, Ordering::Relaxed);
        return;
    }
    if matches!(code, 502..=504) {
        let reached = reaches(&health.consecutive_gateway, config.consecutive_gateway);
        eject_if(reached, cluster, config, endpoint, Reason::Gateway, now);
    } else {
        health.consecutive_gateway.store(0, Ordering::Relaxed);
    }
    let reached = reaches(&health.consecutive_5xx, config.consecutive_5xx);
    eject_if(reached, cluster, config, endpoint, Reason::Consecutive5xx, now);
}

/// Counts one more error. True when there are as many as it takes; the count starts again then.
fn reaches(counter: &AtomicU32, threshold: Option<NonZeroU32>) -> bool {
    let count = counter.fetch_add(1, Ordering::Relaxed) + 1;
    let reached = threshold.is_some_and(|threshold| count >= threshold.get());
    if reached {
        counter.store(0, Ordering::Relaxed);
    }
    reached
}

fn eject_if(
    reached: bool,
    cluster: &Cluster,
    config: &OutlierDetection,
    endpoint: &Endpoint,
    reason: Reason,
    now: Instant,
) {
    let health = &endpoint.state.health;
    if !reached || health.ejected() {
        return;
    }
    let mut ejections = cluster.state.health.ejections.lock();
    let all = cluster.endpoints.len();
    let ejected = cluster.endpoints.iter().filter(|endpoint| endpoint.state.ejected()).count();
    let room = (ejected + 1) * 100 <= config.max_ejection_percent.min(100) as usize * all;
    if all == 0 || health.ejected() {
        return;
    }
    let stats = &cluster.state.stats;
    let allowed = room || (config.always_eject_one && ejected == 0);
    if !allowed {
        stats.outlier_detection_ejections_overflow.inc();
        return;
    }
    health.ejected.store(true, Ordering::Relaxed);
    let backoff = health.backoff.load(Ordering::Relaxed);
    if config.base_ejection.saturating_mul(backoff) < config.max_ejection + config.base_ejection {
        health.backoff.store(backoff + 1, Ordering::Relaxed);
    }
    ejections.push(Ejection { endpoint: endpoint.state.clone(), since: now });
    stats.outlier_detection_ejections_enforced_total.inc();
    match reason {
        Reason::Consecutive5xx => &stats.outlier_detection_ejections_enforced_consecutive_5xx,
        Reason::Gateway => &stats.outlier_detection_ejections_enforced_consecutive_gateway_failure,
        Reason::LocalOrigin => &stats.outlier_detection_ejections_enforced_consecutive_local_origin_failure,
    }
    .inc();
    cluster.state.health.changed();
}

/// Lets endpoints back whose ejection is over, if the cluster's interval has passed since the last time.
/// Says how long to wait until the next interval; `None` if the cluster has no outlier detection.
pub fn sweep(cluster: &Cluster, now: Instant) -> Option<Duration> {
    let health = &cluster.state.health;
    let Some(config) = &cluster.config.outlier else {
        // Without detection nobody stays ejected.
        release(cluster, |_| true);
        return None;
    };
    let mut swept = health.swept.lock();
    let due = *swept.get_or_insert(now) + config.interval;
    if now < due {
        return Some(due - now);
    }
    *swept = Some(now);
    drop(swept);
    for endpoint in cluster.endpoints.iter().filter(|endpoint| !endpoint.state.ejected()) {
        let backoff = &endpoint.state.health.backoff;
        let lower = backoff.load(Ordering::Relaxed).saturating_sub(1);
        backoff.store(lower, Ordering::Relaxed);
    }
    release(cluster, |ejection| {
        let backoff = ejection.endpoint.health.backoff.load(Ordering::Relaxed);
        let lasts =
            config.base_ejection.saturating_mul(backoff).min(config.max_ejection.max(config.base_ejection));
        now.saturating_duration_since(ejection.since) >= lasts
    });
    Some(config.interval)
}

fn release(cluster: &Cluster, over: impl Fn(&Ejection) -> bool) {
    let mut ejections = cluster.state.health.ejections.lock();
    let before = ejections.len();
    ejections.retain(|ejection| {
        let over = over(ejection);
        if over {
            ejection.endpoint.health.reset();
            ejection.endpoint.health.ejected.store(false, Ordering::Relaxed);
        }
        !over
    });
    if ejections.len() != before {
        cluster.state.health.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::cluster::{ClusterConfig, Discovery, Endpoints, Registry};

    fn cluster(endpoints: u16, outlier: OutlierDetection) -> Cluster {
        let registry = Registry::new();
        let config = ClusterConfig { outlier: Some(outlier), ..ClusterConfig::new(Discovery::Static) };
        let cluster = Cluster::new("c", config, Arc::default(), &registry);
        let all = (1..=endpoints)
            .map(|port| Arc::new(Endpoint::new(cluster.state.endpoint(([10, 0, 0, 1], port).into()))))
            .collect();
        cluster.with_endpoints(Arc::new(Endpoints::flat(all)))
    }

    fn nth(cluster: &Cluster, position: usize) -> Arc<Endpoint> {
        cluster.endpoints.iter().nth(position).unwrap().clone()
    }

    fn half() -> OutlierDetection {
        OutlierDetection { max_ejection_percent: 50, ..OutlierDetection::default() }
    }

    #[test]
    fn five_errors_in_a_row_eject() {
        let five = |codes: &[u16]| {
            let cluster = cluster(4, half());
            let endpoint = nth(&cluster, 0);
            for code in codes {
                report(&cluster, &endpoint, Observation::Status(*code), Instant::now());
            }
            endpoint.state.ejected()
        };
        assert!(five(&[500, 503, 500, 502, 599]));
        assert!(!five(&[500, 500, 500, 500]));
        assert!(!five(&[500, 500, 500, 500, 200, 500, 500]));
        assert!(!five(&[404, 404, 404, 404, 404]));
    }

    #[test]
    fn what_counts_depends_on_the_configuration() {
        use Observation::{ConnectFailed, Reset, Status, TimedOut};
        let two = NonZeroU32::new(2);
        let gateway = OutlierDetection { consecutive_5xx: None, consecutive_gateway: two, ..half() };
        let split = OutlierDetection { split_local_origin: true, consecutive_local_origin: two, ..half() };
        let codes = OutlierDetection { consecutive_5xx: two, error_codes: vec![429], ..half() };
        let cases: &[(&OutlierDetection, &[Observation], bool)] = &[
            (&gateway, &[Status(503), Status(504)], true),
            (&gateway, &[Status(500), Status(500)], false),
            (&gateway, &[Status(503), Status(500), Status(503)], false),
            (&gateway, &[ConnectFailed, TimedOut], true),
            (&split, &[ConnectFailed, Reset], true),
            (&split, &[ConnectFailed, Status(200), Reset], false),
            (&split, &[Status(503), Status(503)], false),
            (&codes, &[Status(429), Status(429)], true),
            (&codes, &[Status(503), Status(503)], false),
        ];
        for (config, seen, ejected) in cases {
            let cluster = cluster(4, (*config).clone());
            let endpoint = nth(&cluster, 0);
            for one in *seen {
                report(&cluster, &endpoint, *one, Instant::now());
            }
            assert_eq!(endpoint.state.ejected(), *ejected, "{seen:?} with {config:?}");
        }
    }

    #[test]
    fn no_more_than_the_allowed_share_is_ejected() {
        let eject_all = |cluster: &Cluster| {
            for endpoint in cluster.endpoints.iter() {
                for _ in 0..5 {
                    report(cluster, endpoint, Observation::Status(500), Instant::now());
                }
            }
            cluster.state.health.ejected()
        };
        assert_eq!(eject_all(&cluster(4, half())), 2);
        let ten = OutlierDetection { max_ejection_percent: 10, ..OutlierDetection::default() };
        assert_eq!(eject_all(&cluster(4, ten.clone())), 0);
        assert_eq!(eject_all(&cluster(10, ten.clone())), 1);
        assert_eq!(eject_all(&cluster(4, OutlierDetection { always_eject_one: true, ..ten })), 1);
        let all = OutlierDetection { max_ejection_percent: 100, ..OutlierDetection::default() };
        assert_eq!(eject_all(&cluster(3, all)), 3);
    }

    #[test]
    fn an_ejection_lasts_the_base_time_multiplied_by_how_often() {
        let cluster = cluster(2, half());
        let endpoint = nth(&cluster, 0);
        let mut now = Instant::now();
        sweep(&cluster, now);
        for ejections in 1..=3 {
            let epoch = cluster.state.health.epoch();
            for _ in 0..5 {
                report(&cluster, &endpoint, Observation::Status(500), now);
            }
            assert!(endpoint.state.ejected());
            assert_ne!(cluster.state.health.epoch(), epoch);
            for _ in 0..(3 * ejections) {
                assert!(endpoint.state.ejected());
                now += Duration::from_secs(10);
                sweep(&cluster, now);
            }
            assert!(!endpoint.state.ejected(), "after {ejections} times 30 seconds");
        }
    }

    #[test]
    fn without_detection_the_ejected_come_back() {
        let cluster = cluster(2, half());
        let endpoint = nth(&cluster, 0);
        for _ in 0..5 {
            report(&cluster, &endpoint, Observation::Status(500), Instant::now());
        }
        let plain = Cluster { config: Arc::new(ClusterConfig::new(Discovery::Static)), ..cluster };
        assert_eq!(sweep(&plain, Instant::now()), None);
        assert!(!endpoint.state.ejected());
    }
}
