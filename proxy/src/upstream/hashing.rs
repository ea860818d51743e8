//! Consistent hashing: Ketama ring and Maglev table, with the same placement as Envoy's.
//!
//! A fleet of both proxies must agree on the endpoint for a hash, so the texts that are hashed, the seeds, the order of
//! the entries and the arithmetic with weights follow Envoy's `ring_hash` and `maglev` load balancers. Tables are built
//! once for an assignment and health, and shared by all workers.

use std::sync::Arc;

use parking_lot::Mutex;
use twox_hash::XxHash64;

use crate::snapshot::cluster::{Balancing, Endpoint, Endpoints, Policy};

/// An endpoint with its share of the whole.
#[derive(Debug, Clone)]
pub(super) struct Share {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) weight: f64,
}

/// From hash to endpoint.
#[derive(Debug)]
pub(super) enum Table {
    Ring(Vec<(u64, u32)>, Vec<Arc<Endpoint>>),
    Maglev(Vec<u32>, Vec<Arc<Endpoint>>),
}

impl Table {
    /// Builds the table that `balancing` asks for. `None` if its policy doesn't hash.
    pub(super) fn build(balancing: &Balancing, shares: &[Share]) -> Option<Self> {
        match balancing.policy {
            Policy::RingHash { min_size, max_size } => {
                Some(ring(shares, min_size, max_size, balancing.hash_hostname))
            }
            Policy::Maglev { table_size } => Some(maglev(shares, table_size, balancing.hash_hostname)),
            _ => None,
        }
    }

    /// The endpoint for a hash. Later attempts give others, most likely.
    pub(super) fn find(&self, hash: u64, attempt: u32) -> Option<&Arc<Endpoint>> {
        match self {
            Self::Ring(ring, endpoints) => {
                // Hash 0 finds the first entry in Envoy's search, whatever the entries are.
                let first = ring.partition_point(|(entry, _)| *entry < hash);
                let at = (first + attempt as usize) % ring.len().max(1);
                let (_, index) = ring.get(at)?;
                endpoints.get(*index as usize)
            }
            Self::Maglev(table, endpoints) => {
                let hash = if attempt > 0 { hash ^ (u64::MAX - u64::from(attempt) + 1) } else { hash };
                let index = table.get((hash % table.len().max(1) as u64) as usize)?;
                endpoints.get(*index as usize)
            }
        }
    }
}

fn key_of(endpoint: &Endpoint, hash_hostname: bool) -> String {
    match (&endpoint.metadata.hash_key, &endpoint.hostname) {
        (Some(key), _) => key.to_string(),
        (None, Some(hostname)) if hash_hostname => hostname.to_string(),
        _ => endpoint.place().to_string(),
    }
}

fn ring(shares: &[Share], min_size: u64, max_size: u64, hash_hostname: bool) -> Table {
    let least = shares.iter().map(|share| share.weight).fold(1.0_f64, f64::min);
    let scale = ((least * min_size as f64).ceil() / least).min(max_size as f64);
    let mut entries = Vec::with_capacity(if shares.is_empty() { 0 } else { scale.ceil() as usize });
    let (mut have, mut want) = (0.0, 0.0);
    for (index, share) in shares.iter().enumerate() {
        let mut key = key_of(&share.endpoint, hash_hostname);
        key.push('_');
        let stem = key.len();
        want += scale * share.weight;
        let mut replica = 0_u64;
        while have < want {
            key.push_str(&replica.to_string());
            entries.push((XxHash64::oneshot(0, key.as_bytes()), index as u32));
            key.truncate(stem);
            replica += 1;
            have += 1.0;
        }
    }
    entries.sort_by_key(|(hash, _)| *hash);
    Table::Ring(entries, shares.iter().map(|share| share.endpoint.clone()).collect())
}

fn maglev(shares: &[Share], table_size: u64, hash_hostname: bool) -> Table {
    struct Build {
        offset: u64,
        skip: u64,
        weight: f64,
        target: f64,
        next: u64,
    }

    // Sorted by key, so that the table doesn't depend on the order in which endpoints were announced.
    let mut sorted: Vec<(String, &Share)> =
        shares.iter().map(|share| (key_of(&share.endpoint, hash_hostname), share)).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let most = shares.iter().map(|share| share.weight).fold(0.0_f64, f64::max);
    let mut builds: Vec<Build> = sorted
        .iter()
        .map(|(key, share)| Build {
            offset: XxHash64::oneshot(0, key.as_bytes()) % table_size,
            skip: XxHash64::oneshot(1, key.as_bytes()) % (table_size - 1) + 1,
            weight: share.weight,
            target: 0.0,
            next: 0,
        })
        .collect();
    let endpoints = sorted.iter().map(|(_, share)| share.endpoint.clone()).collect();
    if most <= 0.0 {
        return Table::Maglev(Vec::new(), endpoints);
    }
    let mut table = vec![u32::MAX; table_size as usize];
    let mut filled = 0;
    let mut iteration = 1.0;
    while filled < table.len() {
        for (index, build) in builds.iter_mut().enumerate() {
            if filled == table.len() {
                break;
            }
            // An endpoint with a third of the greatest weight has a turn in every third iteration.
            if iteration * build.weight < build.target {
                continue;
            }
            build.target += most;
            let slot = loop {
                let slot = ((build.offset + build.skip * build.next) % table_size) as usize;
                build.next += 1;
                if table[slot] == u32::MAX {
                    break slot;
                }
            };
            table[slot] = index as u32;
            filled += 1;
        }
        iteration += 1.0;
    }
    Table::Maglev(table, endpoints)
}

/// The tables of a cluster's priorities, with what they were built from.
#[derive(Debug)]
struct Built {
    endpoints: Arc<Endpoints>,
    balancing: Balancing,
    epoch: u64,
    tables: Arc<[Option<Table>]>,
}

/// Where the workers share the tables of one cluster.
#[derive(Debug, Default)]
pub(super) struct TableSlot(Mutex<Option<Built>>);

impl TableSlot {
    /// The tables for these inputs: those that are there, else those that `build` makes.
    pub(super) fn get(
        &self,
        endpoints: &Arc<Endpoints>,
        balancing: &Balancing,
        epoch: u64,
        build: impl FnOnce() -> Arc<[Option<Table>]>,
    ) -> Arc<[Option<Table>]> {
        let mut slot = self.0.lock();
        if let Some(built) = &*slot
            && Arc::ptr_eq(&built.endpoints, endpoints)
            && built.epoch == epoch
            && built.balancing == *balancing
        {
            return built.tables.clone();
        }
        let tables = build();
        *slot = Some(Built {
            endpoints: endpoints.clone(),
            balancing: balancing.clone(),
            epoch,
            tables: tables.clone(),
        });
        tables
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::snapshot::cluster::EndpointState;

    fn shares(weights: &[(&str, f64)]) -> Vec<Share> {
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        weights
            .iter()
            .map(|(address, weight)| Share {
                endpoint: Arc::new(Endpoint::new(Arc::new(EndpointState::new(address.parse().unwrap())))),
                weight: weight / total,
            })
            .collect()
    }

    fn balancing(policy: Policy) -> Balancing {
        Balancing { policy, ..Balancing::default() }
    }

    fn port_of(table: &Table, hash: u64, attempt: u32) -> u16 {
        table.find(hash, attempt).unwrap().address().port()
    }

    const SIX: [(&str, f64); 6] = [
        ("127.0.0.1:90", 1.0),
        ("127.0.0.1:91", 1.0),
        ("127.0.0.1:92", 1.0),
        ("127.0.0.1:93", 1.0),
        ("127.0.0.1:94", 1.0),
        ("127.0.0.1:95", 1.0),
    ];

    #[test]
    fn the_ring_places_like_envoys() {
        // Known positions of Envoy's ring for six endpoints and 12 entries.
        let table =
            Table::build(&balancing(Policy::RingHash { min_size: 12, max_size: 1 << 20 }), &shares(&SIX))
                .unwrap();
        let Table::Ring(ring, _) = &table else { panic!("a ring") };
        assert_eq!(ring.len(), 12);
        let placed: Vec<(u64, u32)> = ring.iter().map(|(hash, index)| (*hash, 90 + index)).collect();
        assert_eq!(
            placed,
            [
                (833_437_586_790_550_860, 94),
                (928_266_305_478_181_108, 92),
                (1_033_482_794_131_418_490, 90),
                (3_551_244_743_356_806_947, 95),
                (3_851_675_632_748_031_481, 93),
                (5_583_722_120_771_150_861, 91),
                (6_311_230_543_546_372_928, 91),
                (7_700_377_290_971_790_572, 93),
                (13_144_177_310_400_110_813, 95),
                (13_444_792_449_719_432_967, 92),
                (15_516_499_411_664_133_160, 94),
                (16_117_243_373_044_804_889, 90),
            ]
        );
    }

    #[test]
    fn a_hash_finds_the_next_entry_of_the_ring_and_wraps_round() {
        let table =
            Table::build(&balancing(Policy::RingHash { min_size: 12, max_size: 1 << 20 }), &shares(&SIX))
                .unwrap();
        let Table::Ring(ring, _) = &table else { panic!("a ring") };
        let (first, last) = (ring[0], ring[11]);
        assert_eq!(port_of(&table, 0, 0), 90 + first.1 as u16);
        assert_eq!(port_of(&table, first.0, 0), 90 + first.1 as u16);
        assert_eq!(port_of(&table, first.0 + 1, 0), 90 + ring[1].1 as u16);
        assert_eq!(port_of(&table, last.0 + 1, 0), 90 + first.1 as u16);
        assert_eq!(port_of(&table, 0, 1), 90 + ring[1].1 as u16);
    }

    #[test]
    fn maglev_places_like_envoys() {
        // The known assignment of Envoy's table of seven for six endpoints.
        let table = Table::build(&balancing(Policy::Maglev { table_size: 7 }), &shares(&SIX)).unwrap();
        let ports: Vec<u16> = (0..7).map(|hash| port_of(&table, hash, 0)).collect();
        assert_eq!(ports, [92, 94, 90, 91, 95, 90, 93]);
    }

    #[test]
    fn maglev_follows_weights_and_ignores_the_order_of_announcement() {
        let policy = balancing(Policy::Maglev { table_size: 65537 });
        let mut weighted = shares(&[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 3.0)]);
        let table = Table::build(&policy, &weighted).unwrap();
        weighted.reverse();
        let reversed = Table::build(&policy, &weighted).unwrap();
        let mut counts: HashMap<_, u32> = HashMap::new();
        for hash in 0..65537 {
            let address = table.find(hash, 0).unwrap().address();
            assert_eq!(address, reversed.find(hash, 0).unwrap().address());
            *counts.entry(address).or_default() += 1;
        }
        let third = counts[&"10.0.0.1:80".parse().unwrap()];
        assert!((16300..16470).contains(&third), "{third}");
    }

    #[test]
    fn no_endpoints_no_answer() {
        for policy in [Policy::Maglev { table_size: 7 }, Policy::RingHash { min_size: 4, max_size: 8 }] {
            assert!(Table::build(&balancing(policy), &[]).unwrap().find(1, 0).is_none());
        }
    }
}
