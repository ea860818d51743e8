//! HTTP/2 towards endpoints: one connection, many requests at a time.
//!
//! The connection has a task of its own, which reads, writes and answers PINGs. A request's body is sent by whoever
//! waits for the answer, as in HTTP/1. Requests that were HTTP/1.1 travel here too between two proxies of ours.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::future::select;
use h2::{
    Reason, RecvStream, SendStream,
    client::{Builder, Connection, SendRequest},
};
use http::{HeaderMap, Method, Request, Response, Uri, Version, header};
use http_body::{Body as _, Frame};
use tokio::time::{Instant, sleep, timeout};

use super::{
    connect::Fresh,
    error::{BodyError, ResetReason, SendError},
    io::{Io, Link},
    pool::{Held, Pool},
};
use crate::{
    cork::{Cork, Corked},
    request::body::RequestBody,
    snapshot::cluster::{Http2Keepalive, HttpOptions},
    stage::retry::Failure,
};

/// Streams on one connection, unless configured. Past about so many, one thread's connection is a bottleneck.
const MAX_STREAMS: u32 = 100;
/// Flow-control window of a stream. Less than the connection's: equal ones can block each other.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Flow-control window of a connection.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of one stream that wait to be written.
const SEND_BUFFER: usize = 64 * 1024;
/// Bytes that an answer's headers may have: Envoy's default limit is 60 KiB.
const MAX_HEAD: u32 = 60 * 1024;

/// Streams on one connection.
pub(super) fn max_streams(options: &HttpOptions) -> u32 {
    options.max_concurrent_streams.map_or(MAX_STREAMS, |most| most.get().min(1 << 16))
}

/// A connection.
#[derive(Debug)]
pub(super) struct Http2 {
    send: SendRequest<Bytes>,
    link: Rc<Link>,
    pool: std::rc::Weak<Pool>,
    active: Cell<u32>,
    requests: Cell<u32>,
    max_streams: u32,
    max_requests: u32,
    born: Instant,
    idle_since: Cell<Instant>,
    closed: Cell<bool>,
}

/// One stream of a connection. Gives its place back on drop.
#[derive(Debug)]
pub(super) struct Stream(Rc<Http2>);

/// A stream, if the connection has one left.
pub(super) fn open(connection: &Rc<Http2>) -> Option<Stream> {
    let most = (connection.max_streams as usize).min(connection.send.current_max_send_streams());
    let left = (connection.active.get() as usize) < most
        && connection.requests.get() < connection.max_requests
        && !connection.closed.get();
    left.then(|| {
        connection.active.set(connection.active.get() + 1);
        connection.requests.set(connection.requests.get() + 1);
        Stream(connection.clone())
    })
}

impl Stream {
    fn link(&self) -> &Rc<Link> {
        &self.0.link
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let connection = &self.0;
        connection.active.set(connection.active.get() - 1);
        if connection.active.get() == 0 {
            connection.idle_since.set(Instant::now());
        }
        let Some(pool) = connection.pool.upgrade() else { return };
        if connection.requests.get() >= connection.max_requests && connection.active.get() == 0 {
            pool.state().stats.upstream_cx_max_requests.inc();
            pool.remove_http2(connection);
        }
        pool.serve_waiting();
    }
}

impl Http2 {
    /// Whether the connection has reached a limit of time. One with requests under way is only taken out of the pool,
    /// and closes when they are done.
    pub(super) fn expired(&self, options: &HttpOptions, now: Instant) -> bool {
        let idle = self.active.get() == 0
            && options
                .idle_timeout
                .is_some_and(|limit| now.saturating_duration_since(self.idle_since.get()) >= limit);
        let old = options
            .max_connection_duration
            .is_some_and(|limit| now.saturating_duration_since(self.born) >= limit);
        idle || old || self.closed.get()
    }
}

/// Begins HTTP/2 on a new connection.
pub(super) async fn start(fresh: Fresh, held: Held, options: &HttpOptions) -> Result<Rc<Http2>, SendError> {
    let failed = |error: h2::Error| {
        SendError::connect(ResetReason::RemoteConnectionFailure, format!("HTTP/2 handshake: {error}"))
    };
    let most = max_streams(options);
    let (io, cork) = Corked::new(fresh.io);
    let (send, connection) = Builder::new()
        .initial_window_size(options.stream_window.unwrap_or(STREAM_WINDOW))
        .initial_connection_window_size(options.connection_window.unwrap_or(CONNECTION_WINDOW))
        .max_header_list_size(MAX_HEAD)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_max_send_streams(most as usize)
        .enable_push(false)
        .handshake(io)
        .await
        .map_err(failed)?;
    let pool = held.pool().map(|pool| Rc::downgrade(&pool)).unwrap_or_default();
    let now = Instant::now();
    let http2 = Rc::new(Http2 {
        send,
        link: fresh.link,
        pool,
        active: Cell::new(0),
        requests: Cell::new(0),
        max_streams: most,
        max_requests: options.max_requests_per_connection.map_or(u32::MAX, std::num::NonZero::get),
        born: now,
        idle_since: Cell::new(now),
        closed: Cell::new(false),
    });
    tokio::task::spawn_local(drive(connection, cork, Rc::downgrade(&http2), options.keepalive, held));
    Ok(http2)
}

/// Runs a connection until it ends, which it does by itself once nobody can send on it.
async fn drive(
    mut connection: Connection<Corked<Io>, Bytes>,
    cork: Cork<Io>,
    http2: std::rc::Weak<Http2>,
    keepalive: Option<Http2Keepalive>,
    held: Held,
) {
    let pings = connection.ping_pong();
    // Errors reach the streams that they end. What one turn has to say leaves in one write.
    let driven = poll_fn(|context| {
        let polled = Pin::new(&mut connection).poll(context);
        let _ = cork.poll_flush(context);
        polled
    });
    match (keepalive, pings) {
        (Some(keepalive), Some(pings)) => {
            drop(select(pin!(driven), pin!(keep_alive(pings, keepalive))).await);
        }
        _ => drop(driven.await),
    }
    let pool = held.pool();
    drop(held);
    if let Some(gone) = http2.upgrade() {
        gone.closed.set(true);
        if let Some(pool) = &pool {
            pool.remove_http2(&gone);
        }
    }
    if let Some(pool) = pool {
        pool.connect_as_needed();
    }
}

/// Returns when a PING has had no answer in time.
async fn keep_alive(mut pings: h2::PingPong, keepalive: Http2Keepalive) {
    loop {
        sleep(keepalive.interval).await;
        let answered = timeout(keepalive.timeout, pings.ping(h2::Ping::opaque())).await;
        if !matches!(answered, Ok(Ok(_))) {
            return;
        }
    }
}

/// An answer that is being read.
#[derive(Debug)]
pub(super) struct Http2Body {
    receive: RecvStream,
    upload: Upload,
    over: bool,
    // Last, so that the stream has ended when its place is given back.
    stream: Stream,
}

/// Sends a request and waits for the head of the answer.
pub(super) async fn exchange(
    stream: Stream,
    request: Request<RequestBody>,
) -> Result<(Response<()>, Box<Http2Body>), SendError> {
    let (request, body) = converted(request);
    let mut send = stream.0.send.clone();
    poll_fn(|context| send.poll_ready(context)).await.map_err(|error| unsent(&error))?;
    let end = body.is_end_stream();
    let (mut answer, upload) = send.send_request(request, end).map_err(|error| unsent(&error))?;
    let mut upload = Upload::new(upload, (!end).then_some(body));
    let received = poll_fn(|context| {
        if upload.poll(context) == Poll::Ready(Uploaded::ClientFailed) {
            return Poll::Ready(Err(SendError::new(ResetReason::LocalReset, Failure::Client)));
        }
        Pin::new(&mut answer).poll(context).map_err(|error| broken(&error))
    })
    .await?;
    let (parts, receive) = received.into_parts();
    let over = receive.is_end_stream() && upload.finished();
    Ok((Response::from_parts(parts, ()), Box::new(Http2Body { receive, upload, over, stream })))
}

/// The request as HTTP/2 has it.
fn converted(request: Request<RequestBody>) -> (Request<()>, RequestBody) {
    let (mut parts, body) = request.into_parts();
    parts.version = Version::HTTP_2;
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::HOST] {
        parts.headers.remove(name);
    }
    if let Some(protocol) = parts.extensions.remove::<hyper::ext::Protocol>() {
        parts.extensions.insert(h2::ext::Protocol::from(protocol.as_str()));
    } else if parts.method == Method::CONNECT {
        // A plain CONNECT has neither scheme nor path.
        let mut only = http::uri::Parts::default();
        only.authority = parts.uri.authority().cloned();
        parts.uri = Uri::from_parts(only).unwrap_or_default();
    }
    (Request::from_parts(parts, ()), body)
}

/// Nothing of the request has been sent.
fn unsent(error: &h2::Error) -> SendError {
    let gone = error.is_go_away() || error.is_io();
    let reason = if gone { ResetReason::ConnectionTermination } else { ResetReason::ProtocolError };
    SendError { stale: gone, ..SendError::new(reason, Failure::Reset { sent: false }) }
}

fn broken(error: &h2::Error) -> SendError {
    match reason_of(error) {
        ResetReason::RemoteRefusedStream => {
            SendError::new(ResetReason::RemoteRefusedStream, Failure::RefusedStream)
        }
        reason => SendError::reset(reason),
    }
}

fn reason_of(error: &h2::Error) -> ResetReason {
    match error.reason() {
        // The endpoint says that it has not looked at the stream.
        Some(Reason::REFUSED_STREAM) if error.is_remote() => ResetReason::RemoteRefusedStream,
        _ if error.is_go_away() && error.is_remote() => ResetReason::RemoteRefusedStream,
        Some(Reason::PROTOCOL_ERROR | Reason::FRAME_SIZE_ERROR | Reason::FLOW_CONTROL_ERROR)
            if error.is_library() =>
        {
            ResetReason::ProtocolError
        }
        Some(_) if error.is_reset() => ResetReason::RemoteReset,
        _ => ResetReason::ConnectionTermination,
    }
}

impl Http2Body {
    pub(super) fn link(&self) -> &Rc<Link> {
        self.stream.link()
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The next part of the answer's body.
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.upload.poll(context) == Poll::Ready(Uploaded::ClientFailed) {
            return self.end(ResetReason::LocalReset);
        }
        match ready!(self.receive.poll_data(context)) {
            Some(Ok(data)) => {
                // Taken when it is handed on: who reads slowly slows the endpoint down.
                let _ = self.receive.flow_control().release_capacity(data.len());
                self.over = self.receive.is_end_stream();
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            // What a server sends after it has answered in full and stopped reading (RFC 9113 8.1).
            Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) && error.is_reset() => {
                self.over = true;
                Poll::Ready(None)
            }
            Some(Err(error)) => self.end(reason_of(&error)),
            None => match ready!(self.receive.poll_trailers(context)) {
                Ok(None) => {
                    self.over = true;
                    Poll::Ready(None)
                }
                Ok(Some(trailers)) => {
                    self.over = true;
                    Poll::Ready(Some(Ok(Frame::trailers(trailers))))
                }
                Err(error) => self.end(reason_of(&error)),
            },
        }
    }

    fn end(&mut self, reason: ResetReason) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.over = true;
        Poll::Ready(Some(Err(BodyError { reason })))
    }
}

/// A request's body on its way.
#[derive(Debug)]
struct Upload {
    stream: SendStream<Bytes>,
    body: Option<RequestBody>,
    chunk: Bytes,
    trailers: Option<HeaderMap>,
    ended: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Uploaded {
    /// All of it, or as much as the endpoint wants.
    Done,
    ClientFailed,
}

impl Upload {
    fn new(stream: SendStream<Bytes>, body: Option<RequestBody>) -> Self {
        Self { stream, ended: body.is_none(), body, chunk: Bytes::new(), trailers: None }
    }

    fn finished(&self) -> bool {
        self.ended
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Uploaded> {
        loop {
            if self.ended {
                return Poll::Ready(Uploaded::Done);
            }
            if !self.chunk.is_empty() {
                if !ready!(self.poll_chunk(context)) {
                    self.ended = true;
                }
                continue;
            }
            let Some(body) = &mut self.body else {
                let sent = match self.trailers.take() {
                    Some(trailers) => self.stream.send_trailers(trailers),
                    None => self.stream.send_data(Bytes::new(), true),
                };
                // A stream that the endpoint has ended takes no more; the answer says why.
                drop(sent);
                self.ended = true;
                continue;
            };
            match ready!(Pin::new(&mut *body).poll_frame(context)) {
                None => self.body = None,
                Some(Err(_)) => {
                    self.stream.send_reset(Reason::CANCEL);
                    self.ended = true;
                    return Poll::Ready(Uploaded::ClientFailed);
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if body.is_end_stream() {
                            self.body = None;
                        }
                        self.chunk = data;
                    }
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        self.body = None;
                    }
                },
            }
        }
    }

    /// Sends what the windows allow of the chunk. False: the endpoint takes no more.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.stream.capacity() < self.chunk.len() {
            self.stream.reserve_capacity(self.chunk.len());
        }
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(false),
            }
        }
        let part = self.chunk.split_to(self.stream.capacity().min(self.chunk.len()));
        let last = self.chunk.is_empty() && self.body.is_none() && self.trailers.is_none();
        if self.stream.send_data(part, last).is_err() {
            return Poll::Ready(false);
        }
        self.ended = last;
        Poll::Ready(true)
    }
}
