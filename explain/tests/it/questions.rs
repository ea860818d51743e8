//! Requests by chance.

use explain::{Request, Role, Source};
use model::{Labels, Mesh, intern};
use serde_json::Value;

use crate::dice::Dice;
use crate::rule::{HEADERS, METHODS, PATHS, SPELLINGS, VALUES};
use crate::world::PROXIES;

const MESH_HOSTS: [&str; 22] = [
    "reviews",
    "ratings",
    "auto",
    "pods",
    "reviews.shop",
    "reviews.other",
    "reviews.shop.svc",
    "details.other",
    "reviews.shop.svc.cluster.local",
    "reviews.other.svc.cluster.local",
    "reviews.shop.svc.cluster.local.",
    "REVIEWS",
    "www.example.com",
    "new.example.com",
    "a.wild.example.com",
    "x.pods",
    "x.pods.shop.svc.cluster.local",
    "10.0.0.1",
    "10.0.0.9",
    "unknown.test",
    "example.com",
    "ratings.shop",
];
const GATEWAY_HOSTS: [&str; 8] = [
    "www.example.com",
    "new.example.com",
    "a.b.example.com",
    "example.com",
    "WWW.EXAMPLE.COM",
    "unknown.test",
    "www.example.com:80",
    ".example.com",
];

/// One of the proxies of the world, as the evaluator knows it.
pub(crate) fn source(mesh: &Mesh, number: usize) -> Source {
    let proxy = &PROXIES[number];
    let instance = model::NamespacedName::new(proxy.namespace, proxy.pod);
    let labels =
        mesh.workloads.get(&instance).map_or_else(Labels::default, |workload| workload.labels.clone());
    Source {
        name: proxy.pod.to_owned(),
        namespace: intern(proxy.namespace),
        labels,
        role: if proxy.gateway { Role::Gateway } else { Role::Sidecar },
    }
}

/// Hosts that the VirtualServices of a configuration speak for, in full.
pub(crate) fn hosts(rules: &[Value]) -> Vec<String> {
    let services = rules.iter().filter(|rule| rule["kind"] == "VirtualService");
    let named = services.flat_map(|rule| {
        let namespace = rule["metadata"]["namespace"].as_str().unwrap_or_default();
        let hosts = rule["spec"]["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str);
        hosts.map(move |host| match host {
            "*" | "*.cluster.local" | "*.shop.svc.cluster.local" => "reviews.shop".to_owned(),
            "*.example.com" => "www.example.com".to_owned(),
            short if !short.contains('.') => format!("{short}.{namespace}"),
            full => full.to_owned(),
        })
    });
    named.collect()
}

/// A request, and which proxy routes it. Half of them are for hosts that rules speak for.
pub(crate) fn request(dice: &mut Dice, gateways: bool, hosts: &[String]) -> (usize, Request) {
    let number = dice.below(if gateways { PROXIES.len() } else { PROXIES.len() - 1 });
    let gateway = PROXIES[number].gateway;
    let pool: &[&str] = if gateway { &GATEWAY_HOSTS } else { &MESH_HOSTS };
    let host = if hosts.is_empty() || dice.percent(40) {
        pool[dice.below(pool.len())]
    } else {
        hosts[dice.below(hosts.len())].as_str()
    };
    let tls = gateway && dice.percent(40);
    let port = match (gateway, tls) {
        (true, true) => 443,
        (true, false) => 80,
        // what only listens on 80
        _ if host.ends_with("example.com") || host.starts_with("details") => dice.pick(&[80, 80, 80, 9080]),
        _ => dice.pick(&[80, 9080, 9080, 9080, 9080]),
    };
    let path = if dice.percent(10) { dice.one(&SPELLINGS) } else { dice.one(&PATHS) };
    let mut path = path.to_owned();
    match dice.below(8) {
        0 => path.push_str("?q=v"),
        1 => path.push_str("?q"),
        2 => path.push_str("?p=v1&q=jason&q=v"),
        3 => path.push_str("?Q=v&p="),
        4 => path.push('c'),
        _ => {}
    }
    let headers = (0..dice.below(4))
        .map(|_| {
            let (name, value) = (HEADERS[dice.below(HEADERS.len())], VALUES[dice.below(VALUES.len())]);
            (name.to_owned(), value.to_owned())
        })
        .collect();
    let authority = match dice.below(5) {
        0 if !gateway => Some(pool[dice.below(pool.len())].to_owned()),
        1 => Some(format!("{}:{port}", host.split(':').next().unwrap_or(host))),
        _ => None,
    };
    let method = if dice.percent(2) { "CONNECT" } else { METHODS[dice.below(METHODS.len())] };
    let host = host.split(':').next().unwrap_or(host).to_owned();
    (number, Request { host, port, tls, authority, method: method.to_owned(), path, headers })
}
