//! ServiceEntry.

use std::collections::BTreeSet;

use crds::networking::{
    ServiceEntryResolution as Resolution, ServiceEntrySpec, WorkloadEntrySpec, WorkloadSelector,
};

use super::{
    findings::{At, Findings},
    names::{self, Protocol},
    workload_entry,
};

pub(super) fn check(spec: &ServiceEntrySpec, namespace: &str, found: &mut Findings) {
    let at = At::spec();
    let resolution = spec.resolution.unwrap_or_default();
    if let Some(selector) = &spec.workload_selector {
        labels_selector(&at.field("workloadSelector"), selector, found);
        found.error_if(!spec.endpoints.is_empty(), &at, "workloadSelector and endpoints exclude each other");
    }
    hosts(&at, spec, resolution, found);
    for (index, address) in spec.addresses.iter().enumerate() {
        let at = at.item("addresses", index);
        found.check(&at, names::subnet(address));
        let by_name = !matches!(resolution, Resolution::None | Resolution::Static);
        found.error_if(
            address.contains('/') && by_name,
            &at,
            "a network is possible only with resolution NONE or STATIC",
        );
    }
    let ports = ports(&at, spec, found);
    match resolution {
        Resolution::None => {
            found.error_if(
                !spec.endpoints.is_empty(),
                &at.field("endpoints"),
                "resolution NONE can't have endpoints",
            );
            if spec.workload_selector.is_some() {
                found.warning(&at.field("workloadSelector"), "has no effect with resolution NONE");
            }
        }
        Resolution::Static => endpoints(&at, spec, &ports, false, found),
        Resolution::Dns | Resolution::DnsRoundRobin => by_dns(&at, spec, &ports, resolution, found),
        Resolution::DynamicDns => by_request(&at, spec, found),
        Resolution::Unrecognized => {}
    }
    // Plain TCP carries no name, so the hosts couldn't be told apart.
    let nameless =
        |name: &str| Protocol::parse(name).is_none_or(|protocol| !protocol.is_http() && !protocol.is_tls());
    let nameless = spec.ports.iter().any(|port| nameless(port.protocol.as_deref().unwrap_or_default()));
    found.error_if(
        resolution != Resolution::None && spec.hosts.len() > 1 && nameless,
        &at.field("hosts"),
        "several hosts are possible only when all ports are HTTP or TLS",
    );
    names::export_to(&at, &spec.export_to, namespace, true, found);
}

/// A selector of Sidecar and ServiceEntry.
pub(super) fn labels_selector(at: &At, selector: &WorkloadSelector, found: &mut Findings) {
    if selector.labels.is_empty() {
        found.warning(at, "has no labels, so it selects every workload of the namespace");
    }
    for (key, value) in &selector.labels {
        let at = at.key("labels", key);
        found.error_if(key.is_empty(), &at, "a label needs a name");
        found.error_if(key.contains('*') || value.contains('*'), &at, "a selector can't have wildcards");
    }
}

fn hosts(at: &At, spec: &ServiceEntrySpec, resolution: Resolution, found: &mut Findings) {
    found.error_if(spec.hosts.is_empty(), &at.field("hosts"), "needs at least one host");
    for (index, host) in spec.hosts.iter().enumerate() {
        let at = at.item("hosts", index);
        if host == "*" {
            found.error(&at, "can't be the bare wildcard");
            continue;
        }
        found.check(&at, names::wildcard_domain(host));
        if host.contains('*') && !host.starts_with("*.") && resolution != Resolution::DynamicDns {
            found.warning(&at, format!("{host:?} has a wildcard that isn't a whole label"));
        }
    }
}

/// Checks the ports; answers with their names.
fn ports<'a>(at: &At, spec: &'a ServiceEntrySpec, found: &mut Findings) -> BTreeSet<&'a str> {
    let (mut port_names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in spec.ports.iter().enumerate() {
        let at = at.item("ports", index);
        found.error_if(
            !port_names.insert(port.name.as_str()),
            &at.field("name"),
            "another port has the same name",
        );
        found.error_if(!numbers.insert(port.number), &at.field("number"), "another port has the same number");
        found.check(&at.field("name"), names::port_name(&port.name));
        found.check(&at.field("number"), names::port(port.number));
        found.check(&at.field("protocol"), names::protocol(port.protocol.as_deref()));
        if let Some(target) = port.target_port.filter(|port| *port != 0) {
            found.check(&at.field("targetPort"), names::port(target));
        }
    }
    port_names
}

fn endpoints(at: &At, spec: &ServiceEntrySpec, ports: &BTreeSet<&str>, by_name: bool, found: &mut Findings) {
    for (index, endpoint) in spec.endpoints.iter().enumerate() {
        let at = at.item("endpoints", index);
        workload_entry::check(&at, endpoint, by_name, found);
        for name in endpoint.ports.keys().filter(|name| !ports.contains(name.as_str())) {
            found.error(&at.key("ports", name), "the ServiceEntry has no port of that name");
        }
        let socket =
            |entry: &WorkloadEntrySpec| entry.address.as_deref().is_some_and(|a| a.starts_with("unix://"));
        found.error_if(
            socket(endpoint) && ports.len() != 1,
            &at,
            "a Unix socket needs exactly one port in spec.ports",
        );
    }
}

fn by_dns(
    at: &At,
    spec: &ServiceEntrySpec,
    ports: &BTreeSet<&str>,
    resolution: Resolution,
    found: &mut Findings,
) {
    if spec.endpoints.is_empty() {
        for (index, host) in spec.hosts.iter().enumerate() {
            found.error_if(
                host.starts_with('*'),
                &at.item("hosts", index),
                "a wildcard can't be looked up; add endpoints, or use resolution NONE or DYNAMIC_DNS",
            );
        }
    }
    found.error_if(
        resolution == Resolution::DnsRoundRobin && spec.endpoints.len() > 1,
        &at.field("endpoints"),
        "resolution DNS_ROUND_ROBIN can't have several endpoints",
    );
    endpoints(at, spec, ports, true, found);
}

fn by_request(at: &At, spec: &ServiceEntrySpec, found: &mut Findings) {
    for (index, host) in spec.hosts.iter().enumerate() {
        found.error_if(
            !host.starts_with('*'),
            &at.item("hosts", index),
            "resolution DYNAMIC_DNS needs a wildcard",
        );
    }
    found.error_if(
        !spec.addresses.is_empty(),
        &at.field("addresses"),
        "resolution DYNAMIC_DNS can't have addresses",
    );
    found.error_if(
        !spec.endpoints.is_empty(),
        &at.field("endpoints"),
        "resolution DYNAMIC_DNS can't have endpoints",
    );
    for (index, port) in spec.ports.iter().enumerate() {
        let name = port.protocol.as_deref().unwrap_or_default().to_ascii_uppercase();
        found.error_if(
            !matches!(name.as_str(), "HTTP" | "TLS" | "GRPC" | "HTTP2"),
            &at.item("ports", index).field("protocol"),
            "resolution DYNAMIC_DNS needs HTTP, HTTP2, GRPC or TLS",
        );
    }
}
