//! The request's body on its way upstream.
//!
//! One client body may be sent several times (retries) and to several places (mirrors): [`Source`] reads it once,
//! keeps what it read as long as that is little, and hands out a [`RequestBody`] for each attempt.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{
    messages::GrpcMessages,
    tap::{Tap, Tapped, tap},
};

/// Why a request's body ended early.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// The client went away or broke the protocol.
    #[error("the client's body ended early: {0}")]
    Client(#[from] hyper::Error),
    /// Another attempt has taken the body over.
    #[error("another attempt sends this body")]
    Superseded,
    /// A mirror didn't take its copy in time, or the request broke off.
    #[error("the mirror didn't take the body in time")]
    MirrorTooSlow,
}

/// The body of one attempt.
#[derive(Debug, Default)]
pub struct RequestBody(Kind);

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Shared(Attempt),
    /// A mirror's, of which the size may be known beforehand.
    Copy(Tapped, SizeHint),
}

/// One attempt's place in a shared body.
#[derive(Debug)]
struct Attempt {
    source: Rc<RefCell<Shared>>,
    /// Which attempt this is; only the latest may read from the client.
    number: u32,
    /// Kept chunks that this attempt has had.
    taken: usize,
    ended: bool,
}

impl RequestBody {
    /// No body.
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// A body that is there already.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self(if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) })
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = self.get_mut();
        match &mut this.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Shared(attempt) => attempt.poll(context),
            Kind::Copy(tapped, _) => tapped.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) | Kind::Copy(..) => false,
            Kind::Shared(attempt) => attempt.ended || attempt.source.borrow().nothing_after(attempt.taken),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Shared(attempt) => attempt.source.borrow().size_hint(attempt.taken),
            Kind::Copy(_, size) => *size,
        }
    }
}

impl Attempt {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut source = self.source.borrow_mut();
        if let Some(kept) = source.kept.get(self.taken) {
            self.taken += 1;
            return Poll::Ready(Some(Ok(Frame::data(kept.clone()))));
        }
        if source.attempt != self.number {
            return Poll::Ready(Some(Err(RequestBodyError::Superseded)));
        }
        if source.ended {
            self.ended = true;
            return Poll::Ready(source.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let frame = match Pin::new(&mut source.incoming).poll_frame(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => {
                source.end(None);
                self.ended = true;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => {
                source.failed = true;
                return Poll::Ready(Some(Err(error.into())));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                source.take(&data);
                // A kept chunk has been had already by the attempt that read it.
                self.taken = source.kept.len();
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                source.end(Some(trailers.clone()));
                self.ended = true;
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
        }
    }
}

/// A client's body, from which attempts get theirs.
#[derive(Debug, Clone)]
pub struct Source(Option<Rc<RefCell<Shared>>>);

#[derive(Debug)]
struct Shared {
    incoming: Incoming,
    kept: Vec<Bytes>,
    kept_bytes: u64,
    /// Bytes that may be kept. Zero once they were too many.
    limit: u64,
    attempt: u32,
    ended: bool,
    trailers: Option<HeaderMap>,
    received: u64,
    received_at: Option<Instant>,
    touched: Instant,
    failed: bool,
    messages: Option<(GrpcMessages, u64)>,
    taps: Vec<Tap>,
    waiting: Option<Waker>,
}

impl Shared {
    fn take(&mut self, data: &Bytes) {
        self.taps.iter().for_each(|tap| tap.push(data));
        if let Some((counter, messages)) = &mut self.messages {
            *messages += counter.count(data);
        }
        self.received += data.len() as u64;
        self.touched = Instant::now();
        if self.incoming.is_end_stream() {
            self.end(None);
        }
        if self.kept_bytes + data.len() as u64 <= self.limit {
            self.kept_bytes += data.len() as u64;
            self.kept.push(data.clone());
        } else {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.limit = 0;
        self.kept = Vec::new();
        self.kept_bytes = 0;
    }

    fn end(&mut self, trailers: Option<HeaderMap>) {
        self.taps.iter().for_each(|tap| tap.end(trailers.as_ref()));
        self.taps = Vec::new();
        self.ended = true;
        self.trailers = trailers;
        self.touched = Instant::now();
        self.received_at.get_or_insert(self.touched);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    fn nothing_after(&self, taken: usize) -> bool {
        self.ended && self.trailers.is_none() && taken >= self.kept.len()
    }

    fn size_hint(&self, taken: usize) -> SizeHint {
        let again: u64 = self.kept.iter().skip(taken).map(|chunk| chunk.len() as u64).sum();
        match self.incoming.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(again + rest),
            None => SizeHint::default(),
        }
    }
}

impl Source {
    /// Reads `incoming`, keeping up to `limit` bytes for later attempts. Zero: nothing is kept.
    pub fn new(incoming: Incoming, limit: u64) -> Self {
        if incoming.is_end_stream() {
            return Self(None);
        }
        Self(Some(Rc::new(RefCell::new(Shared {
            incoming,
            kept: Vec::new(),
            kept_bytes: 0,
            limit,
            attempt: 0,
            ended: false,
            trailers: None,
            received: 0,
            received_at: None,
            touched: Instant::now(),
            failed: false,
            messages: None,
            taps: Vec::new(),
            waiting: None,
        }))))
    }

    /// Whether there is no body at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The body for the next attempt; earlier ones stop.
    pub fn attempt(&self) -> RequestBody {
        let Some(source) = &self.0 else { return RequestBody::empty() };
        let number = {
            let mut shared = source.borrow_mut();
            shared.attempt += 1;
            shared.attempt
        };
        RequestBody(Kind::Shared(Attempt { source: source.clone(), number, taken: 0, ended: false }))
    }

    /// A copy for a mirror. Must be asked for before anything is read.
    pub fn mirror(&self) -> RequestBody {
        let Some(source) = &self.0 else { return RequestBody::empty() };
        let (tap, tapped) = tap();
        let mut shared = source.borrow_mut();
        shared.taps.push(tap);
        RequestBody(Kind::Copy(tapped, shared.size_hint(0)))
    }

    /// Whether another attempt could send the whole body: all that was read has been kept.
    pub fn can_repeat(&self) -> bool {
        self.0.as_ref().is_none_or(|source| {
            let shared = source.borrow();
            !shared.failed && shared.kept_bytes == shared.received
        })
    }

    /// Changes how much may be kept for later attempts. Zero, once no further attempt will be made: what was kept is
    /// let go when it has been sent.
    pub fn keep_up_to(&self, limit: u64) {
        if let Some(source) = &self.0 {
            source.borrow_mut().limit = limit;
        }
    }

    /// Counts gRPC messages from now on.
    pub fn count_messages(&self) {
        if let Some(source) = &self.0 {
            source.borrow_mut().messages.get_or_insert_default();
        }
    }

    /// gRPC messages that came from the client, if they are counted.
    pub fn messages(&self) -> u64 {
        self.0
            .as_ref()
            .and_then(|source| source.borrow().messages.as_ref().map(|(_, count)| *count))
            .unwrap_or(0)
    }

    /// Bytes that came from the client.
    pub fn received(&self) -> u64 {
        self.0.as_ref().map_or(0, |source| source.borrow().received)
    }

    /// When the last byte came from the client, if it has.
    pub fn received_at(&self) -> Option<Instant> {
        self.0.as_ref()?.borrow().received_at
    }

    /// When something last came from the client.
    pub fn touched(&self) -> Option<Instant> {
        Some(self.0.as_ref()?.borrow().touched)
    }

    /// Whether the client broke off.
    pub fn failed(&self) -> bool {
        self.0.as_ref().is_some_and(|source| source.borrow().failed)
    }

    /// Waits until all of it has come.
    pub async fn completed(&self) {
        let Some(source) = &self.0 else { return };
        poll_fn(|context| {
            let mut shared = source.borrow_mut();
            if shared.ended {
                return Poll::Ready(());
            }
            shared.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
