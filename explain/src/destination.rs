//! Destinations of a rule: which service, subset and port, and what awaits a request there.

use crds::networking::Destination;
use model::{Service, Text, intern};
use std::sync::Arc;
use xds::names::ClusterName;

use crate::action::host_of;
use crate::endpoints;
use crate::evaluator::View;
use crate::outcome::Target;
use crate::policy;
use crate::rules::{Place, Rule};

/// A destination with its port found out.
pub(crate) struct Found<'a> {
    pub(crate) host: String,
    pub(crate) subset: String,
    pub(crate) port: u16,
    pub(crate) service: Option<&'a Arc<Service>>,
}

impl Found<'_> {
    pub(crate) fn cluster(&self) -> String {
        ClusterName::outbound(self.port, &self.subset, &self.host).to_string()
    }
}

/// The port is the one written, else the only one that the service has, else the one that the request came to.
pub(crate) fn find<'a>(view: &View<'a>, written: &Destination, place: &Place) -> Found<'a> {
    let service = view.scope.service(&written.host);
    let number = written.port.as_ref().and_then(|port| port.number).and_then(|port| u16::try_from(port).ok());
    let only = service.filter(|service| service.ports.len() == 1).map(|service| service.ports[0].number);
    Found {
        host: written.host.clone(),
        subset: written.subset.clone().unwrap_or_default(),
        port: number.or(only).unwrap_or(place.port),
        service,
    }
}

/// The cluster of a destination.
pub(crate) fn cluster(view: &View<'_>, written: &Destination, place: &Place) -> String {
    find(view, written, place).cluster()
}

/// All destinations of a rule that get requests. A single one gets all, whatever its weight; of several, those of
/// weight 0 get none.
pub(crate) fn targets(
    view: &View<'_>,
    rule: &Rule<'_>,
    authority: Option<&str>,
    place: &Place,
) -> Vec<Target> {
    let routes = &rule.own.route;
    let weight = |written: Option<i32>| match routes.len() {
        1 => 1,
        _ => written.and_then(|weight| u32::try_from(weight).ok()).unwrap_or_default(),
    };
    let total: u64 = routes.iter().map(|route| u64::from(weight(route.weight))).sum();
    let live = routes.iter().filter(|route| weight(route.weight) > 0);
    live.map(|route| {
        let own = route.headers.as_ref().and_then(|headers| headers.request.as_ref()).and_then(host_of);
        // The rule's word counts more than the destination's.
        let authority = authority.map(str::to_owned).or(own).unwrap_or_else(|| view.authority.clone());
        let found = find(view, &route.destination, place);
        let weight = weight(route.weight);
        Target {
            weight,
            percent: 100.0 * f64::from(weight) / total as f64,
            authority: Some(authority),
            ..target(view, &found)
        }
    })
    .collect()
}

/// What awaits a request at a destination.
pub(crate) fn target(view: &View<'_>, found: &Found<'_>) -> Target {
    let namespace: Text = found.service.map_or_else(|| intern(""), |service| service.key.namespace.clone());
    let chosen = policy::rule(view, &found.host, &namespace);
    let rule = chosen.as_ref().map(|(rule, _)| &***rule);
    let subset = rule.and_then(|rule| rule.subset(&found.subset));
    let port = found.service.and_then(|service| service.port(found.port));
    let missing = |what: String| Some(format!("{what}: requests are answered 503, flag NC"));
    let problem = match (found.service, port) {
        (None, _) => missing(format!("no service that the sender sees is called {}", found.host)),
        (Some(service), None) => {
            let ports: Vec<String> = service.ports.iter().map(|port| port.number.to_string()).collect();
            missing(format!("{} has no port {}, only {}", found.host, found.port, ports.join(", ")))
        }
        (Some(_), Some(_)) if !found.subset.is_empty() && subset.is_none() => missing(match rule {
            Some(rule) => format!("DestinationRule {} has no subset {}", rule.sources[0], found.subset),
            None => format!("no DestinationRule for {} names subset {}", found.host, found.subset),
        }),
        _ => None,
    };
    let effective = policy::effective(view, rule, &found.subset, found.port);
    let (tls, endpoints) = match (&problem, found.service, port) {
        (None, Some(service), Some(port)) => {
            let labels = subset.map(|subset| model::Labels::new(&subset.labels)).unwrap_or_default();
            endpoints::of(view, service, port, &labels, effective.tls.as_ref())
        }
        _ => Default::default(),
    };
    let nobody = found.service.is_some_and(|service| service.resolution == model::Resolution::Endpoints)
        && endpoints.iter().all(|endpoint| endpoint.health == "not ready");
    let problem = problem.or_else(|| {
        nobody.then(|| "nobody is ready to answer: requests are answered 503, flag UH".to_owned())
    });
    Target {
        host: found.host.clone(),
        port: found.port,
        subset: found.subset.clone(),
        weight: 1,
        percent: 100.0,
        cluster: found.cluster(),
        authority: None,
        problem,
        destination_rule: chosen.map(|(rule, place)| policy::used(rule, place)),
        policy: effective,
        tls,
        endpoints,
    }
}
