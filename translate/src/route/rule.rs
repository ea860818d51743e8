//! The HTTP rules of a VirtualService as routes, for one port of a sidecar or of a gateway.

use crds::networking::{HttpMatchRequest, HttpRoute};
use model::Labels;
use model::config::VirtualService;
use prost::Message;
use serde_json::json;

use super::{Encoded, action, filters, matching};
use crate::context::Context;
use crate::memo::Inputs;
use crate::proto::route;
use crate::wire;
use route::route::Action;
use route::route_action::ClusterSpecifier;

/// Field number of `Route.metadata`.
const METADATA: u32 = 4;
/// Field number of `Route.typed_per_filter_config`.
const PER_FILTER: u32 = 13;

/// Where rules are applied.
#[derive(Clone, Copy)]
pub(crate) struct Binding<'a> {
    /// Port that requests come to.
    pub(crate) port: u16,
    /// Whether they come over TLS that we terminate.
    pub(crate) tls: bool,
    /// Gateways that are served there, as `namespace/name`; a sidecar's is `mesh`.
    pub(crate) gateways: &'a [String],
}

impl Binding<'_> {
    /// Whether a match is for us: by gateway if it names any, else by who we are.
    pub(crate) fn is_meant(
        &self,
        context: &Context<'_>,
        gateways: &[String],
        source_labels: &std::collections::BTreeMap<String, String>,
        source_namespace: Option<&str>,
    ) -> bool {
        if !gateways.is_empty() {
            return gateways.iter().any(|gateway| self.gateways.contains(gateway));
        }
        let labels = source_labels.is_empty() || context.view.labels.satisfy(&Labels::new(source_labels));
        let namespace = source_namespace.filter(|namespace| !namespace.is_empty());
        labels && namespace.is_none_or(|namespace| *namespace == *context.view.namespace)
    }
}

/// All routes of a VirtualService that can apply here, in order. What comes after a route that takes everything
/// is left out.
pub(crate) fn rules(context: &Context<'_>, service: &VirtualService, binding: &Binding<'_>) -> Vec<Encoded> {
    let mut routes: Vec<Encoded> = Vec::new();
    for (number, rule) in service.spec.http.iter().enumerate() {
        let matches: Vec<Option<&HttpMatchRequest>> =
            if rule.matches.is_empty() { vec![None] } else { rule.matches.iter().map(Some).collect() };
        for condition in matches {
            routes.extend(one(context, service, binding, number, rule, condition));
            if routes.last().is_some_and(|route| route.catch_all) {
                return routes;
            }
        }
    }
    routes
}

fn one(
    context: &Context<'_>,
    service: &VirtualService,
    binding: &Binding<'_>,
    number: usize,
    rule: &HttpRoute,
    condition: Option<&HttpMatchRequest>,
) -> Option<Encoded> {
    if let Some(condition) = condition {
        let port = condition.port.filter(|port| *port != 0);
        let namespace = condition.source_namespace.as_deref();
        let meant = binding.is_meant(context, &condition.gateways, &condition.source_labels, namespace);
        if !meant || port.is_some_and(|port| port != u32::from(binding.port)) {
            return None;
        }
    }
    let conditions = matching::conditions(condition);
    let catch_all = matching::is_catch_all(&conditions);
    let mut route = route::Route {
        name: name(rule, condition),
        stat_prefix: condition.and_then(|condition| condition.stat_prefix.clone()).unwrap_or_default(),
        r#match: Some(conditions),
        ..Default::default()
    };
    action::apply(context, binding, rule, &mut route)?;
    let operation = operation(&route, &service.meta.name.name, binding.port);
    route.decorator = Some(route::Decorator { operation, ..Default::default() });
    let mut body = route.encode_to_vec();
    let origin = json!({
        "config": crate::origin::path("virtual-service", &service.meta.name),
        "rule": rule.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| number.to_string()),
    });
    wire::append(&mut body, METADATA, &wire::metadata(&[("istio", origin)]));
    wire::append_map(&mut body, PER_FILTER, filters::per_filter(rule));
    Some(Encoded { body, catch_all })
}

/// The rule's name, and that of the match if it has one.
fn name(rule: &HttpRoute, condition: Option<&HttpMatchRequest>) -> String {
    let rule = rule.name.as_deref().unwrap_or_default();
    match condition.and_then(|condition| condition.name.as_deref()).filter(|name| !name.is_empty()) {
        Some(condition) => format!("{rule}.{condition}"),
        None => rule.to_owned(),
    }
}

/// What spans of the route are called: by its destination, or by the VirtualService where there are several.
fn operation(route: &route::Route, service: &str, port: u16) -> String {
    let path = route.r#match.as_ref().map(matching::path_text).unwrap_or_default();
    if let Some(Action::Route(action)) = &route.action
        && let Some(ClusterSpecifier::Cluster(cluster)) = &action.cluster_specifier
        && let Ok(name) = xds::names::ClusterName::parse(cluster)
    {
        return format!("{}:{}{path}", name.host, name.port);
    }
    format!("{service}:{port}{path}")
}

/// What the routes of a VirtualService depend on: itself, the services and rules of its destinations, and what it asks
/// of the client.
pub(crate) fn depends(context: &Context<'_>, service: &std::sync::Arc<VirtualService>, inputs: &mut Inputs) {
    inputs.object(service);
    for host in &service.destinations {
        let destination = context.scope.service(host);
        let namespace = destination.map(|destination| destination.key.namespace.clone()).unwrap_or_default();
        inputs.optional(destination).optional(context.rule_for(host, &namespace));
    }
    if names_source_namespace(service) {
        inputs.text(&context.view.namespace);
    }
    for key in &service.source_label_keys {
        match context.view.labels.get(key) {
            Some(value) => inputs.text(value),
            None => inputs.word(0),
        };
    }
}

/// Whether a rule for bytes or TLS depends on the client's namespace; routes of requests always do.
fn names_source_namespace(service: &VirtualService) -> bool {
    let tcp = service.spec.tcp.iter().flat_map(|rule| &rule.matches).map(|one| &one.source_namespace);
    let tls = service.spec.tls.iter().flat_map(|rule| &rule.matches).map(|one| &one.source_namespace);
    tcp.chain(tls).any(Option::is_some)
}
