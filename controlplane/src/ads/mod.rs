//! Aggregated discovery: one stream per proxy, driven by `xds::server::DeltaServer`.
//!
//! `service` answers the gRPC call and authenticates it, `stream` is the life of one stream, `codec` copies shared resources
//! into the send buffer, `connections` is what the debug pages see.

mod codec;
mod connections;
mod identity;
mod service;
mod stream;

pub(crate) use connections::{Connection, Connections};
pub(crate) use service::{AdsService, Context, Parts};
