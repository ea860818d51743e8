//! `trysail-proxy agent`: certificates for a stock Envoy, over SDS on a Unix socket, as Istio's agent gives them.
//!
//! Flags go in; the secrets `default` and `ROOTCA` come out, and come again whenever they are renewed. The certificate is
//! obtained in the same way as the proxy's own ([`identity`](crate::identity)).

mod flags;
mod sds;
mod socket;

use std::sync::Arc;

pub use flags::AgentFlags;
pub use sds::Sds;
pub use socket::SocketError;

use crate::identity::{self, Health, Renewal, Secrets};

/// Why the agent ends.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The names make no SPIFFE id.
    #[error(transparent)]
    Pki(#[from] pki::PkiError),
    /// The socket can't be opened.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The server ended.
    #[error("the SDS server ended: {0}")]
    Server(#[from] tonic::transport::Error),
}

/// Runs until the server ends or `stop` does.
pub async fn run(flags: &AgentFlags, stop: impl Future<Output = ()>) -> Result<(), AgentError> {
    let secrets = Secrets::new();
    let id = flags.spiffe_id();
    let cluster = flags.cluster_id.clone();
    let health = Arc::new(Health::default());
    let renewal = Renewal::from_authority(flags.authority(), &id, cluster, secrets.clone(), health)?;
    let (listener, _owned) = socket::listen(&flags.sds_socket)?;
    tracing::info!(socket = %flags.sds_socket.display(), %id, "serving secrets");
    let renewing = tokio::spawn(identity::run(renewal));
    let served = tonic::transport::Server::builder()
        .add_service(Sds::new(secrets).into_service())
        .serve_with_incoming_shutdown(listener, stop)
        .await;
    renewing.abort();
    Ok(served?)
}
