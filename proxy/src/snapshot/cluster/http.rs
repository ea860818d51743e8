//! HTTP towards endpoints.

use std::{num::NonZeroU32, time::Duration};

/// Which HTTP version is spoken to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// What the client speaks (`use_downstream_protocol_config`).
    UseDownstream,
    /// What ALPN agrees on (`auto_config`); HTTP/1.1 in plaintext.
    Auto,
}

/// HTTP towards endpoints: `HttpProtocolOptions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpOptions {
    /// The version.
    pub protocol: UpstreamProtocol,
    /// Closes a connection that has had no request for this long. `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Closes a connection that has lasted this long.
    pub max_connection_duration: Option<Duration>,
    /// Closes a connection after so many requests.
    pub max_requests_per_connection: Option<NonZeroU32>,
    /// Streams on one HTTP/2 connection. `None` is ours.
    pub max_concurrent_streams: Option<NonZeroU32>,
    /// HTTP/2 flow-control window of a stream. `None` is ours.
    pub stream_window: Option<u32>,
    /// HTTP/2 flow-control window of a connection. `None` is ours.
    pub connection_window: Option<u32>,
    /// HTTP/2 PINGs.
    pub keepalive: Option<Http2Keepalive>,
    /// The SNI is the request's authority (`auto_sni`).
    pub auto_sni: bool,
    /// The endpoint's certificate must have the request's authority as a name (`auto_san_validation`).
    pub auto_san: bool,
    /// Header names are written in Title-Case to HTTP/1.1 endpoints.
    pub title_case: bool,
    /// Header names keep the case in which they came.
    pub preserve_case: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            protocol: UpstreamProtocol::Http1,
            idle_timeout: Some(Duration::from_hours(1)),
            max_connection_duration: None,
            max_requests_per_connection: None,
            max_concurrent_streams: None,
            stream_window: None,
            connection_window: None,
            keepalive: None,
            auto_sni: false,
            auto_san: false,
            title_case: false,
            preserve_case: false,
        }
    }
}

/// HTTP/2 PINGs that find dead connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2Keepalive {
    /// Between PINGs.
    pub interval: Duration,
    /// Time for an answer.
    pub timeout: Duration,
}
