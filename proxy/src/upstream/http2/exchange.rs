//! A request and its answer on one stream.

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::{Method, Request, Response, Uri, Version, header};
use http_body::{Body as _, Frame};

use super::{
    Stream,
    upload::{Upload, Uploaded},
};
use crate::{
    request::body::RequestBody,
    stage::retry::Failure,
    upstream::{
        error::{BodyError, ResetReason, SendError},
        io::Link,
    },
};

/// An answer that is being read.
#[derive(Debug)]
pub(in crate::upstream) struct Http2Body {
    receive: RecvStream,
    upload: Upload,
    over: bool,
    // Last, so that the stream has ended when its place is given back.
    stream: Stream,
}

/// Sends a request and waits for the head of the answer.
pub(in crate::upstream) async fn exchange(
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
    pub(in crate::upstream) fn link(&self) -> &Rc<Link> {
        &self.stream.0.link
    }

    pub(in crate::upstream) fn is_over(&self) -> bool {
        self.over
    }

    /// The next part of the answer's body.
    pub(in crate::upstream) fn poll_frame(
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
