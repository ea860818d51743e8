//! `networking.istio.io`: the kinds that say where traffic goes. Read by `model`, the webhook and `trysailctl`.
//! Messages are named as in Istio's API, in Rust's spelling (`HTTPRoute` is [`HttpRoute`]).

mod connection_pool;
mod destination;
mod destination_rule;
mod gateway;
mod http_action;
mod http_match;
mod http_policy;
mod http_route;
mod load_balancer;
mod outlier_detection;
mod service_entry;
mod sidecar;
mod tcp_route;
mod tls;
mod unreachable;
mod virtual_service;
mod workload_entry;

pub use self::{
    connection_pool::*, destination::*, destination_rule::*, gateway::*, http_action::*, http_match::*,
    http_policy::*, http_route::*, load_balancer::*, outlier_detection::*, service_entry::*, sidecar::*,
    tcp_route::*, tls::*, unreachable::*, virtual_service::*, workload_entry::*,
};
