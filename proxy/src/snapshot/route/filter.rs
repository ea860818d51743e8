//! Faults on purpose, and CORS.

use std::{sync::Arc, time::Duration};

use ::http::{HeaderValue, StatusCode};

use super::conditions::Fraction;
use crate::snapshot::matcher::{HeaderMatch, StringMatch};

/// Faults on purpose.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Wait first.
    pub delay: Option<(Fraction, Duration)>,
    /// Then answer instead of the application.
    pub abort: Option<(Fraction, Abort)>,
    /// Only requests with these headers.
    pub headers: Vec<HeaderMatch>,
    /// Only requests to this cluster.
    pub upstream_cluster: Option<Arc<str>>,
    /// Only requests from these nodes.
    pub downstream_nodes: Vec<Box<str>>,
    /// Faults at one time.
    pub max_active: Option<u32>,
}

/// What an aborted request is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// An HTTP status.
    Http(StatusCode),
    /// A gRPC status.
    Grpc(u32),
}

/// Envoy's CorsPolicy.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    /// Origins that may.
    pub allow_origins: Vec<StringMatch>,
    /// `access-control-allow-methods`.
    pub allow_methods: Option<HeaderValue>,
    /// `access-control-allow-headers`.
    pub allow_headers: Option<HeaderValue>,
    /// `access-control-expose-headers`.
    pub expose_headers: Option<HeaderValue>,
    /// `access-control-max-age`.
    pub max_age: Option<HeaderValue>,
    /// `access-control-allow-credentials`.
    pub allow_credentials: bool,
    /// Preflights from origins that don't match go to the application.
    pub forward_unmatched_preflights: bool,
    /// Switched off.
    pub disabled: bool,
}
