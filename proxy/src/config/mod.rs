//! Envoy's resources to the proxy's own tables. Pure: protos in, snapshot values or an error out.
//!
//! `subscribe` calls one function for each resource that arrives and puts the result into the snapshot. A resource that can't
//! be used gives a [`ConfigError`] that says where and why, which becomes a NACK; an extension that this proxy does not have
//! is such an error, as in Envoy, never ignored. Settings without meaning here (statistics, buffer sizes, tracing) are
//! passed over.

#![allow(deprecated, reason = "control planes still send what Envoy's API calls deprecated")]

mod access_log;
mod announced;
mod balancing;
mod claim;
mod cluster;
mod cluster_http;
mod discovery;
mod endpoint;
mod error;
mod filter_config;
mod headers;
mod health;
mod http;
mod http_filter;
mod in_use;
mod istio;
mod listener;
mod listener_filter;
mod matcher;
mod network;
mod retry;
mod route;
mod route_action;
mod secret;
mod tls;
mod value;

pub use cluster::{CompiledCluster, cluster};
pub use endpoint::endpoints;
pub use error::ConfigError;
pub use listener::{CompiledListener, listener};
pub use route::{CompiledRoutes, route_table, virtual_host};
pub use secret::{CompiledSecret, secret};

#[cfg(test)]
mod tests;
