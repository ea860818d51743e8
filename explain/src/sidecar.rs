//! Requests of a workload's app, as its sidecar routes them.

use std::sync::Arc;

use model::config::OutboundMode;
use model::{Protocol, Service};
use xds::names;

use crate::action;
use crate::claims;
use crate::decision::{Decision, Listener, ServiceSeen, VirtualHostSeen};
use crate::destination::{Found, target};
use crate::evaluator::View;
use crate::hosts::{Name, Owner, addresses};
use crate::outcome::{Forward, Outcome};
use crate::rules::{Place, cases_of};
use crate::tcp;
use crate::unanswerable::Unanswerable;
use crate::walk;

/// The way of a request through a sidecar.
pub(crate) fn explain(view: &View<'_>) -> Result<Decision, Unanswerable> {
    let connected = view.connected()?;
    let port = view.request.port;
    let wildcard = |protocol: &str| Listener {
        name: format!("0.0.0.0_{port}"),
        protocol: protocol.to_owned(),
        gateway: None,
    };
    let service = connected.map(|(service, name)| seen(service, name));
    let mut decision = match connected {
        Some((service, _)) if is_bytes(service, port) => tcp::explain(view, service),
        Some((service, _)) if is_detected_alone(service, port) => {
            let at = addresses(service).next().map_or_else(String::new, |ip| names::listener(ip, port));
            let listener = Listener { name: at, protocol: "detected".to_owned(), gateway: None };
            detected(view, service, listener)
        }
        _ if !has_http(view) => {
            let listener = Listener { name: names::VIRTUAL_OUTBOUND.to_owned(), ..wildcard("any") };
            view.begin(
                listener,
                unknown(view, &format!("no service that the sender sees speaks HTTP on port {port}")),
            )
        }
        Some((service, _)) => by_authority(view, wildcard(protocol(service, port))),
        None => by_authority(view, wildcard("HTTP")),
    };
    decision.service = service;
    Ok(decision)
}

fn seen(service: &Service, name: Name) -> ServiceSeen {
    let kind = match service.registry {
        model::Registry::Kubernetes => "Service",
        model::Registry::ServiceEntry => "ServiceEntry",
    };
    ServiceSeen {
        host: service.key.host.to_string(),
        namespace: service.key.namespace.to_string(),
        declared_by: format!("{kind} {}/{}", service.key.namespace, service.name),
        named: name.in_words().to_owned(),
    }
}

fn protocol(service: &Service, port: u16) -> &'static str {
    match service.port(port).map(|port| port.protocol) {
        Some(Protocol::Auto) => "detected",
        Some(Protocol::Grpc | Protocol::GrpcWeb) => "gRPC",
        Some(Protocol::Http2) => "HTTP/2",
        _ => "HTTP",
    }
}

fn is_bytes(service: &Service, port: u16) -> bool {
    service.port(port).is_some_and(|port| !port.protocol.is_http() && port.protocol != Protocol::Auto)
}

/// A detected protocol on an address of the service's own: there the address says who is meant, not the authority.
fn is_detected_alone(service: &Service, port: u16) -> bool {
    service.port(port).is_some_and(|port| port.protocol == Protocol::Auto)
        && addresses(service).next().is_some()
}

/// Whether requests on the port are read at all.
fn has_http(view: &View<'_>) -> bool {
    let port = view.request.port;
    view.mesh.services.values().any(|service| {
        let declared = service.port(port).is_some_and(|port| port.protocol.is_http());
        view.routes_to(service, port) && (declared || addresses(service).next().is_none())
    })
}

fn unknown(view: &View<'_>, why: &str) -> Outcome {
    let policy = match view.scope.sidecar().filter(|sidecar| sidecar.outbound.is_some()) {
        Some(sidecar) => format!("Sidecar {}", sidecar.meta.name),
        None => "the mesh".to_owned(),
    };
    match view.scope.outbound_mode() {
        OutboundMode::AllowAny => Outcome::PassThrough { why: format!("{why}, and {policy} says ALLOW_ANY") },
        OutboundMode::RegistryOnly => {
            Outcome::Refused { why: format!("{why}, and {policy} says REGISTRY_ONLY") }
        }
    }
}

fn detected(view: &View<'_>, service: &Arc<Service>, listener: Listener) -> Decision {
    let port = view.request.port;
    let mut decision = view.begin(listener, unknown(view, ""));
    decision.routes = Some(names::detected_route(&service.key.host, port));
    decision.virtual_host = Some(VirtualHostSeen {
        name: names::virtual_host(&service.key.host, port),
        domain: "*".to_owned(),
        matched: "any name: the connection goes to the service's own address".to_owned(),
    });
    decide(view, Owner::Service(service), &mut decision);
    decision
}

fn by_authority(view: &View<'_>, listener: Listener) -> Decision {
    let port = view.request.port;
    let mut decision = view.begin(listener, unknown(view, ""));
    decision.routes = Some(names::outbound_route(port));
    let Some((owner, domain, name)) = view.owner(&view.authority) else {
        let why = format!("nothing on port {port} is called {}", view.authority);
        decision.outcome = unknown(view, &why);
        let catch_all = match view.scope.outbound_mode() {
            OutboundMode::AllowAny => "allow_any",
            OutboundMode::RegistryOnly => "block_all",
        };
        decision.virtual_host = Some(VirtualHostSeen {
            name: catch_all.to_owned(),
            domain: "*".to_owned(),
            matched: "what remains: no other host fits".to_owned(),
        });
        return decision;
    };
    let host = match &owner {
        Owner::Service(service) => service.key.host.clone(),
        Owner::Other(host) => host.clone(),
    };
    let matched = match owner {
        Owner::Service(_) => name.in_words(),
        Owner::Other(_) => "a host of a VirtualService that no service has",
    };
    decision.virtual_host =
        Some(VirtualHostSeen { name: names::virtual_host(&host, port), domain, matched: matched.to_owned() });
    decide(view, owner, &mut decision);
    decision
}

/// Which VirtualService, rule and destination a virtual host comes to.
fn decide(view: &View<'_>, owner: Owner<'_>, decision: &mut Decision) {
    let host = match &owner {
        Owner::Service(service) => service.key.host.clone(),
        Owner::Other(host) => host.clone(),
    };
    let place = Place::mesh(view.request.port);
    let (winner, considered) = claims::decide(view, &host, matches!(owner, Owner::Service(_)));
    decision.virtual_services = considered;
    if let Some(winner) = winner {
        let reading = cases_of(view, winner, &place);
        decision.notes.extend(reading.notes);
        let name = winner.meta.name.to_string();
        let cases = reading.cases.into_iter().map(|case| (name.clone(), case)).collect();
        decision.outcome = match walk::first(view, cases, decision) {
            Some(case) => action::outcome(view, &case, &place),
            None => Outcome::NotFound { why: format!("no rule of VirtualService {name} takes the request") },
        };
        return;
    }
    let Owner::Service(service) = owner else { return };
    let found =
        Found { host: host.to_string(), subset: String::new(), port: place.port, service: Some(service) };
    let mut to = target(view, &found);
    to.authority = Some(view.authority.clone());
    decision.outcome = if view.request.method == "CONNECT" {
        Outcome::NotFound { why: "a CONNECT has no path, which every route asks for".to_owned() }
    } else {
        Outcome::Forward(Box::new(Forward {
            path: view.request.path.clone(),
            path_rewritten: false,
            timeout: None,
            retries: action::retries(view, None),
            faults: Vec::new(),
            mirrors: Vec::new(),
            targets: vec![to],
        }))
    };
}
