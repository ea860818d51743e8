//! What became of a request or a connection: the one record that the access log, metrics and traces read.
//!
//! The request path and `tcp` fill it in as they go; `observe` gets it when the last byte has gone.

use std::{borrow::Cow, fmt, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use crate::{
    observe::Peer,
    snapshot::{Cluster, cluster::Endpoint, listener::Direction, route::Route},
    upstream::Link,
};

/// Envoy's response flags, as a set. They are written in the order in which an Envoy comes to set them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal $text:literal;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
            const TEXTS: &[(Self, &'static str)] = &[$((Self::$name, $text)),*];
        }
    };
}

flags! {
    /// A delay was injected.
    DELAY_INJECTED = 9 "DI";
    /// An abort was injected.
    FAULT_INJECTED = 10 "FI";
    /// Local rate limit.
    RATE_LIMITED = 11 "RL";
    /// Refused by external authorization.
    UNAUTHORIZED_EXTERNAL = 12 "UAEX";
    /// All retries were used.
    RETRY_LIMIT = 14 "URX";
    /// A limit of the circuit breaker was reached.
    UPSTREAM_OVERFLOW = 7 "UO";
    /// Failed local health check.
    LOCAL_HEALTH = 0 "LH";
    /// No healthy endpoint.
    NO_HEALTHY_UPSTREAM = 1 "UH";
    /// Timed out waiting for the upstream.
    UPSTREAM_TIMEOUT = 2 "UT";
    /// We reset the stream.
    LOCAL_RESET = 3 "LR";
    /// The upstream reset the stream.
    UPSTREAM_RESET = 4 "UR";
    /// The upstream could not be connected to.
    UPSTREAM_CONNECTION_FAILURE = 5 "UF";
    /// The upstream closed the connection.
    UPSTREAM_CONNECTION_TERMINATION = 6 "UC";
    /// No route.
    NO_ROUTE = 8 "NR";
    /// The client closed the connection.
    DOWNSTREAM_TERMINATION = 13 "DC";
    /// Nothing moved for too long.
    STREAM_IDLE_TIMEOUT = 15 "SI";
    /// The client broke the protocol.
    DOWNSTREAM_PROTOCOL_ERROR = 16 "DPE";
    /// The upstream broke the protocol.
    UPSTREAM_PROTOCOL_ERROR = 17 "UPE";
    /// The request lasted too long.
    DURATION_TIMEOUT = 18 "DT";
    /// The route's cluster doesn't exist.
    NO_CLUSTER = 19 "NC";
    /// The client reset the stream.
    DOWNSTREAM_REMOTE_RESET = 20 "DR";
}

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);

    /// Adds the flags of `other`.
    pub fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether all flags of `other` are set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set as a number, for use as a key.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts = Self::TEXTS.iter().filter(|(flag, _)| self.has(*flag)).map(|(_, text)| text);
        match texts.next() {
            None => out.write_str("-"),
            Some(first) => {
                out.write_str(first)?;
                texts.try_for_each(|text| write!(out, ",{text}"))
            }
        }
    }
}

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
    /// Bytes.
    Tcp,
}

impl Protocol {
    /// As the access log writes it; empty for TCP.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Tcp => "",
        }
    }
}

impl From<http::Version> for Protocol {
    fn from(version: http::Version) -> Self {
        match version {
            http::Version::HTTP_09 | http::Version::HTTP_10 => Self::Http10,
            http::Version::HTTP_2 => Self::Http2,
            _ => Self::Http11,
        }
    }
}

/// The client's side of a connection, the same for all its requests.
#[derive(Debug)]
pub struct Connection {
    /// A number that no other connection of this process has.
    pub id: u64,
    /// Whose traffic the listener takes.
    pub direction: Direction,
    /// The other end.
    pub remote: SocketAddr,
    /// Our end as the client sees it: the original destination where there was one.
    pub local: SocketAddr,
    /// Whether `local` was restored from a redirection.
    pub redirected: bool,
    /// The SNI.
    pub server_name: Option<Arc<str>>,
    /// TLS, if any.
    pub tls: Option<TlsFacts>,
    /// What was agreed on by ALPN with a peer of ours (`trysail-h2`): the requests were HTTP/1.1 to begin with.
    pub carries_http1: bool,
    /// The name of the listener.
    pub listener: Arc<str>,
    /// The name of the filter chain.
    pub chain: Arc<str>,
}

/// What a TLS handshake told us.
#[derive(Debug, Clone, Default)]
pub struct TlsFacts {
    /// The version: `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite.
    pub cipher: &'static str,
    /// What ALPN agreed on, if anything.
    pub alpn: Option<Box<[u8]>>,
    /// The client's certificate, if it showed one that was verified.
    pub peer: Option<Arc<PeerCertificate>>,
    /// Our own SPIFFE identity on this connection.
    pub local_uri: Option<Arc<str>>,
}

/// A client's verified certificate.
#[derive(Debug, Clone, Default)]
pub struct PeerCertificate {
    /// Its first URI name: the SPIFFE identity.
    pub uri: Option<Arc<str>>,
    /// Its DNS names.
    pub dns: Vec<Box<str>>,
    /// Its subject, RFC 2253.
    pub subject: Box<str>,
    /// SHA-256 of its DER in hex.
    pub hash: Box<str>,
    /// Its DER, for `Cert` in `x-forwarded-client-cert`.
    pub der: bytes::Bytes,
}

impl Connection {
    /// The client's SPIFFE identity.
    pub fn peer_uri(&self) -> Option<&Arc<str>> {
        self.tls.as_ref()?.peer.as_ref()?.uri.as_ref()
    }

    /// Whether both ends have shown certificates.
    pub fn mutual_tls(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.peer.is_some())
    }
}

/// The request's head, as far as logs and metrics want it after it has gone.
#[derive(Debug)]
pub struct RequestFacts {
    /// The method.
    pub method: Method,
    /// Path and query as they came.
    pub path: http::uri::PathAndQuery,
    /// The authority as it came.
    pub authority: http::uri::Authority,
    /// gRPC by content type.
    pub grpc: bool,
    /// The headers as they were sent on; kept only where something will read them.
    pub headers: Option<Box<HeaderMap>>,
}

/// What became of a request, or of a TCP connection (`request` is `None` then).
#[derive(Debug)]
pub struct Outcome {
    /// The connection it came by.
    pub connection: Rc<Connection>,
    /// The protocol. HTTP/1.1 requests that a peer carried to us in HTTP/2 count as HTTP/1.1.
    pub protocol: Protocol,
    /// The request's head.
    pub request: Option<RequestFacts>,
    /// The client's address; another than the connection's if a trusted proxy told us.
    pub client: SocketAddr,

    /// The route.
    pub route: Option<Arc<Route>>,
    /// The cluster.
    pub cluster: Option<Arc<Cluster>>,
    /// The endpoint of the last attempt.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Our address towards it.
    pub upstream_local: Option<SocketAddr>,
    /// The connection to it.
    pub link: Option<Rc<Link>>,
    /// The workload at the other end, as its proxy has told.
    pub peer: Option<Rc<Peer>>,
    /// Attempts made.
    pub attempts: u32,
    /// Why the last attempt failed, in the transport's words.
    pub upstream_failure: Option<Cow<'static, str>>,

    /// The response's status. `None`: no response, or TCP.
    pub status: Option<StatusCode>,
    /// gRPC's own status, from header or trailer.
    pub grpc_status: Option<u32>,
    /// The response's headers as they were sent; kept only where something will read them.
    pub response_headers: Option<Box<HeaderMap>>,
    /// Flags.
    pub flags: Flags,
    /// Envoy's response code details: `via_upstream`, `route_not_found`, ...
    pub details: Cow<'static, str>,

    /// When it began.
    pub started: Instant,
    /// From the beginning until the last byte of the request had come.
    pub request_received: Option<Duration>,
    /// From the first byte sent upstream until the response's head came; `x-envoy-upstream-service-time`.
    pub upstream_service_time: Option<Duration>,
    /// From beginning to end. Set when it is over.
    pub duration: Duration,

    /// Bytes of the request's body, or from the client.
    pub bytes_received: u64,
    /// Bytes of the response's body, or to the client.
    pub bytes_sent: u64,
    /// Bytes of the request's head, about.
    pub request_head_bytes: u64,
    /// Bytes of the response's head, about.
    pub response_head_bytes: u64,
    /// gRPC messages in the request, where they are counted.
    pub request_messages: u64,
    /// gRPC messages in the response, where they are counted.
    pub response_messages: u64,
}

impl Outcome {
    /// An outcome of which nothing but the beginning is known.
    pub fn new(connection: Rc<Connection>, protocol: Protocol, started: Instant) -> Self {
        Self {
            client: connection.remote,
            connection,
            protocol,
            request: None,
            route: None,
            cluster: None,
            endpoint: None,
            upstream_local: None,
            link: None,
            peer: None,
            attempts: 0,
            upstream_failure: None,
            status: None,
            grpc_status: None,
            response_headers: None,
            flags: Flags::NONE,
            details: Cow::Borrowed(""),
            started,
            request_received: None,
            upstream_service_time: None,
            duration: Duration::ZERO,
            bytes_received: 0,
            bytes_sent: 0,
            request_head_bytes: 0,
            response_head_bytes: 0,
            request_messages: 0,
            response_messages: 0,
        }
    }

    /// Marks a failure.
    pub fn fail(&mut self, flag: Flags, details: impl Into<Cow<'static, str>>) {
        self.flags.set(flag);
        self.details = details.into();
    }
}
