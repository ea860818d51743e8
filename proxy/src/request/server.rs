//! A client's HTTP connection: hyper's server on one stream, as long as its lifetime allows.

use std::{
    cell::OnceCell,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request};
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::outcome::{Connection, Outcome};
use crate::{
    cork::Corked,
    drain::Signal,
    listen::{
        detect,
        lifetime::{HEAD, Kind, Lifetime, Limits, Order},
        stream::Stream,
    },
    runtime::{Local, Worker},
    snapshot::http::{Codec, HttpConnectionManager},
    stage::xfcc,
};

/// HTTP/2 windows: a stream's must be smaller than the connection's, or one slow stream could hold up all others.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams that one client may have open, where nothing is configured.
const STREAMS: u32 = 1024;
/// HTTP/2 frames that wait for the client, per stream.
const SEND_BUFFER: usize = 64 * 1024;

/// A year; longer than anybody waits.
const FOREVER: Duration = Duration::from_hours(24 * 365);

/// A client's HTTP connection.
#[derive(Debug)]
pub struct HttpConnection {
    /// The worker that serves it.
    pub worker: Rc<Worker>,
    /// How its requests are handled.
    pub manager: Arc<HttpConnectionManager>,
    /// Who and where.
    pub facts: Rc<Connection>,
    /// How long it lives.
    pub lifetime: Rc<Lifetime>,
    /// Whether it is HTTP/2.
    pub http2: bool,
    /// What it says of the client in `x-forwarded-client-cert`.
    client_cert: OnceCell<Option<HeaderValue>>,
}

impl HttpConnection {
    /// What this connection adds to `x-forwarded-client-cert`.
    pub fn client_cert(&self) -> Option<&HeaderValue> {
        self.client_cert.get_or_init(|| xfcc::element(&self.facts, self.manager.cert_details)).as_ref()
    }

    /// A request is over.
    pub fn observe(&self, outcome: &Outcome) {
        self.worker.recorder.request(&self.manager, outcome);
    }
}

/// Serves a connection to its end.
pub async fn serve(
    worker: Rc<Worker>,
    manager: Arc<HttpConnectionManager>,
    facts: Rc<Connection>,
    mut stream: Stream,
    signal: Rc<Signal>,
) {
    let http2 = match (manager.codec, facts.tls.as_ref().and_then(|tls| tls.alpn.as_deref())) {
        (Codec::Http2, _) | (Codec::Auto, Some(b"h2" | b"istio-h2" | b"trysail-h2")) => true,
        (Codec::Http1, _) | (Codec::Auto, Some(b"http/1.1" | b"http/1.0")) => false,
        (Codec::Auto, _) => {
            let silence = manager.idle_timeout.unwrap_or(FOREVER);
            match tokio::time::timeout(silence, detect::begins_with_http2(&mut stream)).await {
                Ok(Ok(http2)) => http2,
                Ok(Err(_)) | Err(_) => return,
            }
        }
    };
    let limits = Limits {
        idle: manager.idle_timeout,
        // HTTP/2 has frames that aren't requests, and windows that bound what a slow client can hold.
        head: (!http2).then(|| manager.request_headers_timeout.unwrap_or(HEAD)),
        age: manager.max_connection_duration,
    };
    let lifetime = Lifetime::new(signal, limits, if http2 { Kind::Http2 } else { Kind::Http1 });
    worker.lifetimes.add(&lifetime);
    let connection =
        Rc::new(HttpConnection { worker, manager, facts, lifetime, http2, client_cert: OnceCell::new() });
    if http2 {
        serve_http2(connection, stream).await;
    } else {
        serve_http1(connection, stream).await;
    }
}

async fn serve_http1(connection: Rc<HttpConnection>, stream: Stream) {
    let manager = &connection.manager;
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .title_case_headers(manager.http1.title_case)
        .max_buf_size(manager.max_head_bytes.max(8192));
    // hyper has room for a hundred on the stack and allocates for every request otherwise.
    if manager.max_headers != 100 {
        builder.max_headers(manager.max_headers);
    }
    let service = {
        let connection = connection.clone();
        service_fn(move |request: Request<Incoming>| super::handle(connection.clone(), request))
    };
    let io = Io { io: TokioIo::new(stream), received: connection.lifetime.received_mark() };
    let mut served = pin!(builder.serve_connection(io, service).with_upgrades());
    let result = poll_fn(|context| {
        match connection.lifetime.obey(context) {
            Order::None | Order::Rest => {}
            Order::Finish => served.as_mut().graceful_shutdown(),
            Order::Close => return Poll::Ready(Ok(())),
        }
        served.as_mut().poll(context)
    })
    .await;
    ended(&connection, result);
}

async fn serve_http2(connection: Rc<HttpConnection>, stream: Stream) {
    let options = connection.manager.http2;
    let mut builder = http2::Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(options.stream_window.unwrap_or(STREAM_WINDOW))
        .initial_connection_window_size(options.connection_window.unwrap_or(CONNECTION_WINDOW))
        .max_concurrent_streams(options.max_concurrent_streams.unwrap_or(STREAMS))
        .max_header_list_size(connection.manager.max_head_bytes as u32)
        .max_send_buf_size(SEND_BUFFER);
    if options.extended_connect {
        builder.enable_connect_protocol();
    }
    let service = {
        let connection = connection.clone();
        service_fn(move |request: Request<Incoming>| super::handle(connection.clone(), request))
    };
    // The answers that are ready at one time leave in one write.
    let (stream, cork) = Corked::new(stream);
    let io = Io { io: TokioIo::new(stream), received: connection.lifetime.received_mark() };
    let mut served = pin!(builder.serve_connection(io, service));
    let result = poll_fn(|context| {
        match connection.lifetime.obey(context) {
            Order::None | Order::Rest => {}
            Order::Finish => served.as_mut().graceful_shutdown(),
            Order::Close => return Poll::Ready(Ok(())),
        }
        let polled = served.as_mut().poll(context);
        // A failed write fails the next read or write too, which says it better.
        let _ = cork.poll_flush(context);
        polled
    })
    .await;
    ended(&connection, result);
}

fn ended(connection: &HttpConnection, result: hyper::Result<()>) {
    if let Err(error) = result {
        let facts = &connection.facts;
        tracing::debug!(listener = %facts.listener, remote = %facts.remote, %error, "connection ended");
    }
}

/// Marks when bytes come, so that a head that never ends is noticed.
struct Io<T> {
    io: TokioIo<T>,
    received: Arc<AtomicBool>,
}

impl<T: AsyncRead + Unpin> Read for Io<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_read(context, buffer);
        if polled.is_ready() {
            this.received.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> Write for Io<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(context, slices)
    }
}
