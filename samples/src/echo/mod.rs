//! The echo: says what it received, over every protocol that a mesh carries.
//!
//! One port answers HTTP/1.1, HTTP/2, WebSocket and gRPC alike, in plaintext and
//! on another port in TLS; two more ports speak TCP, one of them first.

mod grpc;
mod kept;
mod mood;
mod report;
mod streams;
mod tcp;
mod tls;
mod websocket;

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, sync::Arc};

use anyhow::Context as _;
use axum::{Extension, Router, routing::any};
use tokio::net::UnixListener;

pub use self::report::Report;
use crate::{
    identity::Identity,
    serve::{self, Shutdown},
};

/// The generated gRPC code, shared by the server and the client.
pub mod proto {
    #![allow(missing_docs, unused_qualifications, clippy::all, clippy::pedantic)] // generated
    tonic::include_proto!("trysail.echo.v1");
}

/// The ports to serve; 0 switches one off.
#[derive(Clone, Debug, clap::Args)]
pub struct Ports {
    /// HTTP/1.1, HTTP/2 by prior knowledge, WebSocket at /ws, gRPC
    #[arg(long, default_values_t = [8080, 8081, 7070], value_delimiter = ',')]
    pub http: Vec<u16>,
    /// The same through TLS, with a self-signed certificate
    #[arg(long, default_value_t = 8443)]
    pub tls: u16,
    /// TCP: sends back what it receives
    #[arg(long, default_value_t = 9000)]
    pub tcp: u16,
    /// TCP: speaks first, then sends back what it receives
    #[arg(long, default_value_t = 9001)]
    pub greeting: u16,
    /// HTTP on this Unix socket as well
    #[arg(long)]
    pub socket: Option<std::path::PathBuf>,
}

/// Serves until shutdown.
pub async fn run(ports: Ports, shutdown: Shutdown) -> anyhow::Result<()> {
    let identity = Arc::new(Identity::from_env("echo"));
    let router = router(Arc::clone(&identity));
    let mut servers = tokio::task::JoinSet::new();
    for port in ports.http.into_iter().filter(|port| *port != 0) {
        servers.spawn(serve::http(serve::bind(port).await?, router.clone(), None, shutdown.clone()));
    }
    if let Some(path) = &ports.socket {
        // A socket that an earlier server left behind is in the way.
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).with_context(|| format!("binding {}", path.display()))?;
        // Whoever a proxy runs as may connect.
        std::fs::set_permissions(path, Permissions::from_mode(0o777))?;
        servers.spawn(serve::http_on_socket(listener, router.clone(), shutdown.clone()));
    }
    if ports.tls != 0 {
        let acceptor = tls::self_signed()?;
        servers.spawn(serve::http(serve::bind(ports.tls).await?, router, Some(acceptor), shutdown.clone()));
    }
    if ports.tcp != 0 {
        servers.spawn(tcp::serve(serve::bind(ports.tcp).await?, None, shutdown.clone()));
    }
    if ports.greeting != 0 {
        let greeting = format!("220 {} {} ready\r\n", identity.pod, identity.version);
        servers.spawn(tcp::serve(serve::bind(ports.greeting).await?, Some(greeting), shutdown));
    }
    servers.join_all().await;
    Ok(())
}

/// Everything that the HTTP port answers.
pub fn router(identity: Arc<Identity>) -> Router {
    Router::new()
        .route("/ws", any(websocket::upgrade))
        .route("/mirror", any(streams::mirror))
        .route("/kept/{name}", any(kept::answer))
        .route("/from-now-on/{status}", any(mood::change))
        .merge(grpc::router(Arc::clone(&identity)))
        .fallback(report::answer)
        .layer(Extension(Arc::new(kept::Kept::default())))
        .layer(Extension(Arc::new(mood::Mood::default())))
        .with_state(identity)
}
