//! Clusters that hash, as proto JSON.

use serde_json::{Value, json};

use crate::by::By;

/// A cluster and what is hashed.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) cluster: Value,
    pub(crate) by: By,
    /// How many endpoints are met by some key, at least.
    pub(crate) least: usize,
}

/// All cases, over servers on this port of the addresses 127.0.N.(7N + 1).
pub(crate) fn cases(port: u16) -> Vec<Case> {
    let at = |numbers: std::ops::Range<usize>, weight: Weight| -> Vec<Value> {
        numbers.map(|number| endpoint(port, number, weight(number))).collect()
    };
    let tables = tables();
    let mut all = Vec::new();
    for count in 1..=20 {
        let (weights, weight) = WEIGHTS[count % WEIGHTS.len()];
        let (table, config) = &tables[count % tables.len()];
        let groups = [json!({"lb_endpoints": at(1..count + 1, weight)})];
        all.push(case(&format!("{table}, {count} endpoints, {weights}"), config, &groups));
    }
    for (table, config) in &tables {
        let groups = [json!({"lb_endpoints": at(1..8, steep)})];
        all.push(case(&format!("{table}, seven endpoints"), config, &groups));
    }
    for (table, config) in [&tables[0], &tables[5]] {
        let named = |what: &str, add: fn(&mut Value, String)| {
            let mut endpoints = at(1..8, rising);
            for (number, one) in endpoints.iter_mut().enumerate() {
                add(one, format!("pod-{number}.example.com"));
            }
            case(&format!("{table}, {what}"), config, &[json!({"lb_endpoints": endpoints})])
        };
        let hostname = |one: &mut Value, name: String| one["endpoint"]["hostname"] = json!(name);
        all.push(named("names that don't count", hostname));
        let mut by_name = named("names", hostname);
        by_name.cluster["common_lb_config"] =
            json!({"consistent_hashing_lb_config": {"use_hostname_for_hashing": true}});
        all.push(by_name);
        all.push(named("keys of their own", |one, name| {
            one["metadata"] = json!({"filter_metadata": {"envoy.lb": {"hash_key": name}}});
        }));
        let mut places =
            [json!({"lb_endpoints": at(1..3, rising)}), json!({"lb_endpoints": at(3..9, steep)})];
        for (region, weight, place) in [("a", 3, 0), ("b", 1, 1)] {
            places[place]["locality"] = json!({"region": region});
            places[place]["load_balancing_weight"] = json!(weight);
        }
        let mut localities = case(&format!("{table}, localities"), config, &places);
        localities.cluster["common_lb_config"] = json!({"locality_weighted_lb_config": {}});
        all.push(localities);
        let mut first = at(1..5, equal);
        for sick in &mut first[..2] {
            sick["health_status"] = json!("UNHEALTHY");
        }
        let second = json!({"priority": 1, "lb_endpoints": at(5..8, equal)});
        all.push(case(&format!("{table}, priorities"), config, &[json!({"lb_endpoints": first}), second]));
        for by in By::ALL {
            let groups = [json!({"lb_endpoints": at(1..7, equal)})];
            all.push(Case { by, ..case(&format!("{table}, by {by:?}"), config, &groups) });
        }
    }
    all
}

/// An endpoint's weight by its number.
type Weight = fn(usize) -> usize;

const WEIGHTS: [(&str, Weight); 3] =
    [("equal weights", equal), ("rising weights", rising), ("steep weights", steep)];

fn equal(_: usize) -> usize {
    1
}

fn rising(number: usize) -> usize {
    number
}

fn steep(number: usize) -> usize {
    [100, 1, 13, 2, 1, 40][number % 6]
}

/// Tables of all sizes, by name: five rings, then Maglev's.
fn tables() -> Vec<(String, Value)> {
    let ring = |(least, most): (u64, u64)| {
        let config = json!({"minimum_ring_size": least.to_string(), "maximum_ring_size": most.to_string()});
        let policy = json!({"lb_policy": "RING_HASH", "ring_hash_lb_config": config});
        (format!("ring of {least} to {most}"), policy)
    };
    let maglev = |size: u64| {
        let config = json!({"table_size": size.to_string()});
        (format!("Maglev table of {size}"), json!({"lb_policy": "MAGLEV", "maglev_lb_config": config}))
    };
    let most = 8 << 20;
    // A small maximum leaves light endpoints without an entry.
    let rings = [(1024, most), (1, most), (12, most), (5000, most), (30, 64)].map(ring);
    rings.into_iter().chain([65_537, 7, 101, 5003].map(maglev)).collect()
}

fn endpoint(port: u16, number: usize, weight: usize) -> Value {
    let address = format!("127.0.{number}.{}", 7 * number + 1);
    let address = json!({"socket_address": {"address": address, "port_value": port}});
    json!({"endpoint": {"address": address}, "load_balancing_weight": weight})
}

fn case(name: &str, table: &Value, groups: &[Value]) -> Case {
    let endpoints = groups.iter().filter_map(|group| group["lb_endpoints"].as_array()).flatten().count();
    let mut cluster = json!({
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": groups},
    });
    for (key, value) in table.as_object().into_iter().flatten() {
        cluster[key] = value.clone();
    }
    Case { name: name.to_owned(), cluster, by: By::Header, least: endpoints.min(2) }
}
