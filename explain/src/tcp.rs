//! Connections of which the proxy sees bytes only.

use std::net::IpAddr;
use std::sync::Arc;

use crds::networking::{L4MatchAttributes, RouteDestination};
use model::config::VirtualService;
use model::{Labels, Service};

use crate::claims::covers;
use crate::decision::{Considered, Decision, Listener};
use crate::destination::{Found, find, target};
use crate::evaluator::View;
use crate::hosts::{addresses, is_visible};
use crate::outcome::{Outcome, Target};
use crate::rules::Place;

/// What a rule for bytes asks of a connection.
struct Asked<'a> {
    port: Option<u32>,
    gateways: &'a [String],
    labels: Labels,
    namespace: Option<&'a str>,
    subnets: &'a [String],
    names: &'a [String],
}

/// The way of a connection to a service whose port is declared to be no HTTP. HTTP rules have no part in it.
pub(crate) fn explain(view: &View<'_>, service: &Arc<Service>) -> Decision {
    let port = view.request.port;
    let protocol =
        service.port(port).map(|port| format!("{:?}", port.protocol).to_uppercase()).unwrap_or_default();
    let name = match addresses(service).next() {
        Some(ip) => xds::names::listener(ip, port),
        None => format!("0.0.0.0_{port}"),
    };
    let mut decision = view.begin(
        Listener { name, protocol: protocol.clone(), gateway: None },
        Outcome::Bytes { targets: Vec::new() },
    );
    decision.notes.push(format!(
        "port {port} is declared {protocol}: method, path and headers are not looked at; a port name that begins with \
         http- or grpc- would change that"
    ));
    let tls = service.port(port).is_some_and(|port| port.protocol.is_tls());
    let host = &*service.key.host;
    let mut services: Vec<_> = view
        .mesh
        .virtual_services
        .values()
        .filter(|one| {
            one.on_mesh && is_visible(view, one) && one.hosts.iter().any(|pattern| covers(pattern, host))
        })
        .collect();
    services.sort_by_key(|service| service.meta.age_order());
    for one in services {
        let routes = if tls { by_tls_rules(view, service, one) } else { by_tcp_rules(view, service, one) };
        let kind = if tls { "TLS" } else { "TCP" };
        decision.virtual_services.push(Considered {
            name: one.meta.name.to_string(),
            host: host.to_owned(),
            applies: routes.is_some(),
            why: if routes.is_some() {
                format!("its {kind} rules take the connection")
            } else {
                format!("it has no {kind} rule for this connection")
            },
        });
        if let Some(routes) = routes {
            decision.outcome = Outcome::Bytes { targets: targets(view, routes) };
            return decision;
        }
    }
    let found = Found { host: host.to_owned(), subset: String::new(), port, service: Some(service) };
    decision.outcome = Outcome::Bytes { targets: vec![target(view, &found)] };
    decision
}

/// Destinations of the first TLS rule that takes the connection.
fn by_tls_rules<'a>(
    view: &View<'_>,
    service: &Service,
    of: &'a VirtualService,
) -> Option<&'a Vec<RouteDestination>> {
    let rules = of.spec.tls.iter().flat_map(|rule| rule.matches.iter().map(move |it| (it, &rule.route)));
    let mut asked = rules.map(|(it, route)| {
        let asked = Asked {
            port: it.port,
            gateways: &it.gateways,
            labels: Labels::new(&it.source_labels),
            namespace: it.source_namespace.as_deref(),
            subnets: &it.destination_subnets,
            names: &it.sni_hosts,
        };
        (asked, route)
    });
    asked.find(|(asked, _)| is_meant(view, service, asked)).map(|(_, routes)| routes)
}

/// Destinations of the first TCP rule that takes the connection.
fn by_tcp_rules<'a>(
    view: &View<'_>,
    service: &Service,
    of: &'a VirtualService,
) -> Option<&'a Vec<RouteDestination>> {
    let meant = |it: &L4MatchAttributes| {
        let asked = Asked {
            port: it.port,
            gateways: &it.gateways,
            labels: Labels::new(&it.source_labels),
            namespace: it.source_namespace.as_deref(),
            subnets: &it.destination_subnets,
            names: &[],
        };
        is_meant(view, service, &asked)
    };
    let mut rules = of.spec.tcp.iter();
    rules.find(|rule| rule.matches.is_empty() || rule.matches.iter().any(meant)).map(|rule| &rule.route)
}

fn is_meant(view: &View<'_>, service: &Service, asked: &Asked<'_>) -> bool {
    let port = asked.port.filter(|port| *port != 0).is_none_or(|port| port == u32::from(view.request.port));
    let sender = if asked.gateways.is_empty() {
        let namespace = asked.namespace.filter(|namespace| !namespace.is_empty());
        view.source.labels.satisfy(&asked.labels)
            && namespace.is_none_or(|namespace| *namespace == *view.source.namespace)
    } else {
        asked.gateways.iter().any(|gateway| gateway == "mesh")
    };
    let address = asked.subnets.is_empty()
        || addresses(service).any(|ip| asked.subnets.iter().any(|net| holds(net, ip)));
    let name = asked.names.is_empty() || asked.names.iter().any(|name| covers(name, &service.key.host));
    port && sender && address && name
}

fn holds(net: &str, ip: IpAddr) -> bool {
    let (base, length) = net.split_once('/').unwrap_or((net, "128"));
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    match (base, ip) {
        (IpAddr::V4(base), IpAddr::V4(ip)) => {
            let length = length.min(32);
            length == 0 || base.to_bits() >> (32 - length) == ip.to_bits() >> (32 - length)
        }
        (IpAddr::V6(base), IpAddr::V6(ip)) => {
            length == 0 || base.to_bits() >> (128 - length) == ip.to_bits() >> (128 - length)
        }
        _ => false,
    }
}

fn targets(view: &View<'_>, routes: &[RouteDestination]) -> Vec<Target> {
    let weight = |route: &RouteDestination| match routes.len() {
        1 => 1,
        _ => route.weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or_default(),
    };
    let total: u64 = routes.iter().map(|route| u64::from(weight(route))).sum();
    let live = routes.iter().filter(|route| weight(route) > 0);
    live.map(|route| {
        let found = find(view, &route.destination, &Place::mesh(view.request.port));
        let weight = weight(route);
        Target { weight, percent: 100.0 * f64::from(weight) / total as f64, ..target(view, &found) }
    })
    .collect()
}
