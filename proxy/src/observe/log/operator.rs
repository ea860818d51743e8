//! Envoy's command operators: `%NAME(ARGUMENT):LENGTH%`.

use std::sync::Arc;

use http::HeaderName;
use xds::operators::end_of;

use super::time::TimeFormat;

/// A format was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFormat {
    /// A `%` that neither doubles nor closes.
    #[error("access log format {0:?} has a lone %; write %% for a percent sign")]
    Unclosed(String),
    /// An operator that we don't know.
    #[error("access log format: operator %{0}% is not supported; remove it")]
    Unknown(String),
}

/// A piece of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Text as it stands.
    Text(Box<str>),
    /// Filled in. At most so many bytes of it.
    Operator(Operator, Option<usize>),
}

/// What is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operator {
    StartTime(TimeFormat),
    Header(Source, HeaderKey, Option<HeaderKey>),
    PathWithoutQuery,
    Protocol,
    UpstreamProtocol,
    ResponseCode,
    ResponseCodeDetails,
    ConnectionTerminationDetails,
    ResponseFlags,
    BytesReceived,
    BytesSent,
    RequestHeadBytes,
    ResponseHeadBytes,
    Duration,
    RequestDuration,
    ResponseDuration,
    ResponseTxDuration,
    Address(Whose, Piece),
    UpstreamCluster,
    UpstreamClusterRaw,
    UpstreamFailure,
    Attempts,
    ConnectionId,
    ServerName,
    TlsVersion,
    TlsCipher,
    PeerUri,
    LocalUri,
    PeerSubject,
    PeerFingerprint,
    UpstreamPeerUri,
    RouteName,
    FilterChain,
    GrpcStatus,
    GrpcStatusNumber,
    Constant(Arc<str>),
    RouteMetadata(Box<str>),
    ClusterMetadata(Box<str>),
    /// Never there in this proxy.
    Absent,
}

/// Which headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Request,
    Response,
}

/// A header or pseudo header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeaderKey {
    Method,
    Path,
    Authority,
    Scheme,
    Status,
    Name(HeaderName),
}

/// Whose address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The client's, as forwarding headers tell.
    Client,
    /// The other end of the client's connection.
    ClientDirect,
    /// Our end of it.
    Local,
    /// The endpoint's.
    Upstream,
    /// Our end towards it.
    UpstreamLocal,
}

/// How much of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Whole,
    WithoutPort,
    Port,
}

/// Takes a format apart.
pub(super) fn parse(text: &str) -> Result<Vec<Part>, BadFormat> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let end = end_of(rest).ok_or_else(|| BadFormat::Unclosed(text.to_owned()))?;
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal).into()));
        }
        let (operator, limit) = operator(&rest[..end])?;
        parts.push(Part::Operator(operator, limit));
        rest = &rest[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Text(literal.into()));
    }
    Ok(parts)
}

pub(super) fn operator(text: &str) -> Result<(Operator, Option<usize>), BadFormat> {
    let unknown = || BadFormat::Unknown(text.to_owned());
    let (name, argument, limit) = match text.split_once('(') {
        None => match text.split_once(':') {
            None => (text, None, None),
            Some((name, limit)) => (name, None, Some(limit.parse().map_err(|_| unknown())?)),
        },
        Some((name, rest)) => {
            let (argument, tail) = rest.rsplit_once(')').ok_or_else(unknown)?;
            let limit = match tail.strip_prefix(':') {
                None if tail.is_empty() => None,
                None => return Err(unknown()),
                Some(limit) => Some(limit.parse().map_err(|_| unknown())?),
            };
            (name, Some(argument), limit)
        }
    };
    let operator = match argument {
        None => plain(name),
        Some(argument) => with_argument(name, argument),
    };
    Ok((operator.ok_or_else(unknown)?, limit))
}

fn plain(name: &str) -> Option<Operator> {
    if let Some(address) = address(name) {
        return Some(address);
    }
    Some(match name {
        "START_TIME" => Operator::StartTime(TimeFormat::default()),
        "PROTOCOL" => Operator::Protocol,
        "UPSTREAM_PROTOCOL" => Operator::UpstreamProtocol,
        "RESPONSE_CODE" => Operator::ResponseCode,
        "RESPONSE_CODE_DETAILS" => Operator::ResponseCodeDetails,
        "CONNECTION_TERMINATION_DETAILS" => Operator::ConnectionTerminationDetails,
        "RESPONSE_FLAGS" => Operator::ResponseFlags,
        "BYTES_RECEIVED" => Operator::BytesReceived,
        "BYTES_SENT" => Operator::BytesSent,
        "REQUEST_HEADERS_BYTES" | "DOWNSTREAM_HEADER_BYTES_RECEIVED" => Operator::RequestHeadBytes,
        "RESPONSE_HEADERS_BYTES" | "DOWNSTREAM_HEADER_BYTES_SENT" => Operator::ResponseHeadBytes,
        "DURATION" => Operator::Duration,
        "REQUEST_DURATION" => Operator::RequestDuration,
        "RESPONSE_DURATION" => Operator::ResponseDuration,
        "RESPONSE_TX_DURATION" => Operator::ResponseTxDuration,
        "UPSTREAM_CLUSTER" => Operator::UpstreamCluster,
        "UPSTREAM_CLUSTER_RAW" => Operator::UpstreamClusterRaw,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => Operator::UpstreamFailure,
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => Operator::Attempts,
        "CONNECTION_ID" => Operator::ConnectionId,
        "REQUESTED_SERVER_NAME" => Operator::ServerName,
        "DOWNSTREAM_TLS_VERSION" => Operator::TlsVersion,
        "DOWNSTREAM_TLS_CIPHER" => Operator::TlsCipher,
        "DOWNSTREAM_PEER_URI_SAN" => Operator::PeerUri,
        "DOWNSTREAM_LOCAL_URI_SAN" => Operator::LocalUri,
        "DOWNSTREAM_PEER_SUBJECT" => Operator::PeerSubject,
        "DOWNSTREAM_PEER_FINGERPRINT_256" => Operator::PeerFingerprint,
        "UPSTREAM_PEER_URI_SAN" => Operator::UpstreamPeerUri,
        "ROUTE_NAME" => Operator::RouteName,
        "FILTER_CHAIN_NAME" => Operator::FilterChain,
        "GRPC_STATUS" => Operator::GrpcStatus,
        "GRPC_STATUS_NUMBER" => Operator::GrpcStatusNumber,
        "HOSTNAME" => Operator::Constant(std::env::var("HOSTNAME").unwrap_or_default().into()),
        "VIRTUAL_CLUSTER_NAME"
        | "DOWNSTREAM_TRANSPORT_FAILURE_REASON"
        | "DOWNSTREAM_TLS_SESSION_ID"
        | "TRACE_ID"
        | "UNIQUE_ID"
        | "STREAM_ID"
        | "DOWNSTREAM_LOCAL_SUBJECT"
        | "DOWNSTREAM_PEER_ISSUER"
        | "DOWNSTREAM_PEER_SERIAL"
        | "UPSTREAM_TLS_VERSION"
        | "UPSTREAM_TLS_CIPHER"
        | "REQUEST_TX_DURATION"
        | "ROUNDTRIP_DURATION"
        | "DOWNSTREAM_PEER_CERT" => Operator::Absent,
        name if xds::operators::is_known(name) => Operator::Absent,
        _ => return None,
    })
}

fn address(name: &str) -> Option<Operator> {
    let (whose, piece) = [("_WITHOUT_PORT", Piece::WithoutPort), ("_PORT", Piece::Port), ("", Piece::Whole)]
        .into_iter()
        .find_map(|(ending, piece)| {
            let whose = match (name.strip_suffix(ending)?, piece) {
                ("DOWNSTREAM_REMOTE_ADDRESS", Piece::Whole | Piece::WithoutPort)
                | ("DOWNSTREAM_REMOTE", Piece::Port) => Whose::Client,
                ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", Piece::Whole | Piece::WithoutPort)
                | ("DOWNSTREAM_DIRECT_REMOTE", Piece::Port) => Whose::ClientDirect,
                ("DOWNSTREAM_LOCAL_ADDRESS", Piece::Whole | Piece::WithoutPort)
                | ("DOWNSTREAM_LOCAL", Piece::Port) => Whose::Local,
                ("UPSTREAM_HOST", Piece::Whole)
                | ("UPSTREAM_REMOTE_ADDRESS", Piece::Whole | Piece::WithoutPort)
                | ("UPSTREAM_REMOTE", Piece::Port) => Whose::Upstream,
                ("UPSTREAM_LOCAL_ADDRESS", Piece::Whole | Piece::WithoutPort)
                | ("UPSTREAM_LOCAL", Piece::Port) => Whose::UpstreamLocal,
                _ => return None,
            };
            Some((whose, piece))
        })?;
    Some(Operator::Address(whose, piece))
}

fn with_argument(name: &str, argument: &str) -> Option<Operator> {
    Some(match name {
        "START_TIME" => Operator::StartTime(TimeFormat::parse(argument)?),
        "REQ" | "RESP" => {
            let source = if name == "REQ" { Source::Request } else { Source::Response };
            let (main, other) = match argument.split_once('?') {
                None => (argument, None),
                Some((main, other)) => (main, Some(header(other)?)),
            };
            Operator::Header(source, header(main)?, other)
        }
        "REQ_WITHOUT_QUERY" => match argument.split_once('?').map_or(argument, |(_, other)| other) {
            path if path.eq_ignore_ascii_case(":path") => Operator::PathWithoutQuery,
            _ => return None,
        },
        "ENVIRONMENT" => {
            let name = argument.split_once(':').map_or(argument, |(name, _)| name);
            Operator::Constant(std::env::var(name).unwrap_or_default().into())
        }
        "GRPC_STATUS" => match argument {
            "NUMBER" => Operator::GrpcStatusNumber,
            _ => Operator::GrpcStatus,
        },
        "METADATA" => metadata(argument)?,
        // the older way to say it
        "CLUSTER_METADATA" => metadata(&format!("CLUSTER:{argument}"))?,
        "TRAILER" | "DYNAMIC_METADATA" | "UPSTREAM_METADATA" | "FILTER_STATE" | "UPSTREAM_FILTER_STATE" => {
            Operator::Absent
        }
        _ => return None,
    })
}

/// `ROUTE:istio:config`, `CLUSTER:istio:config`: which object decided. Other metadata isn't kept.
fn metadata(argument: &str) -> Option<Operator> {
    let mut words = argument.split(':');
    Some(match (words.next()?, words.next(), words.next()) {
        ("ROUTE", Some("istio"), Some(key)) => Operator::RouteMetadata(key.into()),
        ("CLUSTER", Some("istio"), Some(key)) => Operator::ClusterMetadata(key.into()),
        ("ROUTE" | "CLUSTER" | "DYNAMIC" | "LISTENER" | "UPSTREAM_HOST" | "VIRTUAL_HOST", _, _) => {
            Operator::Absent
        }
        _ => return None,
    })
}

fn header(name: &str) -> Option<HeaderKey> {
    Some(match name.to_ascii_lowercase().as_str() {
        ":method" => HeaderKey::Method,
        ":path" => HeaderKey::Path,
        ":authority" | "host" => HeaderKey::Authority,
        ":scheme" => HeaderKey::Scheme,
        ":status" => HeaderKey::Status,
        name => HeaderKey::Name(HeaderName::from_bytes(name.as_bytes()).ok()?),
    })
}
