//! rustls configurations of the mesh: who may be on the other side, and what we present.
//!
//! Every configuration holds an [`Identity`](crate::Identity) and reads it at each handshake. Sessions are never resumed:
//! a ticket would outlive the identity and the trust bundle that it was made under.

mod any;
mod client;
mod provider;
mod server;
mod verify;

pub use any::AnyCertificate;
pub use client::{PeerNames, client_config, client_config_with_versions, control_plane_client_config, sni};
pub use provider::{provider, provider_with_suites};
pub use server::{ClientAuth, server_config, server_config_with_versions};
pub use verify::{peer_id, spiffe_id};

pub(crate) use verify::verify_chain;
