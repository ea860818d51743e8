//! Answers that we give ourselves, in Envoy's words.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::outcome::Flags;
use crate::upstream::SendError;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");

/// An answer of our own.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The body, as text.
    pub body: Bytes,
    /// Headers besides.
    pub headers: HeaderMap,
    /// The response flag.
    pub flag: Flags,
    /// The response code details.
    pub details: Cow<'static, str>,
    /// gRPC's status, where it doesn't follow from the HTTP status.
    pub grpc_status: Option<u32>,
    /// The route's header edits apply.
    pub edited: bool,
}

impl Reply {
    /// An answer without a body.
    pub fn new(status: StatusCode, flag: Flags, details: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self {
            status,
            body: Bytes::new(),
            headers: HeaderMap::new(),
            flag,
            details: details.into(),
            grpc_status: None,
            edited: false,
        })
    }

    /// The same with the route's header edits, as all answers have that are given where a route was being followed.
    fn edited(mut self: Box<Self>) -> Box<Self> {
        self.edited = true;
        self
    }

    /// The same with a body.
    pub fn text(mut self: Box<Self>, body: impl Into<Bytes>) -> Box<Self> {
        self.body = body.into();
        self
    }

    /// The same with one more header, if there is a value for it.
    pub fn header(mut self: Box<Self>, name: HeaderName, value: Option<HeaderValue>) -> Box<Self> {
        self.headers.extend(value.map(|value| (name, value)));
        self
    }

    /// No route takes the request.
    pub fn no_route() -> Box<Self> {
        Self::new(StatusCode::NOT_FOUND, Flags::NO_ROUTE, "route_not_found")
    }

    /// The route's cluster isn't there.
    pub fn no_cluster(status: StatusCode) -> Box<Self> {
        Self::new(status, Flags::NO_CLUSTER, "cluster_not_found").edited()
    }

    /// The cluster has no endpoint that could be used.
    pub fn no_healthy_upstream() -> Box<Self> {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Flags::NO_HEALTHY_UPSTREAM, "no_healthy_upstream")
            .text("no healthy upstream")
            .edited()
    }

    /// No answer in time.
    pub fn timeout(details: &'static str) -> Box<Self> {
        Self::new(StatusCode::GATEWAY_TIMEOUT, Flags::UPSTREAM_TIMEOUT, details)
            .text("upstream request timeout")
            .edited()
    }

    /// The client broke its request off; nobody reads this.
    pub fn client_gone() -> Box<Self> {
        Self::new(StatusCode::BAD_REQUEST, Flags::DOWNSTREAM_TERMINATION, "downstream_remote_disconnect")
    }

    /// The last attempt failed.
    pub fn upstream_failed(error: &SendError, retried: bool) -> Box<Self> {
        let flag = error.flag();
        let status = if flag.has(Flags::UPSTREAM_PROTOCOL_ERROR) {
            StatusCode::BAD_GATEWAY
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let mut reply = Self::new(status, flag, error.details()).text(error.body(retried)).edited();
        if flag.has(Flags::UPSTREAM_OVERFLOW) {
            reply.headers.insert(OVERLOADED, HeaderValue::from_static("true"));
        }
        reply
    }

    /// The head and body as they go to the client.
    pub fn into_response(self, grpc: bool, head_only: bool) -> Response<Bytes> {
        if grpc {
            return self.into_grpc();
        }
        let mut response = Response::new(if head_only { Bytes::new() } else { self.body.clone() });
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !self.body.is_empty() {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        headers.extend(self.headers);
        response
    }

    /// gRPC clients get their status in a head that is also the trailer.
    fn into_grpc(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.extend(self.headers);
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        let status = self.grpc_status.unwrap_or_else(|| grpc_status(self.status));
        headers.insert(GRPC_STATUS, HeaderValue::from(status));
        if !self.body.is_empty()
            && let Ok(message) = HeaderValue::try_from(percent_encoded(&self.body))
        {
            headers.insert(GRPC_MESSAGE, message);
        }
        response
    }

    /// The gRPC status that a gRPC client gets.
    pub fn grpc(&self) -> u32 {
        self.grpc_status.unwrap_or_else(|| grpc_status(self.status))
    }
}

/// gRPC's status for an HTTP status, as gRPC defines it.
fn grpc_status(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

fn percent_encoded(message: &[u8]) -> String {
    message.iter().fold(String::with_capacity(message.len()), |mut out, &byte| {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_clients_get_trailers_only() {
        let response = Reply::no_healthy_upstream().into_response(true, false);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[GRPC_STATUS], "14");
        assert_eq!(response.headers()[GRPC_MESSAGE], "no healthy upstream");
        assert!(response.body().is_empty());
    }

    #[test]
    fn a_head_has_the_length_of_the_body_it_leaves_out() {
        let response = Reply::timeout("response_timeout").into_response(false, true);
        assert_eq!(response.headers()[header::CONTENT_LENGTH], "24");
        assert!(response.body().is_empty());
    }
}
