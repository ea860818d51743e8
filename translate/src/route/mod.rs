//! Routes: which request goes where.
//!
//! A virtual host is generated and encoded once, as a resource of its own. A proxy of ours takes them one by one; for a
//! stock Envoy they are strung together into whole route configurations.

mod action;
mod claims;
mod configuration;
mod destination;
mod domains;
mod filters;
mod hash;
mod headers;
mod inbound;
mod matching;
mod other;
mod retry;
mod rule;
mod sidecar;

pub(crate) use configuration::{catch_all, configuration};
pub(crate) use destination::resolve;
pub(crate) use filters::{CORS, FAULT};
pub(crate) use hash::tcp as tcp_hash;
pub(crate) use inbound::inbound;
pub(crate) use other::{is_other, others, ports_beside};
pub(crate) use rule::{Binding, depends, rules};
pub(crate) use sidecar::{Host, virtual_host};

use crate::proto::{duration, route};
use crate::wire;
use prost::Message;

/// Field number of `VirtualHost.routes`.
const ROUTES: u32 = 3;

/// An encoded `Route`.
pub(crate) struct Encoded {
    pub(crate) body: Vec<u8>,
    /// Whether it takes every request, so that nothing after it would ever match.
    pub(crate) catch_all: bool,
}

/// Encodes a virtual host around routes that are encoded already.
pub(crate) fn encode_virtual_host(frame: &route::VirtualHost, routes: &[Encoded]) -> Vec<u8> {
    let mut body = frame.encode_to_vec();
    for route in routes {
        wire::append(&mut body, ROUTES, &route.body);
    }
    body
}

/// A request may take as long as it likes: Envoy's own 15 s would cut streams.
pub(crate) fn no_timeout() -> Option<crate::proto::Duration> {
    duration(std::time::Duration::ZERO)
}

/// The route of a service that no VirtualService speaks for.
pub(crate) fn default_route(
    settings: &model::config::Settings,
    cluster: String,
    operation: String,
    hash_policy: Vec<route::route_action::HashPolicy>,
) -> Encoded {
    let retries = settings.config.default_http_retry_policy.as_ref();
    let action = route::RouteAction {
        cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(cluster)),
        retry_policy: retry::policy(retries, false),
        hash_policy,
        ..action::unlimited()
    };
    let route = route::Route {
        name: "default".to_owned(),
        r#match: Some(everything()),
        action: Some(route::route::Action::Route(action)),
        decorator: Some(route::Decorator { operation, ..Default::default() }),
        ..Default::default()
    };
    Encoded { body: route.encode_to_vec(), catch_all: true }
}

/// Matches every request.
pub(crate) fn everything() -> route::RouteMatch {
    route::RouteMatch {
        path_specifier: Some(route::route_match::PathSpecifier::Prefix("/".to_owned())),
        ..Default::default()
    }
}
