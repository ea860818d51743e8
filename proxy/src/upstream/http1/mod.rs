//! HTTP/1.1 towards endpoints: one connection, one request at a time.
//!
//! Nothing runs in the background. Whoever waits for the head of an answer, and later whoever reads its body, drives
//! the sending of the request too. A request without a body, or with a small one, is a single write; the answer of a
//! small size a single read. Idle, a connection holds no buffers.
//!
//! Framing is strict where leniency would let two parsers disagree (RFC 9112 6.3): see [`decode`].

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, request::Parts};
use http_body::Frame;
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::Instant,
};
use tokio_util::io::poll_read_buf;

use self::{
    decode::{Body, Head},
    encode::Sending,
};
use super::{
    error::{BodyError, ResetReason, SendError},
    io::{Io, Link},
    pool::Held,
};
use crate::{request::body::RequestBody, snapshot::cluster::HttpOptions, stage::retry::Failure};

/// Bytes that a read asks for at first. Grows with what comes.
const FIRST_READ: usize = 4 * 1024;
/// Bytes that a read asks for at most.
const LARGEST_READ: usize = 256 * 1024;
/// Bytes that an answer's head may have: Envoy's default limit is 60 KiB.
const MAX_HEAD: usize = 60 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Http1 {
    io: Io,
    link: Rc<Link>,
    held: Held,
    born: Instant,
    idle_since: Instant,
    requests: u32,

    sending: Sending,
    body: Body,
    read: BytesMut,
    next_read: usize,
    /// Bytes of this answer.
    received: u64,
    /// Another request may follow this one.
    keep: bool,
}

/// Why an exchange failed.
#[derive(Debug)]
enum Broken {
    /// The connection ended.
    Closed,
    /// The endpoint broke the protocol.
    Protocol,
    /// The client's body failed.
    Client,
}

impl Http1 {
    pub(super) fn new(io: Io, link: Rc<Link>, held: Held) -> Box<Self> {
        let now = Instant::now();
        Box::new(Self {
            io,
            link,
            held,
            born: now,
            idle_since: now,
            requests: 0,
            sending: Sending::default(),
            body: Body::None,
            read: BytesMut::new(),
            next_read: FIRST_READ,
            received: 0,
            keep: true,
        })
    }

    pub(super) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// Whether another request may follow, the answer to the last having been read.
    pub(super) fn reusable(&mut self, options: &HttpOptions, now: Instant) -> bool {
        self.idle_since = now;
        let done = self.keep && self.body == Body::None && self.sending.done() && self.read.is_empty();
        let most = options.max_requests_per_connection.is_some_and(|most| self.requests >= most.get());
        if most && let Some(pool) = self.held.pool() {
            pool.state().stats.upstream_cx_max_requests.inc();
        }
        self.read = BytesMut::new();
        self.next_read = FIRST_READ;
        done && !most && !self.expired(options, now)
    }

    /// Whether the idle connection has reached a limit of time.
    pub(super) fn expired(&self, options: &HttpOptions, now: Instant) -> bool {
        options.idle_timeout.is_some_and(|limit| now.saturating_duration_since(self.idle_since) >= limit)
            || options
                .max_connection_duration
                .is_some_and(|limit| now.saturating_duration_since(self.born) >= limit)
    }

    /// Whether the idle connection can be used: the endpoint hasn't closed it or spoken out of turn.
    pub(super) fn usable(&mut self, options: &HttpOptions, now: Instant) -> bool {
        if self.expired(options, now) {
            return false;
        }
        let mut context = Context::from_waker(Waker::noop());
        let mut byte = [0];
        Pin::new(&mut self.io).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Gives the connection back to its pool.
    pub(super) fn give_back(self: Box<Self>) {
        if let Some(pool) = self.held.pool() {
            pool.give_back(self);
        }
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn exchange(
        mut self: Box<Self>,
        request: Request<RequestBody>,
        options: &HttpOptions,
    ) -> Result<(Response<()>, Box<Self>), SendError> {
        let (parts, body) = request.into_parts();
        let asked = decode::Asked::of(&parts);
        self.begin(parts, body, options);
        let result = std::future::poll_fn(|context| self.poll_head(context, asked)).await;
        match result {
            Ok(response) => Ok((response, self)),
            Err(broken) => Err(self.failed(&broken)),
        }
    }

    fn begin(&mut self, parts: Parts, body: RequestBody, options: &HttpOptions) {
        self.requests += 1;
        self.received = 0;
        self.keep = true;
        self.sending = Sending::new(parts, body, options.title_case);
    }

    fn failed(&self, broken: &Broken) -> SendError {
        match broken {
            Broken::Protocol => SendError::reset(ResetReason::ProtocolError),
            Broken::Client => SendError::new(ResetReason::LocalReset, Failure::Client),
            Broken::Closed => SendError {
                stale: self.requests > 1 && self.received == 0,
                ..SendError::reset(ResetReason::ConnectionTermination)
            },
        }
    }

    fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        asked: decode::Asked,
    ) -> Poll<Result<Response<()>, Broken>> {
        self.poll_send(context)?;
        loop {
            if !self.read.is_empty()
                && let Some(head) = decode::head(&mut self.read, asked).map_err(|_| Broken::Protocol)?
            {
                let Head { response, body, keep } = head;
                if response.status().is_informational()
                    && response.status() != StatusCode::SWITCHING_PROTOCOLS
                {
                    continue;
                }
                self.body = body;
                self.keep &= keep;
                return Poll::Ready(Ok(response));
            }
            if self.read.len() > MAX_HEAD {
                return Poll::Ready(Err(Broken::Protocol));
            }
            if ready!(self.poll_read(context)) == 0 {
                let half = !self.read.is_empty();
                return Poll::Ready(Err(if half { Broken::Protocol } else { Broken::Closed }));
            }
        }
    }

    /// Sends as much as can be sent now. A failed write isn't the end: the answer may be there already.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Result<(), Broken> {
        if self.sending.done() {
            return Ok(());
        }
        match self.sending.poll(&mut self.io, context) {
            Poll::Pending | Poll::Ready(Ok(())) => Ok(()),
            Poll::Ready(Err(encode::Failed::Write)) => {
                self.keep = false;
                self.sending = Sending::default();
                Ok(())
            }
            Poll::Ready(Err(encode::Failed::Client)) => {
                self.keep = false;
                Err(Broken::Client)
            }
        }
    }

    /// Reads more. Zero is the end of the connection, however it came.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        self.read.reserve(self.next_read);
        let count =
            ready!(poll_read_buf(Pin::new(&mut self.io), context, &mut self.read)).unwrap_or_default();
        self.received += count as u64;
        if count >= self.next_read {
            self.next_read = (self.next_read * 4).min(LARGEST_READ);
        }
        Poll::Ready(count)
    }

    /// Whether the answer's body is over, and with it the exchange as far as the client can see.
    pub(super) fn body_is_over(&self) -> bool {
        self.body == Body::None
    }

    /// The length of what is left of the body, where it is known.
    pub(super) fn body_left(&self) -> Option<u64> {
        self.body.left()
    }

    /// The next part of the answer's body.
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let ended = |reason| Poll::Ready(Some(Err(BodyError { reason })));
        match self.poll_send(context) {
            Ok(()) => {}
            Err(_) => {
                self.keep = false;
                return ended(ResetReason::LocalReset);
            }
        }
        loop {
            match self.body.decode(&mut self.read) {
                Err(_) => {
                    self.keep = false;
                    return ended(ResetReason::ProtocolError);
                }
                Ok(decode::Step::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(decode::Step::Trailers(trailers)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(decode::Step::End) => return Poll::Ready(None),
                Ok(decode::Step::More) => {}
            }
            if ready!(self.poll_read(context)) == 0 {
                self.keep = false;
                if self.body == Body::UntilClose {
                    self.body = Body::None;
                    return Poll::Ready(None);
                }
                return ended(ResetReason::ConnectionTermination);
            }
        }
    }

    /// Takes the connection for what comes after HTTP.
    pub(super) fn into_upgraded(self: Box<Self>) -> (Io, Bytes, Held) {
        let this = *self;
        (this.io, this.read.freeze(), this.held)
    }
}

/// Trailers of a chunked body, or none.
type Trailers = HeaderMap;
