//! The HTTP edge: AdmissionReviews in, verdicts out. Mounted by the control plane on its webhook port, and by the operator,
//! which judges MeshInstalls, on its own.
//!
//! Whatever comes in gets an answer that says what is wrong with it: no JSON, too much of it, too slow, no object.

mod body;
mod inject;
mod metrics;
mod review;
mod validate;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};

pub use self::{
    body::BODY_LIMIT,
    metrics::{Metrics, ValidationMetrics},
    validate::Judge,
};
use self::{
    body::BODY_TIMEOUT,
    review::{Answer, Request},
};
use crate::inject::InjectContext;

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct WebhookState {
    /// Configuration of injection; whoever watches the ConfigMaps replaces it.
    pub context: Arc<ArcSwap<InjectContext>>,
    /// Counters, registered by [`Metrics::register`].
    pub metrics: Metrics,
}

/// Routes `POST /inject` and `POST /validate`, with what `judge` has to add.
pub fn router<J: Judge>(state: WebhookState, judge: J) -> Router {
    let validation = validation_router(judge, state.metrics.validation.clone());
    Router::new().route("/inject", post(serve_inject)).with_state(state).merge(validation)
}

/// Routes `POST /validate` alone; `judge` has the last word on what is valid by itself.
pub fn validation_router<J: Judge>(judge: J, metrics: ValidationMetrics) -> Router {
    Router::new().route("/validate", post(serve_validate::<J>)).with_state((judge, metrics))
}

async fn serve_inject(State(state): State<WebhookState>, body: Body) -> Response {
    let timer = state.metrics.injection_started();
    let response = match request(body).await {
        Ok(request) => inject::answer(request, &state.context.load(), &state.metrics).into_response(),
        Err(problem) => {
            state.metrics.injection_failed();
            problem.into_response()
        }
    };
    timer.observe();
    response
}

async fn serve_validate<J: Judge>(
    State((judge, metrics)): State<(J, ValidationMetrics)>,
    body: Body,
) -> Response {
    match request(body).await {
        Ok(request) => validate::answer(&request, &judge, &metrics).await.into_response(),
        Err(problem) => {
            metrics.unreadable_review();
            problem.into_response()
        }
    }
}

/// Why there is no review to answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestProblem {
    #[error("the body is larger than {BODY_LIMIT} bytes, the most an object may have")]
    TooLarge,
    #[error("the body did not arrive within {} seconds", BODY_TIMEOUT.as_secs())]
    TooSlow,
    #[error("the body could not be read: {0}")]
    Broken(String),
    #[error("the body is not JSON: {0}; send an AdmissionReview of admission.k8s.io/v1")]
    NotJson(String),
    #[error("{0}; send an AdmissionReview of admission.k8s.io/v1 with a request")]
    NoReview(String),
}

impl IntoResponse for RequestProblem {
    fn into_response(self) -> Response {
        let status = match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) | Self::NotJson(_) | Self::NoReview(_) => StatusCode::BAD_REQUEST,
        };
        tracing::warn!(status = status.as_u16(), "admission request refused: {self}");
        (status, format!("{self}\n")).into_response()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        Json(self.to_review()).into_response()
    }
}

async fn request(body: Body) -> Result<Request, RequestProblem> {
    Request::read(&body::read(body).await?)
}
