//! Ports: accept, TLS, HTTP, and an end that lets requests finish.
//!
//! Everything that listens goes through [`Port::serve`], so garbage, silence and floods are dealt with once: a connection
//! must make its first request soon, headers are bounded, connections are counted, dead peers are found by keepalive.

mod connection;
mod patience;

pub use patience::Patience;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use pki::SpiffeId;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::StartError;

/// Connections per port; each proxy has one or two.
const MAX_CONNECTIONS: usize = 20_000;
/// How long open requests may take once the process is asked to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// Who is on the other side of a connection; requests carry it as an extension.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// Whether the connection is TLS.
    pub(crate) encrypted: bool,
    /// The SPIFFE id of its certificate, verified against the mesh's roots.
    pub(crate) id: Option<SpiffeId>,
}

/// What a port understands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Speaks {
    /// HTTP/2 from the first byte on.
    Grpc,
    /// HTTP/1.1 or HTTP/2, as the client begins.
    Http,
}

/// An open port that does not answer yet.
#[derive(Debug)]
pub(crate) struct Port {
    name: &'static str,
    speaks: Speaks,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    patience: Patience,
}

impl Port {
    pub(crate) async fn open(
        name: &'static str,
        speaks: Speaks,
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        patience: Patience,
    ) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen { port: name, address, source };
        let listener = match TcpListener::bind(address).await {
            // A host without IPv6 cannot bind [::].
            Err(_) if address.ip() == std::net::Ipv6Addr::UNSPECIFIED => {
                TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, address.port())).await
            }
            other => other,
        };
        Ok(Self { name, speaks, listener: listener.map_err(failed)?, tls, patience })
    }

    pub(crate) fn address(&self) -> Result<SocketAddr, StartError> {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        self.listener.local_addr().map_err(|source| StartError::Listen {
            port: self.name,
            address: unknown,
            source,
        })
    }

    /// Answers until `stop`, then lets open requests finish for a while.
    pub(crate) async fn serve(self, router: Router, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let connections = TaskTracker::new();
        while let Some((stream, address)) = self.accept(&stop).await {
            let Ok(slot) = slots.clone().acquire_owned().await else { break };
            let (tls, speaks, patience) = (self.tls.clone(), self.speaks, self.patience);
            let connection = connection::Connection { stream, address, tls, speaks, patience };
            let (router, stop) = (router.clone(), stop.clone());
            connections.spawn(async move {
                connection.serve(router, stop).await;
                drop(slot);
            });
        }
        connections.close();
        if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
            tracing::warn!(
                port = self.name,
                open = connections.len(),
                "connections cut after the drain time"
            );
        }
    }

    async fn accept(&self, stop: &CancellationToken) -> Option<(tokio::net::TcpStream, SocketAddr)> {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return None,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok(connection) => return Some(connection),
                Err(error) => {
                    // Out of file descriptors, most likely: give some time to be freed.
                    tracing::warn!(port = self.name, %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}
