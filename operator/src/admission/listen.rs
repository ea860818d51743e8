//! The port for reviews: TLS, HTTP, and bounds that keep the process within its memory whoever connects.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// API servers keep one connection each. Together with [`STREAMS`] this bounds how much of reviews, three MiB each at most,
/// is in memory.
const CONNECTIONS: usize = 16;
const STREAMS: u32 = 2;
const HANDSHAKE: Duration = Duration::from_secs(5);
/// From the handshake to the first request, and for the head of any later one over HTTP/1.1.
const HEAD: Duration = Duration::from_secs(15);
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEADERS: u32 = 16 << 10;
const MAX_BUFFER: usize = 32 << 10;

/// Answers until `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    router: Router,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let acceptor = TlsAcceptor::from(tls);
    while let Ok(slot) = slots.clone().acquire_owned().await {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, acceptor, router).await {
                        tracing::debug!(%address, error, "connection for reviews ended");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: give some time to be freed.
                tracing::warn!(%error, "cannot accept a connection for reviews");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await??;
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(MAX_HEADERS);
    let requested = Arc::new(AtomicBool::new(false));
    let (seen, router) = (requested.clone(), TowerToHyperService::new(router));
    let service = service_fn(move |request: Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        router.call(request)
    });
    tokio::select! {
        outcome = builder.serve_connection(TokioIo::new(stream), service) => outcome,
        () = silence(&requested) => Err("no request in time".into()),
    }
}

/// Ends only if there was no request by its deadline.
async fn silence(requested: &AtomicBool) {
    tokio::time::sleep(HEAD).await;
    if requested.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}
