use std::{collections::HashMap, net::SocketAddr, sync::atomic::Ordering, time::Duration};

use super::*;
use crate::snapshot::cluster::{ClusterConfig, Discovery, Locality, Registry, SlowStart};

struct Place {
    priority: usize,
    weight: u32,
    endpoints: Vec<(u16, u32, Health)>,
}

fn place(priority: usize, weight: u32, ports: std::ops::Range<u16>, healthy: usize) -> Place {
    let endpoints = ports
        .enumerate()
        .map(|(index, port)| (port, 1, if index < healthy { Health::Healthy } else { Health::Unhealthy }))
        .collect();
    Place { priority, weight, endpoints }
}

fn cluster(balancing: Balancing, places: Vec<Place>) -> Cluster {
    let registry = Registry::new();
    let config = ClusterConfig { balancing, ..ClusterConfig::new(Discovery::Static) };
    let cluster = Cluster::new("c", config, Arc::default(), &registry);
    let mut all = Endpoints::default();
    for place in places {
        all.priorities.resize_with(all.priorities.len().max(place.priority + 1), Priority::default);
        let endpoints = place.endpoints.into_iter().map(|(port, weight, health)| {
            let address: SocketAddr = ([10, 0, 0, 1], port).into();
            Arc::new(Endpoint { weight, health, ..Endpoint::new(cluster.state.endpoint(address)) })
        });
        all.priorities[place.priority].localities.push(LocalityEndpoints {
            locality: Arc::new(Locality::default()),
            weight: place.weight,
            endpoints: endpoints.collect(),
        });
    }
    cluster.with_endpoints(Arc::new(all))
}

fn policy(policy: Policy) -> Balancing {
    Balancing { policy, panic_threshold: 0.0, ..Balancing::default() }
}

fn weighted(weights: &[u32]) -> Vec<Place> {
    let endpoints = (1..).zip(weights).map(|(port, weight)| (port, *weight, Health::Healthy)).collect();
    vec![Place { priority: 0, weight: 0, endpoints }]
}

/// How many of `picks` each port gets.
fn spread(cluster: &Cluster, picks: u32) -> HashMap<u16, u32> {
    let random = Random::seeded(7);
    let mut balancer = Balancer::new(cluster, &random);
    let mut counts = HashMap::new();
    for _ in 0..picks {
        let endpoint = balancer.pick(cluster, &Pick::default(), &random).unwrap();
        *counts.entry(endpoint.address().port()).or_default() += 1;
    }
    counts
}

fn near(count: u32, want: u32) -> bool {
    count.abs_diff(want) <= want / 10
}

#[test]
fn round_robin_takes_turns_by_weight() {
    let even = spread(&cluster(policy(Policy::RoundRobin), weighted(&[1, 1, 1])), 300);
    assert_eq!((even[&1], even[&2], even[&3]), (100, 100, 100));
    let uneven = spread(&cluster(policy(Policy::RoundRobin), weighted(&[1, 2, 7])), 1000);
    assert!(near(uneven[&1], 100) && near(uneven[&2], 200) && near(uneven[&3], 700), "{uneven:?}");
}

#[test]
fn random_spreads_evenly_whatever_the_weights() {
    let counts = spread(&cluster(policy(Policy::Random), weighted(&[1, 9])), 2000);
    assert!(near(counts[&1], 1000), "{counts:?}");
}

#[test]
fn least_request_avoids_the_busy() {
    let cluster = cluster(policy(Policy::LeastRequest { choices: 2 }), weighted(&[1, 1, 1]));
    cluster.endpoints.iter().next().unwrap().state.active.store(5, Ordering::Relaxed);
    let counts = spread(&cluster, 900);
    // Only if it is drawn twice.
    assert!(near(counts[&1], 100), "{counts:?}");
}

#[test]
fn least_request_by_weight_counts_the_load_too() {
    let cluster = cluster(policy(Policy::LeastRequest { choices: 2 }), weighted(&[1, 3]));
    let idle = spread(&cluster, 400);
    assert!(near(idle[&1], 100), "{idle:?}");
    cluster.endpoints.iter().nth(1).unwrap().state.active.store(2, Ordering::Relaxed);
    let busy = spread(&cluster, 400);
    assert!(near(busy[&1], 200), "{busy:?}");
}

#[test]
fn priorities_take_what_the_better_ones_cannot() {
    // Healthy of the first, load of the first and second: 1.4 times the healthy share, as Envoy's manual tabulates.
    for (healthy, first) in [(10, 1000), (8, 1000), (7, 980), (5, 700), (3, 420), (1, 140), (0, 0)] {
        let both =
            cluster(policy(Policy::Random), vec![place(0, 0, 1..11, healthy), place(1, 0, 11..21, 10)]);
        let counts = spread(&both, 1000);
        let in_first: u32 = (1..11).filter_map(|port| counts.get(&port)).sum();
        assert!(in_first.abs_diff(first) <= 60, "{healthy} healthy: {in_first}, not {first}");
    }
}

#[test]
fn localities_get_traffic_by_weight_and_health() {
    let balancing = Balancing { locality_weighted: true, ..policy(Policy::RoundRobin) };
    let share = |healthy| {
        let both = cluster(balancing.clone(), vec![place(0, 1, 1..11, healthy), place(0, 2, 11..21, 10)]);
        let counts = spread(&both, 3000);
        (1..11).filter_map(|port| counts.get(&port)).sum::<u32>()
    };
    assert!(near(share(10), 1000));
    // 1.4 times 0.5 of weight 1, against 2.
    assert!(near(share(5), 3000 * 7 / 27), "{}", share(5));
    assert_eq!(share(0), 0);
}

#[test]
fn without_healthy_endpoints_there_is_none_unless_in_panic() {
    let random = Random::seeded(1);
    let calm = cluster(policy(Policy::RoundRobin), vec![place(0, 0, 1..4, 0)]);
    assert!(Balancer::new(&calm, &random).pick(&calm, &Pick::default(), &random).is_none());
    let panicking = cluster(
        Balancing { panic_threshold: 50.0, ..policy(Policy::RoundRobin) },
        vec![place(0, 0, 1..4, 1)],
    );
    assert_eq!(spread(&panicking, 300).len(), 3);
    let empty = cluster(policy(Policy::RoundRobin), vec![]);
    assert!(Balancer::new(&empty, &random).pick(&empty, &Pick::default(), &random).is_none());
}

#[test]
fn what_was_tried_is_avoided() {
    for one in [Policy::RoundRobin, Policy::Random, Policy::Maglev { table_size: 101 }] {
        let cluster = cluster(policy(one), weighted(&[1, 1]));
        let random = Random::seeded(3);
        let mut balancer = Balancer::new(&cluster, &random);
        let mut again = 0;
        for _ in 0..200 {
            let tried = [balancer.pick(&cluster, &Pick::default(), &random).unwrap()];
            let want = Pick { tried: &tried, again: 5, ..Pick::default() };
            let other = balancer.pick(&cluster, &want, &random).unwrap();
            again += u32::from(other.address() == tried[0].address());
        }
        assert!(again <= 12, "{one:?}: {again} of 200 got the same endpoint in six draws");
    }
}

#[test]
fn other_priorities_are_preferred_after_a_failure() {
    let both = cluster(policy(Policy::RoundRobin), vec![place(0, 0, 1..3, 2), place(1, 0, 3..5, 2)]);
    let random = Random::seeded(3);
    let mut balancer = Balancer::new(&both, &random);
    let tried = [balancer.pick(&both, &Pick::default(), &random).unwrap()];
    assert!(tried[0].address().port() < 3);
    let want = Pick { tried: &tried, other_priorities: true, ..Pick::default() };
    assert!(balancer.pick(&both, &want, &random).unwrap().address().port() >= 3);
}

#[test]
fn a_hash_stays_with_its_endpoint_while_others_go() {
    let ring = policy(Policy::RingHash { min_size: 1024, max_size: 1 << 23 });
    let random = Random::seeded(3);
    let before = cluster(ring.clone(), vec![place(0, 0, 1..11, 10)]);
    let after = cluster(ring, vec![place(0, 0, 1..10, 9)]);
    let find = |cluster: &Cluster, hash: u64| {
        let want = Pick { hash: Some(hash), ..Pick::default() };
        Balancer::new(cluster, &random).pick(cluster, &want, &random).unwrap().address().port()
    };
    // A ring of nine has a few more entries for each than a ring of ten, so a few hashes move besides those of the tenth.
    let hashes = (0..200).map(|step| step * (u64::MAX / 200));
    let moved = hashes.filter(|hash| ![find(&after, *hash), 10].contains(&find(&before, *hash))).count();
    assert!(moved < 30, "{moved} of 200 moved");
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_gets_its_share_little_by_little() {
    let slow = SlowStart { window: Duration::from_secs(100), aggression: 1.0, min_weight_percent: 10.0 };
    let balancing = Balancing { slow_start: Some(slow), ..policy(Policy::RoundRobin) };
    let old = cluster(balancing.clone(), weighted(&[1]));
    tokio::time::advance(Duration::from_secs(1000)).await;
    let new: SocketAddr = ([10, 0, 0, 2], 2).into();
    let mut all: Vec<_> = old.endpoints.iter().cloned().collect();
    all.push(Arc::new(Endpoint::new(old.state.endpoint(new))));
    let both = old.with_endpoints(Arc::new(Endpoints::flat(all)));
    let counts = spread(&both, 1100);
    assert!(counts[&2].abs_diff(100) < 15, "{counts:?}");
    tokio::time::advance(Duration::from_secs(50)).await;
    let counts = spread(&both, 1500);
    assert!(counts[&2].abs_diff(500) < 30, "{counts:?}");
    tokio::time::advance(Duration::from_mins(1)).await;
    let counts = spread(&both, 1000);
    assert!(counts[&2].abs_diff(500) < 30, "{counts:?}");
}
