//! Aggregated discovery: one stream per proxy, driven by `xds::server::DeltaServer`.
//!
//! `service` answers the gRPC call and authenticates it, `stream` is the life of one stream, `push` and `framing` copy
//! shared resources into the send buffer, `connections` is what the debug pages see.

mod connections;
mod framing;
mod identity;
mod push;
mod service;
mod stream;

pub(crate) use connections::{Connection, Connections, Refusal};
pub(crate) use service::{AdsService, Context, Parts};
