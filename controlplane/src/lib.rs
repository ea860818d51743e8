//! The control plane, deployed as `istiod`.
//!
//! ```text
//! source (Kubernetes watches | folder of YAML)
//!    └─ events ─> mesh::Publisher (owns model::Store; debounce; translate once per view)
//!                    └─ snapshots ─> ads (one delta stream per proxy: xds::server)
//! ca (certificates by CSR)   webhook (mounted)   monitor (metrics, debug pages)
//! serve (ports, TLS, limits)   auth (who is calling)   status (of Istio's objects, by the leader)
//! ```
//!
//! [`start`] runs all of it; `main` only reads flags and waits for a signal. Tests start it in-process.

mod addresses;
mod ads;
mod advice;
mod auth;
mod ca;
mod chore;
mod config;
mod error;
mod findings;
mod ingress;
mod mesh;
mod monitor;
mod run;
mod serve;
mod source;
mod status;

pub use config::Options;
pub use error::StartError;
pub use run::{Addresses, Running, start};
pub use serve::Patience;
