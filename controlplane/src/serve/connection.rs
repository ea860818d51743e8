//! One connection: handshake, HTTP/1 or HTTP/2, and the deadline for its first request.

use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{Patience, Peer, Speaks};

/// A peer that says nothing for so long is probed, by TCP: HTTP/2's pings would set a timer for every frame.
const KEEPALIVE: Duration = Duration::from_secs(30);
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;
/// Streams of one connection; a proxy needs two.
const MAX_STREAMS: u32 = 32;
const MAX_HEADERS: u32 = 32 << 10;
/// HTTP/1 read buffer; also bounds its headers.
const MAX_BUFFER: usize = 64 << 10;

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) speaks: Speaks,
    pub(super) patience: Patience,
}

impl Connection {
    fn prepare(&self) -> std::io::Result<()> {
        self.stream.set_nodelay(true)?;
        let probes =
            TcpKeepalive::new().with_time(KEEPALIVE).with_interval(PROBE_INTERVAL).with_retries(PROBES);
        SockRef::from(&self.stream).set_tcp_keepalive(&probes)
    }

    pub(super) async fn serve(self, router: Router, stop: CancellationToken) {
        let (address, speaks, patience) = (self.address, self.speaks, self.patience);
        if let Err(error) = self.prepare() {
            tracing::debug!(%address, %error, "cannot set an option of the socket");
        }
        let Some(tls) = self.tls else {
            let peer = Peer { address, encrypted: false, id: None };
            return answer(self.stream, speaks, patience.first_request, peer, router, stop).await;
        };
        let handshake = tokio_rustls::TlsAcceptor::from(tls).accept(self.stream);
        match tokio::time::timeout(patience.handshake, handshake).await {
            Ok(Ok(stream)) => {
                let id = pki::tls::peer_id(stream.get_ref().1.peer_certificates());
                let peer = Peer { address, encrypted: true, id };
                answer(stream, speaks, patience.first_request, peer, router, stop).await;
            }
            Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
        }
    }
}

async fn answer<I>(
    io: I,
    speaks: Speaks,
    first_request: Duration,
    peer: Peer,
    router: Router,
    stop: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (io, timer) = (TokioIo::new(io), TokioTimer::new());
    let requested = Arc::new(AtomicBool::new(false));
    let first = First { within: first_request, address: peer.address, seen: requested.clone() };
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        requested.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    match speaks {
        Speaks::Grpc => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(timer).max_concurrent_streams(MAX_STREAMS).max_header_list_size(MAX_HEADERS);
            drive(builder.serve_connection(io, service), &first, stop).await;
        }
        Speaks::Http => {
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder
                .http1()
                .timer(timer.clone())
                .header_read_timeout(first_request)
                .max_buf_size(MAX_BUFFER)
                .http2()
                .timer(timer)
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(MAX_HEADERS);
            drive(builder.serve_connection(io, service), &first, stop).await;
        }
    }
}

/// The first request of a connection.
struct First {
    within: Duration,
    address: SocketAddr,
    seen: Arc<AtomicBool>,
}

/// Runs a connection to its end; one without a request in time is closed.
async fn drive<C>(connection: C, first: &First, stop: CancellationToken)
where
    C: GracefulConnection<Error: fmt::Display>,
{
    let mut connection = pin!(connection);
    let address = first.address;
    // Polled only when one of them has something to say, not with every frame.
    let rare = FuturesUnordered::from_iter([
        tokio::time::sleep(first.within).map(|()| Rare::Silence).boxed(),
        stop.cancelled().map(|()| Rare::Stop).boxed(),
    ]);
    let mut rare = pin!(rare);
    let outcome = loop {
        tokio::select! {
            outcome = connection.as_mut() => break outcome,
            Some(event) = rare.next() => match event {
                Rare::Silence if first.seen.load(Ordering::Relaxed) => {}
                Rare::Silence => return tracing::debug!(%address, "closed: no request in time"),
                Rare::Stop => connection.as_mut().graceful_shutdown(),
            },
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%address, %error, "connection ended");
    }
}

/// What happens to a connection besides its own frames.
enum Rare {
    Silence,
    Stop,
}
