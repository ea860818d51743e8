//! A compiled format, and the lines it makes.
//!
//! Values that clients can choose are escaped: quotes and backslashes get a backslash, control characters are written
//! as `\x0a`. So one request is one line, and a quote ends a field only where the format says so.

use std::{fmt::Write as _, net::SocketAddr};

use serde_json::{Map, Number, Value};

use super::operator::{BadFormat, HeaderKey, Operator, Part, Piece, Source, Whose, parse};
use crate::{
    clock,
    observe::text,
    request::outcome::{Outcome, Protocol},
    snapshot::{cluster::Place, http::LogFormat},
};

/// A compiled format.
#[derive(Debug, Clone)]
pub struct Format(Shape);

#[derive(Debug, Clone)]
enum Shape {
    Text(Vec<Part>),
    Json(Node),
}

/// A JSON value with operators in its texts.
#[derive(Debug, Clone)]
enum Node {
    Fixed(Value),
    Template(Vec<Part>),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Format {
    /// Compiles a format.
    pub fn new(format: &LogFormat) -> Result<Self, BadFormat> {
        Ok(Self(match format {
            LogFormat::Text(text) => Shape::Text(parse(text)?),
            LogFormat::Json(value) => Shape::Json(Node::new(value)?),
        }))
    }

    /// Appends the line for an outcome. A text format brings its own line break.
    pub fn render(&self, outcome: &Outcome, out: &mut Vec<u8>) {
        let mut line = String::with_capacity(512);
        match &self.0 {
            Shape::Text(parts) => {
                for part in parts {
                    match part {
                        Part::Text(text) => line.push_str(text),
                        Part::Operator(operator, limit) => write_text(operator, *limit, outcome, &mut line),
                    }
                }
            }
            Shape::Json(node) => {
                line.push_str(&node.value(outcome).to_string());
                line.push('\n');
            }
        }
        out.extend_from_slice(line.as_bytes());
    }
}

impl Node {
    fn new(value: &Value) -> Result<Self, BadFormat> {
        Ok(match value {
            Value::String(text) => Self::Template(parse(text)?),
            Value::Array(values) => Self::Array(values.iter().map(Self::new).collect::<Result<_, _>>()?),
            Value::Object(fields) => Self::Object(
                fields
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), Self::new(value)?)))
                    .collect::<Result<_, BadFormat>>()?,
            ),
            other => Self::Fixed(other.clone()),
        })
    }

    fn value(&self, outcome: &Outcome) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Array(nodes) => nodes.iter().map(|node| node.value(outcome)).collect(),
            Self::Object(fields) => Value::Object(
                fields.iter().map(|(key, node)| (key.clone(), node.value(outcome))).collect::<Map<_, _>>(),
            ),
            // An operator alone keeps its type: numbers are numbers, what isn't there is null.
            Self::Template(parts) => match &parts[..] {
                [Part::Operator(operator, limit)] => match found(operator, outcome) {
                    Found::Nothing => Value::Null,
                    Found::Number(number) => Value::Number(Number::from(number)),
                    Found::Text(text) => Value::String(cut(&text, *limit).to_owned()),
                },
                parts => Value::String(joined(parts, outcome)),
            },
        }
    }
}

fn joined(parts: &[Part], outcome: &Outcome) -> String {
    let mut line = String::new();
    for part in parts {
        match part {
            Part::Text(text) => line.push_str(text),
            Part::Operator(operator, limit) => match found(operator, outcome) {
                Found::Nothing => line.push('-'),
                Found::Number(number) => line.push_str(&number.to_string()),
                Found::Text(text) => line.push_str(cut(&text, *limit)),
            },
        }
    }
    line
}

/// As it is, without escapes; nothing where it isn't known.
pub(super) fn write_value(operator: &Operator, limit: Option<usize>, outcome: &Outcome, out: &mut String) {
    match found(operator, outcome) {
        Found::Nothing => {}
        Found::Number(number) => {
            let _ = write!(out, "{number}");
        }
        Found::Text(text) => out.push_str(cut(&text, limit)),
    }
}

fn write_text(operator: &Operator, limit: Option<usize>, outcome: &Outcome, line: &mut String) {
    match found(operator, outcome) {
        Found::Nothing => line.push('-'),
        Found::Number(number) => {
            // Writing to a string doesn't fail.
            let _ = write!(line, "{number}");
        }
        Found::Text(text) => escape(cut(&text, limit), line),
    }
}

fn escape(text: &str, line: &mut String) {
    let plain = |byte: u8| byte >= 0x20 && byte != 0x7f && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        return line.push_str(text);
    }
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                line.push('\\');
                line.push(letter);
            }
            letter if letter.is_control() => {
                let _ = write!(line, "\\x{:02x}", u32::from(letter));
            }
            letter => line.push(letter),
        }
    }
}

fn cut(text: &str, limit: Option<usize>) -> &str {
    match limit {
        Some(limit) if text.len() > limit => &text[..text.floor_char_boundary(limit)],
        _ => text,
    }
}

/// What an operator comes to.
enum Found<'a> {
    Nothing,
    Number(u64),
    Text(std::borrow::Cow<'a, str>),
}

impl<'a> From<&'a str> for Found<'a> {
    fn from(text: &'a str) -> Self {
        if text.is_empty() { Self::Nothing } else { Self::Text(text.into()) }
    }
}

impl From<String> for Found<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'a, T: Into<Found<'a>>> From<Option<T>> for Found<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}

fn milliseconds<'a>(duration: Option<std::time::Duration>) -> Found<'a> {
    duration.map_or(Found::Nothing, |duration| Found::Number(duration.as_millis() as u64))
}

fn found<'a>(operator: &'a Operator, outcome: &'a Outcome) -> Found<'a> {
    let request = outcome.request.as_ref();
    match operator {
        Operator::StartTime(format) => {
            let mut text = String::with_capacity(24);
            format.write(clock::wall(outcome.started), &mut text);
            text.into()
        }
        Operator::Header(source, main, other) => match header(*source, main, outcome) {
            Found::Nothing => other.as_ref().map_or(Found::Nothing, |other| header(*source, other, outcome)),
            value => value,
        },
        Operator::PathWithoutQuery => request.map(|request| request.path.path()).into(),
        Operator::Protocol => outcome.protocol.as_str().into(),
        Operator::UpstreamProtocol => outcome
            .link
            .as_ref()
            .map(|link| link.protocol)
            .filter(|_| request.is_some())
            .map(Protocol::as_str)
            .into(),
        // Envoy's code for requests without an answer, and for TCP.
        Operator::ResponseCode => {
            Found::Number(outcome.status.map_or(0, |status| u64::from(status.as_u16())))
        }
        Operator::ResponseCodeDetails if request.is_some() => (&*outcome.details).into(),
        Operator::ConnectionTerminationDetails if request.is_none() => (&*outcome.details).into(),
        Operator::ResponseCodeDetails | Operator::ConnectionTerminationDetails => Found::Nothing,
        Operator::ResponseFlags => outcome.flags.to_string().into(),
        Operator::BytesReceived => Found::Number(outcome.bytes_received),
        Operator::BytesSent => Found::Number(outcome.bytes_sent),
        Operator::RequestHeadBytes => Found::Number(outcome.request_head_bytes),
        Operator::ResponseHeadBytes => Found::Number(outcome.response_head_bytes),
        Operator::Duration => Found::Number(outcome.duration.as_millis() as u64),
        Operator::RequestDuration => milliseconds(outcome.request_received),
        Operator::ResponseDuration => milliseconds(outcome.upstream_service_time),
        Operator::ResponseTxDuration => {
            milliseconds(outcome.upstream_service_time.map(|time| outcome.duration.saturating_sub(time)))
        }
        Operator::Address(whose, piece) => {
            let socket =
                outcome.endpoint.as_ref().filter(|_| *whose == Whose::Upstream).map(|known| known.place());
            match socket {
                Some(Place::Socket(path)) => Some(path.to_string()).into(),
                _ => address_of(*whose, outcome).map(|address| piece.of(address)).into(),
            }
        }
        Operator::UpstreamCluster => {
            outcome.cluster.as_ref().map(|cluster| &**cluster.observed_name()).into()
        }
        Operator::UpstreamClusterRaw => outcome.cluster.as_ref().map(|cluster| &*cluster.name).into(),
        Operator::UpstreamFailure => outcome.upstream_failure.as_deref().into(),
        Operator::Attempts => Found::Number(u64::from(outcome.attempts)),
        Operator::ConnectionId => Found::Number(outcome.connection.id),
        Operator::RouteName => outcome.route.as_ref().map(|route| &*route.name).into(),
        Operator::FilterChain => (&*outcome.connection.chain).into(),
        Operator::GrpcStatus => outcome.grpc_status.map(grpc_name).into(),
        Operator::GrpcStatusNumber => {
            outcome.grpc_status.map_or(Found::Nothing, |status| Found::Number(u64::from(status)))
        }
        Operator::Constant(text) => (&**text).into(),
        Operator::RouteMetadata(key) => {
            let origin = outcome.route.as_ref().and_then(|route| route.origin.as_ref());
            match &**key {
                "config" => origin.map(|origin| &*origin.config).into(),
                "rule" => origin.map(|origin| &*origin.rule).into(),
                _ => Found::Nothing,
            }
        }
        Operator::ClusterMetadata(key) => {
            let origin = outcome.cluster.as_ref().map(|cluster| cluster.origin());
            match &**key {
                "config" => origin.and_then(|origin| origin.config.as_deref()).into(),
                "subset" => origin.and_then(|origin| origin.subset.as_deref()).into(),
                _ => Found::Nothing,
            }
        }
        Operator::Absent => Found::Nothing,
        tls => of_tls(tls, outcome),
    }
}

fn of_tls<'a>(operator: &Operator, outcome: &'a Outcome) -> Found<'a> {
    let connection = &*outcome.connection;
    let tls = connection.tls.as_ref();
    let peer = tls.and_then(|tls| tls.peer.as_deref());
    match operator {
        Operator::ServerName => connection.server_name.as_deref().into(),
        Operator::TlsVersion => tls.map(|tls| tls.version).into(),
        Operator::TlsCipher => tls.map(|tls| tls.cipher).into(),
        Operator::PeerUri => peer.and_then(|peer| peer.uri.as_deref()).into(),
        Operator::LocalUri => tls.and_then(|tls| tls.local_uri.as_deref()).into(),
        Operator::PeerSubject => peer.map(|peer| &*peer.subject).into(),
        Operator::PeerFingerprint => peer.map(|peer| &*peer.hash).into(),
        Operator::UpstreamPeerUri => outcome.link.as_ref().and_then(|link| link.peer.as_deref()).into(),
        _ => Found::Nothing,
    }
}

fn header<'a>(source: Source, key: &HeaderKey, outcome: &'a Outcome) -> Found<'a> {
    let request = outcome.request.as_ref();
    match (source, key) {
        (Source::Request, HeaderKey::Method) => request.map(|request| request.method.as_str()).into(),
        (Source::Request, HeaderKey::Path) => request.map(|request| request.path.as_str()).into(),
        (Source::Request, HeaderKey::Authority) => request.map(|request| request.authority.as_str()).into(),
        (Source::Request, HeaderKey::Scheme) => {
            request.map(|_| if outcome.connection.tls.is_some() { "https" } else { "http" }).into()
        }
        (Source::Request, HeaderKey::Name(name)) => {
            text(request.and_then(|request| request.headers.as_ref()?.get(name))).into()
        }
        (Source::Response, HeaderKey::Status) => {
            outcome.status.map(|status| status.as_u16().to_string()).into()
        }
        (Source::Response, HeaderKey::Name(name)) => {
            text(outcome.response_headers.as_ref().and_then(|headers| headers.get(name))).into()
        }
        _ => Found::Nothing,
    }
}

fn address_of(whose: Whose, outcome: &Outcome) -> Option<SocketAddr> {
    match whose {
        Whose::Client => Some(outcome.client),
        Whose::ClientDirect => Some(outcome.connection.remote),
        Whose::Local => Some(outcome.connection.local),
        Whose::Upstream => outcome.endpoint.as_ref().map(|endpoint| endpoint.address()),
        Whose::UpstreamLocal => outcome.upstream_local,
    }
}

impl Piece {
    fn of(self, address: SocketAddr) -> String {
        match self {
            Self::Whole => address.to_string(),
            Self::WithoutPort => address.ip().to_string(),
            Self::Port => address.port().to_string(),
        }
    }
}

fn grpc_name(status: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    NAMES.get(status as usize).copied().unwrap_or("InvalidCode")
}
