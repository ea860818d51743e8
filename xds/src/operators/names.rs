//! Names of operators, and what each takes.

/// Operators that take no argument and no length, as Envoy 1.40 knows them.
/// <https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#command-operators>
pub const PLAIN: [&str; 115] = [
    "ACCESS_LOG_TYPE",
    "BYTES_RECEIVED",
    "BYTES_RETRANSMITTED",
    "BYTES_SENT",
    "CONNECTION_ID",
    "CONNECTION_TERMINATION_DETAILS",
    "DOWNSTREAM_DETECTED_CLOSE_TYPE",
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS",
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_DIRECT_LOCAL_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_PORT",
    "DOWNSTREAM_HANDSHAKE_DURATION",
    "DOWNSTREAM_HEADER_BYTES_RECEIVED",
    "DOWNSTREAM_HEADER_BYTES_SENT",
    "DOWNSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_LOCAL_DNS_SAN",
    "DOWNSTREAM_LOCAL_EMAIL_SAN",
    "DOWNSTREAM_LOCAL_IP_SAN",
    "DOWNSTREAM_LOCAL_OTHERNAME_SAN",
    "DOWNSTREAM_LOCAL_PORT",
    "DOWNSTREAM_LOCAL_SUBJECT",
    "DOWNSTREAM_LOCAL_URI_SAN",
    "DOWNSTREAM_PEER_CERT",
    "DOWNSTREAM_PEER_CERT_V_END",
    "DOWNSTREAM_PEER_CERT_V_START",
    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1",
    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256",
    "DOWNSTREAM_PEER_CHAIN_SERIALS",
    "DOWNSTREAM_PEER_DNS_SAN",
    "DOWNSTREAM_PEER_EMAIL_SAN",
    "DOWNSTREAM_PEER_FINGERPRINT_1",
    "DOWNSTREAM_PEER_FINGERPRINT_256",
    "DOWNSTREAM_PEER_IP_SAN",
    "DOWNSTREAM_PEER_ISSUER",
    "DOWNSTREAM_PEER_OTHERNAME_SAN",
    "DOWNSTREAM_PEER_SERIAL",
    "DOWNSTREAM_PEER_SUBJECT",
    "DOWNSTREAM_PEER_URI_SAN",
    "DOWNSTREAM_REMOTE_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_REMOTE_PORT",
    "DOWNSTREAM_TLS_CIPHER",
    "DOWNSTREAM_TLS_SESSION_ID",
    "DOWNSTREAM_TLS_VERSION",
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
    "DOWNSTREAM_WIRE_BYTES_RECEIVED",
    "DOWNSTREAM_WIRE_BYTES_SENT",
    "DURATION",
    "EMIT_TIME",
    "EMIT_TIME_LOCAL",
    "FILTER_CHAIN_NAME",
    "GRPC_STATUS_NUMBER",
    "HOSTNAME",
    "PROTOCOL",
    "REQUESTED_SERVER_NAME",
    "REQUEST_DURATION",
    "REQUEST_HEADERS_BYTES",
    "REQUEST_TX_DURATION",
    "RESPONSE_CODE",
    "RESPONSE_CODE_DETAILS",
    "RESPONSE_DURATION",
    "RESPONSE_FLAGS",
    "RESPONSE_FLAGS_LONG",
    "RESPONSE_HEADERS_BYTES",
    "RESPONSE_TRAILERS_BYTES",
    "RESPONSE_TX_DURATION",
    "ROUNDTRIP_DURATION",
    "ROUTE_NAME",
    "START_TIME_LOCAL",
    "STREAM_ID",
    "TLS_JA3_FINGERPRINT",
    "TLS_JA4_FINGERPRINT",
    "TRACE_ID",
    "UNIQUE_ID",
    "UPSTREAM_CLUSTER",
    "UPSTREAM_CLUSTER_RAW",
    "UPSTREAM_CONNECTION_ID",
    "UPSTREAM_CONNECTION_POOL_READY_DURATION",
    "UPSTREAM_DETECTED_CLOSE_TYPE",
    "UPSTREAM_HEADER_BYTES_RECEIVED",
    "UPSTREAM_HEADER_BYTES_SENT",
    "UPSTREAM_HOST",
    "UPSTREAM_HOSTS_ATTEMPTED",
    "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT",
    "UPSTREAM_HOST_NAME",
    "UPSTREAM_HOST_NAME_WITHOUT_PORT",
    "UPSTREAM_LOCAL_ADDRESS",
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_LOCAL_DNS_SAN",
    "UPSTREAM_LOCAL_IP_SAN",
    "UPSTREAM_LOCAL_PORT",
    "UPSTREAM_LOCAL_URI_SAN",
    "UPSTREAM_PEER_CERT",
    "UPSTREAM_PEER_CERT_V_END",
    "UPSTREAM_PEER_CERT_V_START",
    "UPSTREAM_PEER_DNS_SAN",
    "UPSTREAM_PEER_IP_SAN",
    "UPSTREAM_PEER_ISSUER",
    "UPSTREAM_PEER_SUBJECT",
    "UPSTREAM_PEER_URI_SAN",
    "UPSTREAM_PROTOCOL",
    "UPSTREAM_REMOTE_ADDRESS",
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_REMOTE_PORT",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    "UPSTREAM_TLS_CIPHER",
    "UPSTREAM_TLS_SESSION_ID",
    "UPSTREAM_TLS_VERSION",
    "UPSTREAM_TRANSPORT_FAILURE_REASON",
    "UPSTREAM_WIRE_BYTES_RECEIVED",
    "UPSTREAM_WIRE_BYTES_SENT",
    "VIRTUAL_CLUSTER_NAME",
];

/// What an operator with an argument takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// The name of a header, or two: `REQ(name?other)`.
    Headers,
    /// The path, which may be the second of two headers.
    Path,
    /// Whatever it may be.
    Anything,
    /// A key, and perhaps how its value is written.
    State,
    /// Whose metadata, then a path within.
    Metadata,
    /// Nothing, or the format of a date.
    Date,
    /// Nothing, or how a gRPC status is written.
    Status,
}

/// What an operator takes, and whether a length may follow.
pub(super) fn takes(name: &str) -> Option<(Takes, bool)> {
    Some(match name {
        "REQ" | "RESP" | "TRAILER" => (Takes::Headers, true),
        "REQ_WITHOUT_QUERY" => (Takes::Path, true),
        "DYNAMIC_METADATA" | "ENVIRONMENT" => (Takes::Anything, true),
        "CLUSTER_METADATA" | "UPSTREAM_METADATA" => (Takes::Anything, false),
        "FILTER_STATE" | "UPSTREAM_FILTER_STATE" => (Takes::State, true),
        "METADATA" => (Takes::Metadata, true),
        "START_TIME" => (Takes::Date, false),
        "GRPC_STATUS" => (Takes::Status, false),
        _ => return None,
    })
}

/// What is wrong with an argument, if anything.
pub(super) fn fault(takes: Takes, argument: Option<&str>) -> Option<&'static str> {
    let text = argument.unwrap_or_default();
    let (fine, how) = match takes {
        Takes::Headers => {
            (are_headers(text), "it takes the name of a header, or two as in REQ(:path?x-other)")
        }
        Takes::Path => {
            let path = text.rsplit('?').next().is_some_and(|last| last.eq_ignore_ascii_case(":path"));
            (
                path && are_headers(text),
                "it takes :PATH, or a header before it as in X-ENVOY-ORIGINAL-PATH?:PATH",
            )
        }
        Takes::Anything => (!text.is_empty(), "it needs an argument in parentheses"),
        Takes::State => (is_state(text), "it takes a key, then :PLAIN, :TYPED or :FIELD:name if need be"),
        Takes::Metadata => {
            let whose = ["CLUSTER", "DYNAMIC", "LISTENER", "ROUTE", "UPSTREAM_HOST", "VIRTUAL_HOST"];
            let first = text.split(':').next().unwrap_or_default();
            (whose.contains(&first), "it takes whose metadata and a path, as in ROUTE:istio:config")
        }
        Takes::Date => (is_date(text), "the date has a specifier that proxies don't know"),
        Takes::Status => {
            let ways = ["CAMEL_STRING", "SNAKE_STRING", "NUMBER"];
            (argument.is_none() || ways.contains(&text), "it takes CAMEL_STRING, SNAKE_STRING or NUMBER")
        }
    };
    (!fine).then_some(how)
}

fn are_headers(text: &str) -> bool {
    let pseudo = [":authority", ":method", ":path", ":scheme", ":status"];
    let in_token = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    let is_header = |name: &str| {
        pseudo.iter().any(|known| known.eq_ignore_ascii_case(name))
            || (!name.is_empty() && name.chars().all(in_token))
    };
    text.split('?').count() <= 2 && text.split('?').all(is_header)
}

fn is_state(text: &str) -> bool {
    let (key, how) = text.split_once(':').unwrap_or((text, "PLAIN"));
    !key.is_empty()
        && (matches!(how, "PLAIN" | "TYPED") || how.strip_prefix("FIELD:").is_some_and(|f| !f.is_empty()))
}

/// C's `strftime`, with Envoy's `%3f` and `%E3S` for fractions of a second. A line can't be broken.
fn is_date(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let specifier = &rest.as_bytes()[at + 1..];
        let length = match specifier {
            [b'E', b'0'..=b'9', b'S', ..] => 3,
            [b'1'..=b'9', b'f', ..] => 2,
            [letter, ..] if b"YymbhBdejaAHIMSpsfZzFTR%t".contains(letter) => 1,
            _ => return false,
        };
        rest = &rest[at + 1 + length..];
    }
    true
}
