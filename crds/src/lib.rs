//! API types: every Kubernetes kind that Trysail reads, as Istio defines them, and its own `MeshInstall`.
//!
//! YAML or JSON flows in (through serde, or [`decode`] where a person should hear what's wrong), typed values
//! flow out to `model`, `operator`, `webhook` and `trysailctl`; the CRDs in `charts/` are generated from the
//! same types.

mod bytes;
mod duration;
mod macros;
pub mod meta;
pub mod networking;
mod rules;
pub mod security;
pub mod selector;

pub use bytes::Bytes;
pub use duration::{Duration, DurationError};
