//! Identities of workloads and the TLS that carries them.
//!
//! In: CSRs, PEM files, trust bundles. Out: certificates, SPIFFE ids, rustls configurations.
//! The control plane signs with [`Ca`]; the proxy asks for certificates through [`api`] and serves and connects with the
//! configurations of [`tls`], which read an [`Identity`] that can be swapped at any time.
//! Nothing here does I/O, and the clock and the randomness of renewals are passed in.

pub mod api;
mod bundle;
mod ca;
mod csr;
mod error;
mod identity;
mod spiffe;
pub mod tls;
mod workload;

pub use bundle::TrustBundle;
pub use ca::{Ca, CaFiles, DEFAULT_WORKLOAD_TTL, MAX_WORKLOAD_TTL, ROOT_TTL};
pub use csr::{CsrKey, RequestedNames, new_csr};
pub use error::PkiError;
pub use identity::Identity;
pub use spiffe::{SpiffeError, SpiffeId};
pub use workload::WorkloadCert;
