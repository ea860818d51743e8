//! Where rules lead: services, subsets of them and ports.

use crds::networking::Destination;

use super::super::FindingKind::{Empty, Ignored, Misplaced, UnresolvedReference};
use super::super::list::{At, List};
use super::super::{hosts, places};
use crate::config::VirtualService;
use crate::mesh::Mesh;
use crate::value::{Labels, Protocol, Resolution, Service};

pub(super) fn look(mesh: &Mesh, service: &VirtualService, list: &mut List) {
    let spec = &service.spec;
    let at = At::spec();
    let mut looked = Looked { mesh, service, list };
    for (index, rule) in spec.http.iter().enumerate() {
        let at = at.item("http", index);
        for (index, route) in rule.route.iter().enumerate() {
            looked.destination(&route.destination, &at.item("route", index).field("destination"), true);
        }
        if let Some(mirror) = &rule.mirror {
            looked.destination(mirror, &at.field("mirror"), true);
        }
        for (index, mirror) in rule.mirrors.iter().enumerate() {
            looked.destination(&mirror.destination, &at.item("mirrors", index).field("destination"), true);
        }
    }
    let tls = spec.tls.iter().map(|rule| &rule.route).enumerate().map(|(index, all)| ("tls", index, all));
    let tcp = spec.tcp.iter().map(|rule| &rule.route).enumerate().map(|(index, all)| ("tcp", index, all));
    for (kind, index, routes) in tls.chain(tcp) {
        let at = at.item(kind, index);
        for (index, route) in routes.iter().enumerate() {
            looked.destination(&route.destination, &at.item("route", index).field("destination"), false);
        }
    }
    opaque_ports(mesh, service, list);
}

struct Looked<'a> {
    mesh: &'a Mesh,
    service: &'a VirtualService,
    list: &'a mut List,
}

impl Looked<'_> {
    fn destination(&mut self, to: &Destination, at: &At, http: bool) {
        if self.list.is_full() {
            return;
        }
        let namespace = &self.service.meta.name.namespace;
        let found = hosts::service(self.mesh, &to.host, namespace, &at.field("host"), self.list);
        let Some(found) = found else { return };
        self.port(found, to, at, http);
        match to.subset.as_deref().filter(|subset| !subset.is_empty()) {
            Some(subset) => self.subset(found, subset, &at.field("subset")),
            None if !hosts::has_endpoints(self.mesh, found, &Labels::default()) => {
                let host = &to.host;
                self.list.warning(
                    Empty,
                    &at.field("host"),
                    format_args!("{host} has no endpoint now: requests to it are answered with 503"),
                );
            }
            None => {}
        }
    }

    fn port(&mut self, found: &Service, to: &Destination, at: &At, http: bool) {
        let known = || {
            let ports: Vec<_> = found.ports.iter().map(|port| port.number.to_string()).collect();
            ports.join(", ")
        };
        let number = to.port.as_ref().and_then(|port| port.number).filter(|number| *number != 0);
        match number {
            Some(number) if !found.ports.iter().any(|port| u32::from(port.number) == number) => {
                self.list.error(
                    UnresolvedReference,
                    &at.field("port.number"),
                    format_args!("{} has no port {number}; its ports are {}", found.key.host, known()),
                );
            }
            // On sidecars the port that was called is kept, which is one of the service's own if it is the same host.
            None if found.ports.len() > 1
                && http
                && (!self.service.gateways.is_empty() || !self.service.hosts.contains(&found.key.host)) =>
            {
                self.list.warning(
                    UnresolvedReference,
                    at,
                    format_args!(
                        "{} has the ports {} and the destination says none: requests go to the port that was called, \
                         if there is one; add port.number",
                        found.key.host,
                        known()
                    ),
                );
            }
            _ => {}
        }
    }

    fn subset(&mut self, found: &Service, subset: &str, at: &At) {
        let (mesh, host) = (self.mesh, &*found.key.host);
        let (namespace, of) = (&*self.service.meta.name.namespace, &*found.key.namespace);
        let used = mesh.destination_rule(namespace, &Labels::default(), host, of);
        if let Some(known) = used.and_then(|rule| rule.subset(subset)) {
            let labels = Labels::new(&known.labels);
            if !hosts::has_endpoints(mesh, found, &labels) {
                self.list.warning(
                    Empty,
                    at,
                    format_args!(
                        "no endpoint of {host} has the labels of subset {subset}, {}: requests to it are answered \
                         with 503",
                        places::shown(&labels)
                    ),
                );
            }
            return;
        }
        let elsewhere = places::rules_for(mesh, host).find(|rule| rule.subset(subset).is_some());
        match (used, elsewhere) {
            (Some(used), Some(other)) => self.list.error(
                Misplaced,
                at,
                format_args!(
                    "clients in namespace {namespace} use DestinationRule {}, which has no subset {subset}; {} has it, \
                     but is not looked at; add the subset to the former",
                    places::source(used),
                    places::source(other)
                ),
            ),
            (None, Some(other)) if !other.selects => match mesh.hiding_rule(namespace, host, of) {
                Some(hiding) if !hiding.sources.contains(&other.sources[0]) => self.list.error(
                    Misplaced,
                    at,
                    format_args!(
                        "DestinationRule {} has the subset {subset}, but {} comes first for clients in namespace \
                         {namespace}, which it is not for: {}; add a rule with the subset for them there",
                        places::source(other),
                        places::source(hiding),
                        if hiding.selects { "it has a workloadSelector" } else { "it is not exported to them" }
                    ),
                ),
                _ => self.list.error(
                    Misplaced,
                    at,
                    format_args!(
                        "DestinationRule {} has the subset {subset}, but clients in namespace {namespace} look for \
                         rules only in their own namespace, in {of} and in {}, where they are exported; move it to {of}",
                        places::source(other),
                        mesh.settings.root_namespace
                    ),
                ),
            },
            // Only certain workloads have it, which may be all that use the route.
            (None, Some(_)) => {}
            (Some(used), None) => {
                let names: Vec<&str> = used.subsets.iter().map(|known| known.name.as_str()).collect();
                let hint = match crds::closest(subset, &names) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None if names.is_empty() => "it has none; add it there".to_owned(),
                    None => format!("it has {}; add it there", names.join(", ")),
                };
                self.list.error(
                    UnresolvedReference,
                    at,
                    format_args!("DestinationRule {} has no subset {subset}; {hint}", places::source(used)),
                );
            }
            (None, None) => self.list.error(
                UnresolvedReference,
                at,
                format_args!(
                    "no DestinationRule for {host} defines the subset {subset}; create one in namespace {of} with the \
                     subset and its labels"
                ),
            ),
        }
    }
}

/// HTTP rules do nothing for a host whose ports are all declared to be something else.
fn opaque_ports(mesh: &Mesh, service: &VirtualService, list: &mut List) {
    if service.spec.http.is_empty() || !service.on_mesh || !service.spec.tcp.is_empty() {
        return;
    }
    for (index, host) in service.hosts.iter().enumerate() {
        let mut services = mesh.services_of(host).peekable();
        let opaque = |one: &Service| {
            one.resolution != Resolution::Passthrough
                && !one.ports.is_empty()
                && !one.ports.iter().any(|port| port.protocol.is_http() || port.protocol == Protocol::Auto)
        };
        if services.peek().is_some() && services.all(|one| opaque(one)) {
            list.warning(
                Ignored,
                &At::spec().item("hosts", index),
                format_args!(
                    "no port of {host} is declared to be HTTP, so that the http rules are not used; name the port \
                     http-..., or set its appProtocol to http"
                ),
            );
        }
    }
}
