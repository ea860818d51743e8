//! How a connection's HTTP is handled: Envoy's HttpConnectionManager as our own type.

use std::{sync::Arc, time::Duration};

use ::http::HeaderValue;

use super::route::RouteTable;

/// Which HTTP versions a connection may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// Told by ALPN or by the first bytes.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
}

/// Where the routes come from.
#[derive(Debug, Clone)]
pub enum RouteSource {
    /// Looked up in the snapshot by name (RDS). Requests get 404 `NR` while it isn't there.
    Named(Arc<str>),
    /// Written in the listener.
    Inline(Arc<RouteTable>),
}

/// What becomes of the response's `server` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerHeader {
    /// Ours replaces the application's.
    #[default]
    Overwrite,
    /// Ours only where there is none.
    AppendIfAbsent,
    /// The application's stays, ours is never written.
    PassThrough,
}

/// What becomes of `x-forwarded-client-cert`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardClientCert {
    /// Removed.
    #[default]
    Sanitize,
    /// Sent on as it came, if the connection is mutual TLS.
    ForwardOnly,
    /// Our client's certificate is added, if the connection is mutual TLS. Sidecars.
    AppendForward,
    /// Our client's certificate replaces what came. Gateways.
    SanitizeSet,
    /// Sent on as it came, always.
    AlwaysForwardOnly,
}

/// Which facts of the client's certificate go into `x-forwarded-client-cert`. `By` and `Hash` always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CertDetails {
    /// `Subject`.
    pub subject: bool,
    /// `Cert`, in PEM, URL encoded.
    pub cert: bool,
    /// `Chain`.
    pub chain: bool,
    /// `DNS`.
    pub dns: bool,
    /// `URI`.
    pub uri: bool,
}

/// What to do with `%2F`, `%5C` and their kin in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EscapedSlashes {
    /// Leave them.
    #[default]
    Keep,
    /// Answer 400.
    Reject,
    /// Decode them and redirect there.
    UnescapeAndRedirect,
    /// Decode them and go on.
    UnescapeAndForward,
}

/// How paths are made canonical before routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathNormalisation {
    /// RFC 3986 dot segments and unreserved characters.
    pub normalise: bool,
    /// `//` becomes `/`.
    pub merge_slashes: bool,
    /// Escaped slashes.
    pub escaped_slashes: EscapedSlashes,
}

/// The HTTP filters that the manager's chain holds and that have a part in the request path.
/// A route or virtual host may configure fault and CORS only where the filter is present, as in Envoy.
#[derive(Debug, Clone)]
pub struct HttpFilters {
    /// `envoy.filters.http.fault`, with its own configuration if it has one.
    pub fault: Option<Option<Arc<super::route::Fault>>>,
    /// `envoy.filters.http.cors`.
    pub cors: bool,
    /// Requests are counted as `istio.stats` does. Our own control plane doesn't send that filter: we always count.
    pub istio_stats: bool,
    /// Peers tell each other who they are, as `istio.metadata_exchange` does. We always do.
    pub metadata_exchange: bool,
    /// Counts gRPC messages.
    pub grpc_stats: bool,
    /// The router removes all `x-envoy-*` that it would otherwise add.
    pub suppress_envoy_headers: bool,
    /// `istio.alpn`: the upstream ALPN follows what the request carries.
    pub istio_alpn: bool,
}

impl Default for HttpFilters {
    fn default() -> Self {
        Self {
            fault: None,
            cors: false,
            istio_stats: true,
            metadata_exchange: true,
            grpc_stats: false,
            suppress_envoy_headers: false,
            istio_alpn: false,
        }
    }
}

/// HTTP/1 knobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Http1Options {
    /// Header names are written in Title-Case.
    pub title_case: bool,
    /// Header names keep the case in which they came.
    pub preserve_case: bool,
    /// HTTP/1.0 requests are served.
    pub accept_http_10: bool,
}

/// HTTP/2 knobs. `None` is our own default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Http2Options {
    /// Streams that a client may have open.
    pub max_concurrent_streams: Option<u32>,
    /// Flow-control window of a stream.
    pub stream_window: Option<u32>,
    /// Flow-control window of the connection.
    pub connection_window: Option<u32>,
    /// `CONNECT` with `:protocol` (RFC 8441) is allowed.
    pub extended_connect: bool,
}

/// Where finished requests and connections are logged. `observe` turns this into handles once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// A file, `/dev/stdout` or `/dev/stderr`.
    pub path: Arc<str>,
    /// The shape of a line.
    pub format: LogFormat,
}

impl AccessLog {
    /// Whether this is a copy of `other`, told without comparing texts.
    pub fn is(&self, other: &Self) -> bool {
        let same_format = match (&self.format, &other.format) {
            (LogFormat::Text(one), LogFormat::Text(other)) => Arc::ptr_eq(one, other),
            (LogFormat::Json(one), LogFormat::Json(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        same_format && Arc::ptr_eq(&self.path, &other.path)
    }
}

/// The shape of a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFormat {
    /// Text with Envoy's operators, including the line break at its end.
    Text(Arc<str>),
    /// A JSON object whose strings may hold Envoy's operators.
    Json(Arc<serde_json::Value>),
}

/// Envoy's HttpConnectionManager.
#[derive(Debug)]
pub struct HttpConnectionManager {
    /// Prefix of the statistics.
    pub stat_prefix: Arc<str>,
    /// HTTP versions.
    pub codec: Codec,
    /// Where the routes come from.
    pub routes: RouteSource,
    /// Where requests are logged.
    pub access_logs: Vec<AccessLog>,
    /// The filters that have a part in the request path.
    pub filters: HttpFilters,

    /// The value of the `server` header.
    pub server_name: HeaderValue,
    /// What becomes of the response's `server` header.
    pub server_header: ServerHeader,
    /// What becomes of `x-forwarded-client-cert`.
    pub forward_client_cert: ForwardClientCert,
    /// Which facts go into it.
    pub cert_details: CertDetails,

    /// The client's address is the connection's, and forwarding headers from outside aren't trusted (edge).
    pub use_remote_address: bool,
    /// Proxies in front of us whose `x-forwarded-for` entries are trusted.
    pub xff_trusted_hops: u32,
    /// Leave `x-forwarded-for` as it came.
    pub skip_xff_append: bool,
    /// Written into `via`.
    pub via: Option<HeaderValue>,
    /// A request without `x-request-id` gets one.
    pub generate_request_id: bool,
    /// An `x-request-id` from outside is kept even at the edge.
    pub preserve_external_request_id: bool,
    /// The response carries `x-request-id`.
    pub request_id_in_response: bool,

    /// How paths are made canonical.
    pub path: PathNormalisation,
    /// A port in `host` is ignored and not sent on.
    pub strip_port: bool,
    /// A dot at the end of `host` is removed.
    pub strip_trailing_dot: bool,

    /// Closes a connection that has had no request for this long.
    pub idle_timeout: Option<Duration>,
    /// Ends a request in which nothing moves for this long.
    pub stream_idle_timeout: Option<Duration>,
    /// Time for the whole request to arrive.
    pub request_timeout: Option<Duration>,
    /// Time for the request's head to arrive.
    pub request_headers_timeout: Option<Duration>,
    /// Drains a connection that has lasted this long.
    pub max_connection_duration: Option<Duration>,
    /// Ends a request that has lasted this long.
    pub max_stream_duration: Option<Duration>,
    /// Between the announcement that a connection will close and its close.
    pub drain_timeout: Duration,
    /// Requests on one connection; 0 is any number.
    pub max_requests_per_connection: u32,

    /// Bytes that a request's head may have.
    pub max_head_bytes: usize,
    /// Headers that a request may have.
    pub max_headers: usize,

    /// Protocols that a request may upgrade to, in lower case: `websocket`, `connect`.
    pub upgrades: Vec<Box<str>>,
    /// HTTP/1 knobs.
    pub http1: Http1Options,
    /// HTTP/2 knobs.
    pub http2: Http2Options,
}

impl HttpConnectionManager {
    /// A manager with Envoy's defaults and Istio's server name.
    pub fn new(stat_prefix: impl Into<Arc<str>>, routes: RouteSource) -> Self {
        Self {
            stat_prefix: stat_prefix.into(),
            codec: Codec::Auto,
            routes,
            access_logs: Vec::new(),
            filters: HttpFilters::default(),
            server_name: HeaderValue::from_static("istio-envoy"),
            server_header: ServerHeader::Overwrite,
            forward_client_cert: ForwardClientCert::Sanitize,
            cert_details: CertDetails::default(),
            use_remote_address: false,
            xff_trusted_hops: 0,
            skip_xff_append: false,
            via: None,
            generate_request_id: true,
            preserve_external_request_id: false,
            request_id_in_response: false,
            path: PathNormalisation::default(),
            strip_port: false,
            strip_trailing_dot: false,
            idle_timeout: Some(Duration::from_hours(1)),
            stream_idle_timeout: Some(Duration::from_mins(5)),
            request_timeout: None,
            request_headers_timeout: None,
            max_connection_duration: None,
            max_stream_duration: None,
            drain_timeout: Duration::from_secs(5),
            max_requests_per_connection: 0,
            max_head_bytes: 60 * 1024,
            max_headers: 100,
            upgrades: Vec::new(),
            http1: Http1Options::default(),
            http2: Http2Options::default(),
        }
    }

    /// Whether requests may upgrade to `protocol`, in lower case.
    pub fn allows_upgrade(&self, protocol: &str) -> bool {
        self.upgrades.iter().any(|allowed| &**allowed == protocol)
    }
}
