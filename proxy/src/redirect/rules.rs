//! Plan in, nftables rule text out. Pure.
//!
//! The chains answer the same questions, in the same order, as Istio's: inbound connections go to the
//! inbound port; outbound ones to the outbound port, except the proxy's own, those over loopback, and those
//! that the user excluded. A connection that the proxy makes to its own pod (the application called its own
//! service) comes in through the inbound port like anybody else's.

use ipnet::IpNet;
use std::fmt::{Display, Write};

use super::plan::{Owner, Plan, Selection};

/// Family and name of the one table that holds every rule of ours.
pub const TABLE: &str = "inet trysail";

/// Text that removes the table, whether or not it is there.
pub fn removal() -> String {
    format!("table {TABLE}\ndelete table {TABLE}\n")
}

/// Text that puts the plan's rules in place of whatever the table held, in one transaction.
pub fn ruleset(plan: &Plan) -> String {
    let mut out = removal();
    let chains = [
        invalid_chain(plan),
        Some(prerouting_chain(plan)),
        Some(inbound_chain(plan)),
        Some(output_chain(plan)),
        Some(outbound_chain(plan)),
    ];
    let _ = writeln!(out, "table {TABLE} {{");
    for (name, rules) in chains.into_iter().flatten().chain(dns_chains(plan)) {
        let _ = writeln!(out, "\tchain {name} {{");
        for rule in rules {
            let _ = writeln!(out, "\t\t{rule}");
        }
        let _ = writeln!(out, "\t}}");
    }
    out.push_str("}\n");
    out
}

type Chain = (&'static str, Vec<String>);

fn invalid_chain(plan: &Plan) -> Option<Chain> {
    let rules = vec![
        "type filter hook prerouting priority -150; policy accept;".to_owned(),
        "ct state invalid drop".to_owned(),
    ];
    plan.drop_invalid.then_some(("drop_invalid", rules))
}

fn prerouting_chain(plan: &Plan) -> Chain {
    let mut rules = hook("prerouting", plan);
    if !plan.kube_virt_interfaces.is_empty() {
        let from = format!("iifname {}", names(&plan.kube_virt_interfaces));
        let to = redirect(plan.outbound_port);
        match &plan.include_cidrs {
            Selection::All => rules.push(format!("{from} {to}")),
            Selection::Only(cidrs) => rules.extend(by_family(plan, cidrs, "daddr", &from, &to)),
        }
        rules.push(format!("{from} return"));
    }
    if !plan.exclude_interfaces.is_empty() {
        rules.push(format!("iifname {} return", names(&plan.exclude_interfaces)));
    }
    rules.push("meta l4proto tcp jump inbound".to_owned());
    ("prerouting", rules)
}

fn inbound_chain(plan: &Plan) -> Chain {
    let mut rules = vec![format!("tcp dport {} return", plan.tunnel_port)];
    let to = redirect(plan.inbound_port);
    match &plan.inbound_ports {
        Selection::All => {
            rules.extend(port_rule("tcp", &plan.exclude_inbound_ports, "return"));
            rules.push(to);
        }
        Selection::Only(ports) => rules.extend(port_rule("tcp", ports, &to)),
    }
    ("inbound", rules)
}

fn output_chain(plan: &Plan) -> Chain {
    let mut rules = hook("output", plan);
    if !plan.exclude_interfaces.is_empty() {
        rules.push(format!("oifname {} return", names(&plan.exclude_interfaces)));
    }
    if captures_dns(plan) {
        rules.push("meta l4proto { tcp, udp } th dport 53 jump dns".to_owned());
    }
    rules.push("meta l4proto tcp jump outbound".to_owned());
    ("output", rules)
}

fn outbound_chain(plan: &Plan) -> Chain {
    let mut rules = Vec::new();
    rules.extend(port_rule("tcp", &plan.exclude_outbound_ports, "return"));
    // The inbound side connects to the application from these addresses.
    rules.push("oifname \"lo\" ip saddr 127.0.0.6 return".to_owned());
    rules.push("oifname \"lo\" ip6 saddr ::6 return".to_owned());
    rules.extend(own_traffic(plan));
    rules.extend(group_rules(plan));
    rules.push(format!("ip daddr {} return", plan.loopback));
    rules.push("ip6 daddr ::1 return".to_owned());
    rules.extend(by_family(plan, &plan.exclude_cidrs, "daddr", "", "return"));
    let to = redirect(plan.outbound_port);
    rules.extend(port_rule("tcp", &plan.outbound_ports, &to));
    match &plan.include_cidrs {
        Selection::All => rules.push(to),
        Selection::Only(cidrs) => rules.extend(by_family(plan, cidrs, "daddr", "", &to)),
    }
    ("outbound", rules)
}

fn captures_dns(plan: &Plan) -> bool {
    plan.nameservers != Selection::Only(Vec::new())
}

/// The application's questions for names go to the proxy. The proxy's own are tracked apart from them (zone 1): one from the
/// same port to the same nameserver would be taken for the application's, and go to the proxy as well.
fn dns_chains(plan: &Plan) -> Vec<Chain> {
    if !captures_dns(plan) {
        return Vec::new();
    }
    let mut questions = of_proxy(plan, "return");
    questions.extend(group_rules(plan));
    let to = format!("meta l4proto {{ tcp, udp }} redirect to :{}", crate::dns::PORT);
    let mut sent = vec!["type filter hook output priority -300; policy accept;".to_owned()];
    sent.extend(of_proxy(plan, "udp dport 53 ct zone set 1"));
    let mut received = vec!["type filter hook prerouting priority -300; policy accept;".to_owned()];
    match &plan.nameservers {
        Selection::All => {
            questions.push(to);
            received.push("udp sport 53 ct zone set 1".to_owned());
        }
        Selection::Only(servers) => {
            questions.extend(by_family(plan, servers, "daddr", "", &to));
            received.extend(by_family(plan, servers, "saddr", "", "udp sport 53 ct zone set 1"));
        }
    }
    vec![("dns", questions), ("dns_sent", sent), ("dns_received", received)]
}

/// Rules about the proxy's own connections, and about the application talking to itself.
fn own_traffic(plan: &Plan) -> Vec<String> {
    let mut rules = Vec::new();
    let to_self = format!("tcp dport != {} {}", plan.tunnel_port, redirect(plan.inbound_port));
    // app -> own service address -> proxy (outbound) -> proxy (inbound) -> app
    for is_proxy in owner_matches(&plan.owner) {
        rules.push(format!("{is_proxy} oifname \"lo\" ip daddr != {} {to_self}", plan.loopback));
        rules.push(format!("{is_proxy} oifname \"lo\" ip6 daddr != ::1 {to_self}"));
    }
    // app -> own pod address stays within the pod
    if !plan.captures_loopback() {
        rules.push(format!("{} oifname \"lo\" return", owner_mismatch(&plan.owner)));
    }
    // never capture what the proxy itself sends
    rules.extend(of_proxy(plan, "return"));
    rules
}

fn group_rules(plan: &Plan) -> Option<String> {
    match &plan.owner_groups {
        Selection::All if plan.exclude_owner_groups.is_empty() => None,
        Selection::All => Some(format!("meta skgid {} return", names(&plan.exclude_owner_groups))),
        Selection::Only(groups) if groups.is_empty() => Some("return".to_owned()),
        Selection::Only(groups) => Some(format!("meta skgid != {} return", names(groups))),
    }
}

/// Rules for what the proxy itself sends.
fn of_proxy(plan: &Plan, rule: &str) -> Vec<String> {
    owner_matches(&plan.owner).into_iter().map(|is_proxy| format!("{is_proxy} {rule}")).collect()
}

fn owner_matches(owner: &Owner) -> Vec<String> {
    match owner {
        Owner::Mark(mark) => vec![format!("meta mark {mark}")],
        Owner::Ids { uids, gids } => {
            vec![format!("meta skuid {}", set(uids)), format!("meta skgid {}", set(gids))]
        }
    }
}

fn owner_mismatch(owner: &Owner) -> String {
    match owner {
        Owner::Mark(mark) => format!("meta mark != {mark}"),
        Owner::Ids { uids, gids } => format!("meta skuid != {} meta skgid != {}", set(uids), set(gids)),
    }
}

/// First lines of a base chain. nft 1.0.6 knows the priority's name only in prerouting, hence the number.
fn hook(hook: &str, plan: &Plan) -> Vec<String> {
    let mut rules = vec![format!("type nat hook {hook} priority -100; policy accept;")];
    if !plan.ipv6 {
        rules.push("meta nfproto ipv6 return".to_owned());
    }
    rules
}

fn redirect(port: u16) -> String {
    format!("meta l4proto tcp redirect to :{port}")
}

fn port_rule(protocol: &str, ports: &[u16], verdict: &str) -> Option<String> {
    (!ports.is_empty()).then(|| format!("{protocol} dport {} {verdict}", set(ports)))
}

/// One rule for the IPv4 ranges, one for the IPv6 ranges.
fn by_family(plan: &Plan, cidrs: &[IpNet], field: &str, before: &str, verdict: &str) -> Vec<String> {
    let (v4, v6): (Vec<IpNet>, Vec<IpNet>) = cidrs.iter().partition(|cidr| matches!(cidr, IpNet::V4(_)));
    let gap = if before.is_empty() { "" } else { " " };
    let rule = |family: &str, ranges: &[IpNet]| {
        format!("{before}{gap}{family} {field} {} {verdict}", ranges_set(ranges))
    };
    let mut rules = Vec::new();
    if !v4.is_empty() {
        rules.push(rule("ip", &v4));
    }
    if !v6.is_empty() && plan.ipv6 {
        rules.push(rule("ip6", &v6));
    }
    rules
}

/// A set of ranges; `nft` refuses overlapping ones, so they are merged first.
fn ranges_set(ranges: &[IpNet]) -> String {
    set(&IpNet::aggregate(&ranges.to_vec()))
}

fn set<T: Display + Ord + Clone>(items: &[T]) -> String {
    let mut sorted = items.to_vec();
    sorted.sort();
    sorted.dedup();
    let list: Vec<String> = sorted.iter().map(ToString::to_string).collect();
    format!("{{ {} }}", list.join(", "))
}

fn names(items: &[String]) -> String {
    set(&items.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>())
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
