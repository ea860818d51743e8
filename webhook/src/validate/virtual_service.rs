//! VirtualService.

use crds::networking::{L4MatchAttributes, RouteDestination, TlsMatchAttributes, VirtualServiceSpec};

use super::{
    findings::{At, Findings},
    headers, http_route, names,
};

pub(super) fn check(spec: &VirtualServiceSpec, namespace: &str, found: &mut Findings) {
    let at = At::spec();
    let delegate = spec.hosts.is_empty();
    // A VirtualService without hosts is one that others delegate to; it has HTTP rules and nothing else.
    if delegate {
        found.error_if(!spec.gateways.is_empty(), &at.field("gateways"), DELEGATE_ONLY);
        found.error_if(!spec.tls.is_empty(), &at.field("tls"), DELEGATE_ONLY);
        found.error_if(!spec.tcp.is_empty(), &at.field("tcp"), DELEGATE_ONLY);
    }
    names::gateways(&at, &spec.gateways, found);
    hosts(&at, spec, found);
    claims(&at, spec, found);
    found.error_if(
        spec.http.is_empty() && spec.tcp.is_empty() && spec.tls.is_empty(),
        &at,
        "has no rules; add http, tcp or tls",
    );
    for (index, route) in spec.http.iter().enumerate() {
        http_route::check(&at.item("http", index), route, delegate, found);
    }
    for (index, route) in spec.tls.iter().enumerate() {
        let at = at.item("tls", index);
        found.error_if(
            route.matches.is_empty(),
            &at.field("match"),
            "needs at least one condition with sniHosts",
        );
        for (index, condition) in route.matches.iter().enumerate() {
            tls_match(&at.item("match", index), condition, spec, found);
        }
        destinations(&at, &route.route, found);
    }
    for (index, route) in spec.tcp.iter().enumerate() {
        let at = at.item("tcp", index);
        for (index, condition) in route.matches.iter().enumerate() {
            tcp_match(&at.item("match", index), condition, found);
        }
        destinations(&at, &route.route, found);
    }
    names::export_to(&at, &spec.export_to, namespace, false, found);
    for problem in crds::unreachable_rules(spec) {
        found.warning(&At::of(&problem.field), problem.message);
    }
}

const DELEGATE_ONLY: &str =
    "a VirtualService without hosts is a delegate, which has only http rules; did you forget hosts?";

fn for_gateways_only(spec: &VirtualServiceSpec) -> bool {
    !spec.gateways.is_empty() && !spec.gateways.iter().any(|name| name == "mesh")
}

fn hosts(at: &At, spec: &VirtualServiceSpec, found: &mut Findings) {
    let gateways_only = for_gateways_only(spec);
    let has_sni =
        spec.tls.iter().flat_map(|route| &route.matches).any(|condition| !condition.sni_hosts.is_empty());
    let mut all_valid = true;
    for (index, host) in spec.hosts.iter().enumerate() {
        let at = at.item("hosts", index);
        let checked = match host {
            host if names::is_ip(host) || (gateways_only && has_sni && is_generated_sni(host)) => Ok(()),
            host if host == "*" && !gateways_only => {
                Err("\"*\" is possible only for gateways, not for mesh".to_owned())
            }
            host => names::wildcard_domain(host),
        };
        all_valid &= checked.is_ok();
        found.check(&at, checked);
    }
    if !all_valid {
        return;
    }
    for (index, host) in spec.hosts.iter().enumerate() {
        let covers = |other: &&String| names::is_subset(host, other) || names::is_subset(other, host);
        if let Some(other) = spec.hosts[..index].iter().find(covers) {
            found.error(&at.item("hosts", index), format!("{host:?} and {other:?} overlap; keep one"));
        }
    }
}

/// `outbound_.80_._.reviews.default.svc.cluster.local`, the server names of automatic TLS passthrough.
fn is_generated_sni(host: &str) -> bool {
    let parts: Vec<&str> = host.splitn(4, '_').collect();
    let port = |text: &str| text.trim_matches('.').parse::<u16>().is_ok();
    matches!(parts.as_slice(), ["outbound", number, _, name] if port(number) && names::domain(name.trim_matches('.')).is_ok())
}

/// Claims of tokens are known only where a gateway verified them.
fn claims(at: &At, spec: &VirtualServiceSpec, found: &mut Findings) {
    if for_gateways_only(spec) {
        return;
    }
    for (route_index, route) in spec.http.iter().enumerate() {
        for (index, condition) in route.matches.iter().enumerate() {
            let claim = condition
                .headers
                .keys()
                .chain(condition.without_headers.keys())
                .find(|name| headers::is_claim(name));
            if let Some(name) = claim {
                let at = at.item("http", route_index).item("match", index).key("headers", name);
                found.error(&at, "matching on claims is possible only in a VirtualService whose gateways don't contain mesh");
            }
        }
    }
}

fn tls_match(at: &At, condition: &TlsMatchAttributes, spec: &VirtualServiceSpec, found: &mut Findings) {
    found.error_if(condition.sni_hosts.is_empty(), &at.field("sniHosts"), "needs at least one server name");
    for (index, name) in condition.sni_hosts.iter().enumerate() {
        let at = at.item("sniHosts", index);
        if for_gateways_only(spec) && is_generated_sni(name) {
            continue;
        }
        if names::is_ip(name) {
            found.warning(&at, format!("{name:?} is an address; most clients send no server name for it"));
            continue;
        }
        match names::wildcard_domain(name) {
            Err(message) => found.error(&at, message),
            Ok(()) if spec.hosts.iter().any(|host| names::is_subset(name, host)) => {}
            Ok(()) => {
                found.error(&at, format!("{name:?} belongs to none of hosts: {}", spec.hosts.join(", ")));
            }
        }
    }
    subnets(at, &condition.destination_subnets, found);
    names::clients(at, condition.port, &condition.source_labels, &condition.gateways, found);
}

fn tcp_match(at: &At, condition: &L4MatchAttributes, found: &mut Findings) {
    subnets(at, &condition.destination_subnets, found);
    names::clients(at, condition.port, &condition.source_labels, &condition.gateways, found);
}

fn subnets(at: &At, subnets: &[String], found: &mut Findings) {
    for (index, subnet) in subnets.iter().enumerate() {
        found.check(&at.item("destinationSubnets", index), names::subnet(subnet));
    }
}

fn destinations(at: &At, targets: &[RouteDestination], found: &mut Findings) {
    found.error_if(targets.is_empty(), &at.field("route"), "needs a destination");
    for (index, target) in targets.iter().enumerate() {
        http_route::destination(&at.item("route", index).field("destination"), &target.destination, found);
    }
    http_route::weights(at, targets.iter().map(|target| target.weight), found);
}
