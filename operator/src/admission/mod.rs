//! MeshInstalls judged before they are stored, from the first one on: `istiod`'s webhook comes only with a mesh.
//!
//! ```text
//! API server ── AdmissionReview, TLS ── listen ── webhook::validation_router ── bench: judged among the others
//!
//! authority: a CA in a Secret ── own certificate ── probe of the own endpoint ── register: webhook configuration
//! ```
//!
//! Every replica answers, so every replica registers, not only the one that acts: the Service spreads reviews over all that
//! are ready, and in a rolling update the new one must be ready, which includes registered, before the old one gives up the
//! Lease. What they register is the same, because they share a CA in a Secret, which the first one makes and a restarted one
//! finds again; certificates are each replica's own, in memory.

mod authority;
mod bench;
mod listen;
mod register;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use kube::Client;
use pki::{Identity, PkiError, tls::ClientAuth};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;
use webhook::ValidationMetrics;

use self::{bench::Bench, register::Registrar};
use crate::Release;

/// Where and for whom to judge.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address to listen on.
    pub address: SocketAddr,
    /// Namespace of the operator, its Service and its Secret.
    pub namespace: String,
    /// What is installed where a MeshInstall doesn't say.
    pub release: Release,
}

/// Why judging can't begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can't be listened on.
    #[error("listening on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// TLS can't be configured.
    #[error(transparent)]
    Tls(#[from] PkiError),
}

/// The endpoint that judges.
#[derive(Clone, Debug)]
pub struct Endpoint {
    address: SocketAddr,
    problem: watch::Receiver<Option<String>>,
}

impl Endpoint {
    /// Address that is listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Why the API server hasn't been told to ask here; `None` from when it has.
    pub fn problem(&self) -> Option<String> {
        self.problem.borrow().clone()
    }
}

/// Listens, and registers as soon as the endpoint answers; both until `stop`.
pub async fn start(
    client: Client,
    options: Options,
    metrics: ValidationMetrics,
    stop: CancellationToken,
) -> Result<Endpoint, StartError> {
    let failed = |error| StartError::Listen(options.address, error);
    let listener = TcpListener::bind(options.address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let identity = Identity::empty();
    let tls = pki::tls::server_config(identity.clone(), ClientAuth::None, &[b"h2", b"http/1.1"])?;
    let router = webhook::validation_router(Bench::new(client.clone(), options.release), metrics);
    let (saying, problem) = watch::channel(Some("the webhook for MeshInstalls is starting".to_owned()));
    let registrar = Registrar::new(client, options.namespace, identity, own(address));
    tokio::spawn(listen::serve(listener, tls, router, stop.clone()));
    tokio::spawn(async move {
        tokio::select! {
            () = registrar.keep(saying) => {}
            () = stop.cancelled() => {}
        }
    });
    Ok(Endpoint { address, problem })
}

/// The address by which a process reaches what it listens on. Every pod has 127.0.0.1, and [::] takes that as well.
fn own(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    address
}

#[cfg(test)]
mod tests;
