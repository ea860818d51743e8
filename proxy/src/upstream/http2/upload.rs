//! A request's body on its way to an endpoint.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Body as _;

use crate::request::body::RequestBody;

/// A request's body on its way.
#[derive(Debug)]
pub(super) struct Upload {
    stream: SendStream<Bytes>,
    body: Option<RequestBody>,
    chunk: Bytes,
    trailers: Option<HeaderMap>,
    ended: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Uploaded {
    /// All of it, or as much as the endpoint wants.
    Done,
    ClientFailed,
}

impl Upload {
    pub(super) fn new(stream: SendStream<Bytes>, body: Option<RequestBody>) -> Self {
        Self { stream, ended: body.is_none(), body, chunk: Bytes::new(), trailers: None }
    }

    pub(super) fn finished(&self) -> bool {
        self.ended
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Uploaded> {
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
