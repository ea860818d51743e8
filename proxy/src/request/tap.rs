//! A copy of a body for a mirror: chunks wait here until the mirror takes them.
//!
//! The mirror must not slow the request down, so what it doesn't take in time is bounded: past the limit the copy
//! breaks off, and with it the mirrored request.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::body::RequestBodyError;

/// Bytes that may wait for one mirror.
const LIMIT: usize = 1 << 20;

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    ended: bool,
    trailers: Option<HeaderMap>,
    broken: bool,
    waker: Option<Waker>,
}

/// The end into which the request's chunks go.
#[derive(Debug)]
pub(super) struct Tap(Rc<RefCell<Queue>>);

/// The end from which the mirror reads.
#[derive(Debug)]
pub(super) struct Tapped(Rc<RefCell<Queue>>);

/// Both ends.
pub(super) fn tap() -> (Tap, Tapped) {
    let queue = Rc::new(RefCell::new(Queue::default()));
    (Tap(queue.clone()), Tapped(queue))
}

impl Tap {
    pub(super) fn push(&self, chunk: &Bytes) {
        self.change(|queue| {
            queue.bytes += chunk.len();
            if queue.bytes > LIMIT {
                queue.broken = true;
                queue.chunks.clear();
            }
            if !queue.broken {
                queue.chunks.push_back(chunk.clone());
            }
        });
    }

    pub(super) fn end(&self, trailers: Option<&HeaderMap>) {
        self.change(|queue| {
            queue.ended = true;
            queue.trailers = trailers.cloned();
        });
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.0.borrow_mut();
        change(&mut queue);
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.change(|queue| queue.broken |= !queue.ended);
    }
}

impl Tapped {
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let mut queue = self.0.borrow_mut();
        if queue.broken {
            return Poll::Ready(Some(Err(RequestBodyError::MirrorTooSlow)));
        }
        if let Some(chunk) = queue.chunks.pop_front() {
            queue.bytes -= chunk.len();
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if queue.ended {
            return Poll::Ready(queue.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        queue.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
