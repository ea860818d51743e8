//! What a route does that answers by itself.

use ::http::StatusCode;

use super::forward::PathRewrite;

/// What a redirecting route does.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// The status code.
    pub status: StatusCode,
    /// The new scheme.
    pub scheme: Option<Box<str>>,
    /// The new host.
    pub host: Option<Box<str>>,
    /// The new port.
    pub port: Option<u16>,
    /// The new path.
    pub path: Option<PathRewrite>,
    /// Leave the query out.
    pub strip_query: bool,
}

/// What an answering route does.
#[derive(Debug, Clone)]
pub struct DirectResponse {
    /// The status code.
    pub status: StatusCode,
    /// The body.
    pub body: bytes::Bytes,
}
