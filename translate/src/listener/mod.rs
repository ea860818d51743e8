//! Listeners: where traffic enters a proxy, and what it is taken for.

mod access_log;
mod chain;
mod http;
mod inbound;
mod inbound_tls;
mod outbound;
mod outbound_chains;
mod sni;
mod tcp;
mod tracing;
mod virtual_outbound;

pub(crate) use access_log::of_listener as unrouted_log;
pub(crate) use chain::{http_inspector, match_all, original_destination, proxy_protocol, tls_inspector};
pub(crate) use http::{Class, Manager, Routes, http_filter};
pub(crate) use inbound::{InboundPort, inbound_ports, virtual_inbound};
pub(crate) use inbound_tls::ALL_ALPN as MUTUAL_ALPN;
pub(crate) use outbound::{Unit, has_http_listener, opaque_units_of, outbound, units_of};
pub(crate) use tcp::{Forward, forward, single};
pub(crate) use virtual_outbound::virtual_outbound;

/// ALPN that the HTTP inspector finds in plaintext.
pub(crate) const PLAIN_HTTP: [&str; 3] = ["http/1.0", "http/1.1", "h2c"];
