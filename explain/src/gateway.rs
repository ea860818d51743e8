//! Requests from outside, as a gateway routes them.

use std::sync::Arc;

use crds::networking::{Server, ServerTlsMode};
use model::config::{Gateway, VirtualService};
use model::{Protocol, Text, is_wildcard};
use xds::names;

use crate::action;
use crate::claims::covers;
use crate::decision::{Considered, Decision, Listener, VirtualHostSeen};
use crate::evaluator::View;
use crate::outcome::Outcome;
use crate::rules::{Place, cases_of};
use crate::unanswerable::Unanswerable;
use crate::walk::{self, Named};

/// One server of a Gateway that the proxy serves.
#[derive(Clone, Copy)]
struct Serving<'a> {
    gateway: &'a Gateway,
    server: &'a Server,
    position: usize,
}

impl Serving<'_> {
    fn protocol(&self) -> Protocol {
        Protocol::parse(&self.server.port.protocol)
    }

    /// Whether it ends TLS, and then reads requests.
    fn terminates(&self) -> bool {
        let Some(tls) = &self.server.tls else { return false };
        let mode = if self.protocol().is_tls() { Some(tls.mode.unwrap_or_default()) } else { tls.mode };
        mode.is_some_and(|mode| !matches!(mode, ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough))
    }

    fn reads_requests(&self, tls: bool) -> bool {
        let https = self.protocol() == Protocol::Https && self.terminates();
        (self.protocol().is_http() || https) && self.terminates() == tls
    }

    fn in_words(&self) -> String {
        format!("{}, server {} ({})", self.gateway.meta.name, self.position, self.server.port.name)
    }

    fn redirects(&self) -> bool {
        self.server.tls.as_ref().is_some_and(|tls| tls.https_redirect == Some(true))
    }
}

/// A VirtualService at a host, with the Gateway that brings it there.
type Speaking<'a> = (&'a Arc<VirtualService>, String, Text);

/// The way of a request through a gateway.
pub(crate) fn explain(view: &View<'_>) -> Result<Decision, Unanswerable> {
    let (port, tls) = (view.request.port, view.request.tls);
    let all = servers(view, port);
    let mut fitting: Vec<Serving<'_>> = all.iter().filter(|it| it.reads_requests(tls)).copied().collect();
    if tls {
        fitting = by_name(&fitting, &view.request.host);
    }
    let Some(first) = fitting.first().copied() else { return Err(none(view, &all)) };
    let listener = Listener {
        name: format!("0.0.0.0_{port}"),
        protocol: if tls { "HTTPS" } else { "HTTP" }.to_owned(),
        gateway: Some(fitting.iter().map(Serving::in_words).collect::<Vec<_>>().join("; ")),
    };
    let mut decision = view.begin(listener, Outcome::NotFound { why: String::new() });
    let name = &first.gateway.meta.name;
    decision.routes = Some(if tls {
        names::gateway_https_route(port, &first.server.port.name, &name.name, &name.namespace)
    } else {
        names::gateway_http_route(port)
    });
    route(view, &fitting, &mut decision);
    Ok(decision)
}

/// Servers on a port, those of the oldest Gateway first.
fn servers<'a>(view: &View<'a>, port: u16) -> Vec<Serving<'a>> {
    let selected = view.mesh.gateways.values().filter(|it| {
        view.mesh.discovers(&it.meta.name.namespace) && view.source.labels.satisfy(&it.selector)
    });
    let mut gateways: Vec<&Gateway> = selected.map(|it| &**it).collect();
    gateways.sort_by_key(|gateway| gateway.meta.age_order());
    let servers = gateways.into_iter().flat_map(|gateway| {
        let numbered = gateway.servers.iter().enumerate();
        numbered.map(move |(position, server)| Serving { gateway, server, position })
    });
    servers.filter(|it| it.server.port.number == u32::from(port)).collect()
}

/// Of servers that end TLS, the one with the most particular host for a name; the oldest of several.
fn by_name<'a>(all: &[Serving<'a>], name: &str) -> Vec<Serving<'a>> {
    let name = name.to_ascii_lowercase();
    let mut best: Option<((bool, usize), Serving<'a>)> = None;
    for serving in all {
        for host in
            serving.gateway.hosts_of(serving.server).into_iter().filter(|host| covers(&host.host, &name))
        {
            let rank = (!is_wildcard(&host.host), host.host.len());
            if best.is_none_or(|(known, _)| rank > known) {
                best = Some((rank, *serving));
            }
        }
    }
    best.into_iter().map(|(_, serving)| serving).collect()
}

fn none(view: &View<'_>, on_port: &[Serving<'_>]) -> Unanswerable {
    let request = view.request;
    let what = match (request.tls, on_port.is_empty()) {
        (_, true) => format!("server on port {}", request.port),
        (true, false) => format!("server on port {} that ends TLS for {}", request.port, request.host),
        (false, false) => format!("server on port {} for plain HTTP", request.port),
    };
    let mut ports: Vec<String> = view
        .mesh
        .gateways
        .values()
        .filter(|gateway| view.source.labels.satisfy(&gateway.selector))
        .flat_map(|gateway| {
            let name = &gateway.meta.name;
            gateway.servers.iter().map(move |it| format!("{} {} ({name})", it.port.number, it.port.protocol))
        })
        .collect();
    ports.sort();
    let instead = if ports.is_empty() {
        "no Gateway selects it by its labels".to_owned()
    } else {
        format!("it has {}", ports.join(", "))
    };
    Unanswerable::NoServer { gateway: view.source.name.clone(), what, instead }
}

/// VirtualServices of all servers, by the hosts that they and the servers have in common.
fn speaking<'a>(view: &View<'a>, servers: &[Serving<'a>]) -> Vec<Speaking<'a>> {
    let mut all: Vec<Speaking<'a>> = Vec::new();
    for serving in servers {
        let gateway = &serving.gateway.meta.name;
        let bound = view.mesh.virtual_services.values().filter(|it| it.gateways.contains(gateway));
        let mut bound: Vec<_> = bound
            .filter(|it| !it.spec.http.is_empty())
            .filter(|it| view.mesh.is_virtual_service_exported(it, &view.source.namespace))
            .collect();
        bound.sort_by_key(|service| service.meta.age_order());
        for service in bound {
            for served in serving.gateway.hosts_of(serving.server) {
                let namespace = &service.meta.name.namespace;
                if served.namespace.as_ref().is_some_and(|only| only != namespace) {
                    continue;
                }
                for host in &service.hosts {
                    let common = if covers(&served.host, host) {
                        host
                    } else if covers(host, &served.host) {
                        &served.host
                    } else {
                        continue;
                    };
                    let known = all.iter().any(|(known, by, at)| {
                        Arc::ptr_eq(known, service) && *by == gateway.to_string() && at == common
                    });
                    if !known {
                        all.push((service, gateway.to_string(), common.clone()));
                    }
                }
            }
        }
    }
    all
}

fn route(view: &View<'_>, servers: &[Serving<'_>], decision: &mut Decision) {
    let all = speaking(view, servers);
    let redirected = servers.iter().filter(|it| it.redirects()).flat_map(|it| it.gateway.hosts_of(it.server));
    let redirected: Vec<Text> = redirected.map(|host| host.host).collect();
    let asked = host_part(&view.authority);
    let hosts = all.iter().map(|(_, _, host)| host).chain(&redirected);
    let best = hosts
        .filter(|host| covers(host, &asked) && !(is_wildcard(host) && host.len() > asked.len()))
        .max_by_key(|host| (!is_wildcard(host), host.len()))
        .cloned();
    let Some(host) = best else {
        decision.outcome =
            Outcome::NotFound { why: format!("no VirtualService speaks for {asked} at this gateway") };
        if all.is_empty() && redirected.is_empty() {
            decision.virtual_host = Some(VirtualHostSeen {
                name: format!("blackhole:{}", view.request.port),
                domain: "*".to_owned(),
                matched: "what remains: nothing is bound to the port's Gateways".to_owned(),
            });
        }
        return;
    };
    decision.virtual_host = Some(VirtualHostSeen {
        name: names::virtual_host(&host, view.request.port),
        domain: host.to_string(),
        matched: if is_wildcard(&host) { "a wildcard" } else { "the host itself" }.to_owned(),
    });
    if !view.request.tls
        && let Some(by) = servers.iter().find(|serving| {
            // A server redirects its own hosts, and those at which VirtualServices meet it.
            let met = speaking(view, &[**serving]);
            let own = serving.gateway.hosts_of(serving.server).into_iter().map(|it| it.host);
            serving.redirects() && met.into_iter().map(|(.., at)| at).chain(own).any(|it| it == host)
        })
    {
        decision.outcome = Outcome::Redirect {
            status: 301,
            location: format!("https://{}{}", bare(&view.authority), view.request.path),
            why: format!("httpsRedirect of Gateway {}", by.in_words()),
        };
        return;
    }
    by_rules(view, &all, &host, decision);
}

/// Rules of all VirtualServices for the host count here, the oldest object's first; what takes everything comes last.
fn by_rules(view: &View<'_>, speaking: &[Speaking<'_>], host: &Text, decision: &mut Decision) {
    let mut cases: Vec<Named<'_>> = Vec::new();
    let mut tls_place = Place { port: view.request.port, tls: view.request.tls, gateway: String::new() };
    for (service, gateway, at) in speaking {
        let name = service.meta.name.to_string();
        if at != host {
            if covers(at, host) {
                let why = format!("{host} is more particular than its host");
                decision.virtual_services.push(Considered {
                    name,
                    host: at.to_string(),
                    applies: false,
                    why,
                });
            }
            continue;
        }
        tls_place.gateway.clone_from(gateway);
        let reading = cases_of(view, service, &tls_place);
        decision.notes.extend(reading.notes);
        let why = format!("bound to Gateway {gateway}; rules of all VirtualServices for the host count");
        decision.virtual_services.push(Considered {
            name: name.clone(),
            host: at.to_string(),
            applies: true,
            why,
        });
        cases.extend(reading.cases.into_iter().map(|case| (name.clone(), case)));
    }
    cases.sort_by_key(|(_, case)| case.catch_all);
    decision.virtual_services.sort_by_key(|one| !one.applies);
    decision.outcome = match walk::first(view, cases, decision) {
        Some(case) => action::outcome(view, &case, &tls_place),
        None => Outcome::NotFound { why: format!("no rule for {host} takes the request") },
    };
}

fn bare(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn host_part(authority: &str) -> String {
    bare(authority).to_ascii_lowercase()
}
