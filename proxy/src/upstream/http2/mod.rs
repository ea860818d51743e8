//! HTTP/2 towards endpoints: one connection, many requests at a time.
//!
//! The connection has a task of its own, which reads, writes and answers PINGs. A request's body is sent by whoever
//! waits for the answer, as in HTTP/1. Requests that were HTTP/1.1 travel here too between two proxies of ours.

mod exchange;
mod upload;

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
};

use bytes::Bytes;
pub(super) use exchange::{Http2Body, exchange};
use futures::future::select;
use h2::client::{Builder, Connection, SendRequest};
use tokio::time::{Instant, sleep, timeout};

use super::{
    connect::Fresh,
    error::{ResetReason, SendError},
    io::{Io, Link},
    pool::{Held, Pool},
};
use crate::{
    cork::{Cork, Corked},
    snapshot::cluster::{Http2Keepalive, HttpOptions},
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
