//! How long peers may take.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tonic::Status;

use crate::ads::AdsService;

/// Who takes longer is hung up on.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the handshake to the first complete request head, and from the head of a discovery stream to its first message.
    pub first_request: Duration,
    /// From the head of any other request to its answer; of an admission review, which says by itself that it is too slow,
    /// this is the last resort.
    pub whole_request: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { handshake: seconds(10), first_request: seconds(15), whole_request: seconds(15) }
    }
}

impl Patience {
    /// Refuses calls that take too long, which they do when their body doesn't end. Discovery streams last.
    pub(crate) fn with_calls_of(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.whole_request, in_time))
    }
}

async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    if AdsService::streams(request.uri().path()) {
        return next.run(request).await;
    }
    let kind = request.headers().get(CONTENT_TYPE).cloned();
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) => {
            Status::deadline_exceeded("the request did not end in time").into_http()
        }
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}
