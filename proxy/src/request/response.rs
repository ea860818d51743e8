//! The response's body on its way to the client.
//!
//! Counts what passes, reads gRPC's status from the trailers, enforces the limits that hold until the last byte, and
//! carries the request's [`Record`], which is over when the body is.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::{head::text, limits::Deadline, messages::GrpcMessages, outcome::Flags, record::Record};
use crate::upstream::{self, ResponseBody};

/// Why a response's body was broken off.
#[derive(Debug, thiserror::Error)]
pub enum ResponseBodyError {
    /// The upstream's part.
    #[error(transparent)]
    Upstream(#[from] upstream::BodyError),
    /// It took too long.
    #[error("the response took too long")]
    Timeout,
}

/// A response's body.
#[derive(Debug)]
pub struct ClientBody {
    kind: Kind,
    record: Option<Record>,
    limits: Option<Box<Limits>>,
    counter: Option<GrpcMessages>,
    /// Bytes that are still to come, where the head has said how many there are.
    left: Option<u64>,
}

#[derive(Debug)]
enum Kind {
    Local(Bytes),
    Upstream(ResponseBody),
}

#[derive(Debug)]
struct Limits {
    whole: Option<(Deadline, Pin<Box<Sleep>>)>,
    idle: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl ClientBody {
    /// A body of our own. It is over when it has been taken.
    pub fn local(bytes: Bytes, record: Record) -> Self {
        let mut body =
            Self { kind: Kind::Local(bytes), record: Some(record), limits: None, counter: None, left: None };
        body.finish_if_ended();
        body
    }

    /// A body without a record: the record goes on elsewhere.
    pub fn unrecorded() -> Self {
        Self { kind: Kind::Local(Bytes::new()), record: None, limits: None, counter: None, left: None }
    }

    /// The upstream's body, which must be over by `deadline`, with no pause longer than `idle`.
    pub fn upstream(
        body: ResponseBody,
        record: Record,
        deadline: Option<Deadline>,
        idle: Option<Duration>,
        count_messages: bool,
    ) -> Self {
        let limits = (deadline.is_some() || idle.is_some()).then(|| {
            Box::new(Limits {
                whole: deadline.map(|deadline| (deadline, Box::pin(tokio::time::sleep_until(deadline.at)))),
                idle: idle.map(|idle| (idle, Box::pin(tokio::time::sleep(idle)))),
            })
        });
        let counter = count_messages.then(GrpcMessages::default);
        let mut body = Self { kind: Kind::Upstream(body), record: Some(record), limits, counter, left: None };
        body.finish_if_ended();
        body
    }

    /// The same, of which the head says how long it is. Whoever has so many bytes has all, and may be gone before the
    /// upstream says that there are no more.
    pub fn of_length(mut self, length: Option<u64>) -> Self {
        self.left = length.filter(|length| *length > 0);
        self
    }

    /// hyper doesn't poll a body that says it has ended.
    fn finish_if_ended(&mut self) {
        if (Body::is_end_stream(self) || self.left == Some(0))
            && let Some(mut record) = self.record.take()
        {
            record.finish();
        }
    }

    fn note(&mut self, frame: &Frame<Bytes>) {
        let Some(record) = &mut self.record else { return };
        if let Some(data) = frame.data_ref() {
            record.bytes_sent += data.len() as u64;
            if let Some(counter) = &mut self.counter {
                record.response_messages += counter.count(data);
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            record.grpc_status = grpc_status(trailers).or(record.grpc_status);
        }
    }

    fn fail(&mut self, flag: Flags, details: impl Into<std::borrow::Cow<'static, str>>) {
        if let Some(mut record) = self.record.take() {
            record.fail(flag, details);
        }
    }

    fn overdue(&mut self, context: &mut Context<'_>) -> Option<(Flags, &'static str)> {
        let limits = self.limits.as_mut()?;
        if let Some((deadline, sleep)) = &mut limits.whole
            && sleep.as_mut().poll(context).is_ready()
        {
            return Some((deadline.flag, deadline.details));
        }
        let (_, idle) = limits.idle.as_mut()?;
        idle.as_mut().poll(context).is_ready().then_some((Flags::STREAM_IDLE_TIMEOUT, "stream_idle_timeout"))
    }

    fn moved(&mut self) {
        if let Some((idle, sleep)) = self.limits.as_mut().and_then(|limits| limits.idle.as_mut()) {
            sleep.as_mut().reset(Instant::now() + *idle);
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let this = self.get_mut();
        if this.limits.is_some()
            && let Some((flag, details)) = this.overdue(context)
        {
            this.fail(flag, details);
            return Poll::Ready(Some(Err(ResponseBodyError::Timeout)));
        }
        let frame = match &mut this.kind {
            Kind::Local(bytes) if bytes.is_empty() => None,
            Kind::Local(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Kind::Upstream(body) => ready!(Pin::new(body).poll_frame(context)),
        };
        match frame {
            None => {
                if let Some(mut record) = this.record.take() {
                    record.finish();
                }
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                this.fail(error.flag(), error.details());
                Poll::Ready(Some(Err(error.into())))
            }
            Some(Ok(frame)) => {
                this.moved();
                this.note(&frame);
                if let (Some(left), Some(data)) = (&mut this.left, frame.data_ref()) {
                    *left = left.saturating_sub(data.len() as u64);
                }
                this.finish_if_ended();
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Local(bytes) => bytes.is_empty(),
            Kind::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Local(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Upstream(body) => body.size_hint(),
        }
    }
}

/// gRPC's status in headers or trailers.
pub fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    text(headers.get("grpc-status")).parse().ok()
}
