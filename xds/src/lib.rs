//! Delta xDS without I/O: the state machine of both ends, resource types, names, and how resources look as JSON.
//!
//! The control plane drives a [`server::DeltaServer`] per stream: requests and snapshots go in, response plans come out,
//! which [`wire`] turns into bytes from resources that were encoded once. The proxy drives a [`client::DeltaClient`]:
//! subscriptions and responses go in, requests and updates come out.

pub mod client;
#[cfg(feature = "json")]
pub mod json;
mod name_table;
pub mod names;
pub mod operators;
pub mod re2;
mod resource_type;
pub mod server;
pub mod wire;

pub use name_table::{NameInfo, NameTable};
pub use resource_type::ResourceType;
