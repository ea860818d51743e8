//! The accept loop of both apps: HTTP/1.1 and HTTP/2 (prior knowledge) on one
//! port, in plaintext or TLS, with an unhurried end.
//!
//! At SIGTERM a pod is still in somebody's list of endpoints, so a server goes on
//! accepting for [`LINGER`] and then finishes what is in flight.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use axum::{Router, body::Body};
use hyper::{Request, body::Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
};
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// How long a server accepts connections after it was asked to stop.
pub const LINGER: Duration = Duration::from_secs(2);
const FINISH: Duration = Duration::from_secs(20);

/// What the app knows of the connection that a request came by.
#[derive(Clone, Debug, Serialize)]
pub struct Connection {
    /// The other end's address.
    pub source: SocketAddr,
    /// The address that was connected to.
    pub local: SocketAddr,
    /// Present when this app itself terminated TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFacts>,
}

/// What a TLS handshake agreed on.
#[derive(Clone, Debug, Serialize)]
pub struct TlsFacts {
    /// The server name that the client asked for.
    pub sni: Option<String>,
    /// Such as `TLSv1_3`.
    pub version: Option<String>,
    /// The protocol chosen by ALPN.
    pub alpn: Option<String>,
}

/// Becomes true when the process was asked to end.
pub type Shutdown = watch::Receiver<bool>;

/// Listens for SIGTERM and SIGINT.
pub fn shutdown_on_signal() -> anyhow::Result<Shutdown> {
    use tokio::signal::unix::{SignalKind, signal};
    let (tell, told) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
        tokio::time::sleep(LINGER).await;
        tell.send_replace(true);
    });
    Ok(told)
}

/// Completes once the process should stop accepting.
pub async fn stopped(shutdown: &mut Shutdown) {
    // A dropped sender means that nobody is left to ask: stop as well.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Binds a port on every address.
pub async fn bind(port: u16) -> anyhow::Result<TcpListener> {
    let any = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
    let listener = match TcpListener::bind(any).await {
        Ok(listener) => listener,
        // A node without IPv6.
        Err(_) => TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, port))
            .await
            .with_context(|| format!("binding port {port}"))?,
    };
    Ok(listener)
}

/// Serves `router` on `listener` until shutdown, through TLS if given an acceptor.
pub async fn http(listener: TcpListener, router: Router, tls: Option<TlsAcceptor>, mut shutdown: Shutdown) {
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, source) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(_) => continue, // the peer left before it was accepted
            },
            () = stopped(&mut shutdown) => break,
        };
        let (router, tls, watcher) = (router.clone(), tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(local) = stream.local_addr() else { return };
            let [source, local] =
                [source, local].map(|at| SocketAddr::new(at.ip().to_canonical(), at.port()));
            let plain = Connection { source, local, tls: None };
            let Some(tls) = tls else { return exchange(stream, plain, router, watcher).await };
            // Who fails the handshake has learnt why from TLS's own alert.
            if let Ok(stream) = tls.accept(stream).await {
                let facts = facts(&stream);
                exchange(stream, Connection { tls: Some(facts), ..plain }, router, watcher).await;
            }
        });
    }
    let _ = tokio::time::timeout(FINISH, graceful.shutdown()).await;
}

/// Serves `router` on a Unix socket until shutdown. Whoever connects there has no address, for which 0.0.0.0 stands.
pub async fn http_on_socket(listener: UnixListener, router: Router, mut shutdown: Shutdown) {
    let graceful = GracefulShutdown::new();
    let nowhere = SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, 0));
    let connection = Connection { source: nowhere, local: nowhere, tls: None };
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue, // the peer left before it was accepted
            },
            () = stopped(&mut shutdown) => break,
        };
        tokio::spawn(exchange(stream, connection.clone(), router.clone(), graceful.watcher()));
    }
    let _ = tokio::time::timeout(FINISH, graceful.shutdown()).await;
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Connection,
    router: Router,
    watcher: Watcher,
) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connection.clone());
        router.clone().oneshot(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http2().initial_stream_window_size(1 << 20).initial_connection_window_size(4 << 20);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    // A connection that ends badly is the peer's story to tell.
    let _ = watcher.watch(serving).await;
}

fn facts(stream: &tokio_rustls::server::TlsStream<TcpStream>) -> TlsFacts {
    let session = stream.get_ref().1;
    TlsFacts {
        sni: session.server_name().map(ToOwned::to_owned),
        version: session.protocol_version().map(|version| format!("{version:?}")),
        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
    }
}
