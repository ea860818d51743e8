//! What a connection speaks, told by its first bytes.
//!
//! The bytes that are read for it are kept and handed on. At most [`LIMIT`] bytes are looked at.

use std::{net::IpAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use rustls::server::{Accepted, Acceptor};
use tokio::{io::AsyncReadExt, net::TcpStream, time::Instant};

use crate::snapshot::listener::{Listener, Network, Transport};

/// Bytes that are read to find out.
pub const LIMIT: usize = 16 * 1024;
/// The rest of HTTP/2's preface must come in this time, once it has begun.
const REST: Duration = Duration::from_secs(15);
/// A client that says nothing on a port for TCP may be waiting for the server to speak first. A peer's ClientHello
/// comes with the connection, so after this long we ask the server. Whoever speaks first then decides.
const SERVER_FIRST: Duration = Duration::from_millis(200);
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What has to be found out before a filter chain can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Questions {
    /// Whether it is TLS, and what its ClientHello says.
    pub tls: bool,
    /// Whether it is HTTP, if it isn't TLS.
    pub http: bool,
    /// How long the client may be silent.
    pub silence: Option<Duration>,
    /// Whether it is served even so.
    pub serve_silent: bool,
}

impl Questions {
    /// What must be asked about a connection to `port`: only what decides between the listener's chains.
    pub fn of(listener: &Listener, port: u16) -> Self {
        let mut asks = Self {
            silence: listener.detection_timeout,
            serve_silent: listener.continue_on_timeout,
            ..Self::default()
        };
        let mut http_in_plaintext = false;
        for chain in listener.chains.candidates(port) {
            let matcher = &chain.matcher;
            let protocols = &matcher.application_protocols;
            asks.tls |= chain.tls.is_some()
                || matcher.transport_protocol.is_some()
                || !matcher.server_names.is_empty()
                || !protocols.is_empty();
            let plaintext = matcher.transport_protocol != Some(Transport::Tls) && chain.tls.is_none();
            asks.http |= plaintext && protocols.iter().any(|name| is_detected_name(name));
            http_in_plaintext |= plaintext && matches!(chain.network, Network::Http(_));
        }
        let inspects = |inspector: &Option<crate::snapshot::listener::Inspector>| {
            inspector.as_ref().is_some_and(|inspector| inspector.applies_to(port))
        };
        let terminates = listener.chains.candidates(port).any(|chain| chain.tls.is_some());
        asks.tls &= inspects(&listener.tls_inspector) || terminates;
        asks.http &= inspects(&listener.http_inspector);
        if asks.tls
            && !asks.http
            && !http_in_plaintext
            && asks.silence.is_none()
            && listener.tls_inspector.is_some()
        {
            asks.silence = Some(SERVER_FIRST);
            asks.serve_silent = true;
        }
        asks
    }

    /// The same questions to a client that is about to say something.
    pub fn patient(self, silence: Duration) -> Self {
        Self { silence: Some(silence), serve_silent: false, ..self }
    }
}

fn is_detected_name(name: &str) -> bool {
    matches!(name, "http/1.0" | "http/1.1" | "h2c")
}

/// What was found out.
pub struct Detected {
    /// TLS or plaintext.
    pub transport: Transport,
    /// ALPN as offered in the ClientHello, or the HTTP version that was recognised.
    pub protocols: Vec<Box<[u8]>>,
    /// The SNI in lower case; empty if there was none.
    pub server_name: String,
    /// The ClientHello, ready to be answered.
    pub hello: Option<Accepted>,
    /// What has been read.
    pub bytes: Bytes,
    /// The client has said nothing so far, though it was asked.
    pub silent: bool,
}

impl Detected {
    /// Nothing was asked.
    pub fn nothing() -> Self {
        Self::plain(BytesMut::new(), Vec::new())
    }

    fn plain(bytes: BytesMut, protocols: Vec<Box<[u8]>>) -> Self {
        Self {
            transport: Transport::RawBuffer,
            protocols,
            server_name: String::new(),
            hello: None,
            bytes: bytes.freeze(),
            silent: false,
        }
    }
}

/// Why a connection was given up.
#[derive(Debug, thiserror::Error)]
pub enum Undetected {
    /// The client closed before it said anything.
    #[error("closed before the first byte")]
    Closed,
    /// The client was silent or slow for too long.
    #[error("listener_filter_timeout")]
    Timeout,
    /// The ClientHello is too large.
    #[error("client_hello_too_large")]
    TooLarge,
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Reads until the questions are answered. A ClientHello or a request line that has begun must end within `rest`.
pub async fn detect(
    stream: &mut TcpStream,
    questions: Questions,
    rest: Duration,
) -> Result<Detected, Undetected> {
    if !questions.tls && !questions.http {
        return Ok(Detected::nothing());
    }
    let mut bytes = BytesMut::with_capacity(2048);
    let mut hello = Acceptor::default();
    let mut deadline = questions.silence.map(|silence| Instant::now() + silence);
    loop {
        let before = bytes.len();
        if before > 0 && bytes.capacity() == before {
            bytes.reserve(LIMIT - before);
        }
        let read = stream.read_buf(&mut bytes);
        let read = match deadline {
            None => read.await?,
            Some(deadline) => match tokio::time::timeout_at(deadline, read).await {
                Ok(read) => read?,
                Err(_) if bytes.is_empty() && questions.serve_silent => {
                    return Ok(Detected { silent: true, ..Detected::plain(bytes, Vec::new()) });
                }
                Err(_) => return Err(Undetected::Timeout),
            },
        };
        if read == 0 {
            return if before == 0 {
                Err(Undetected::Closed)
            } else {
                Ok(Detected::plain(bytes, Vec::new()))
            };
        }
        if before == 0 {
            deadline = Some(Instant::now() + rest);
        }
        if questions.tls && looks_like_tls(&bytes) {
            match read_hello(&mut hello, &bytes[before..]) {
                Hello::Whole(accepted) => return Ok(tls(*accepted, bytes)),
                Hello::NotTls => return Ok(Detected::plain(bytes, Vec::new())),
                Hello::More if bytes.len() >= LIMIT => return Err(Undetected::TooLarge),
                Hello::More => continue,
            }
        }
        if !questions.http {
            return Ok(Detected::plain(bytes, Vec::new()));
        }
        match http(&bytes) {
            Http::More if bytes.len() < LIMIT => {}
            Http::More | Http::No => return Ok(Detected::plain(bytes, Vec::new())),
            Http::Is(protocol) => return Ok(Detected::plain(bytes, vec![protocol.as_bytes().into()])),
        }
    }
}

fn tls(accepted: Accepted, bytes: BytesMut) -> Detected {
    let hello = accepted.client_hello();
    let protocols = hello.alpn().map(|offers| offers.map(Into::into).collect()).unwrap_or_default();
    // An address isn't a name, whatever a client sends.
    let server_name = hello
        .server_name()
        .filter(|name| name.parse::<IpAddr>().is_err())
        .map(str::to_ascii_lowercase)
        .unwrap_or_default();
    Detected {
        transport: Transport::Tls,
        protocols,
        server_name,
        hello: Some(accepted),
        bytes: bytes.freeze(),
        silent: false,
    }
}

/// A TLS record of type handshake.
fn looks_like_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x16] | [0x16, 0x03, ..])
}

enum Hello {
    More,
    NotTls,
    Whole(Box<Accepted>),
}

fn read_hello(acceptor: &mut Acceptor, mut bytes: &[u8]) -> Hello {
    while !bytes.is_empty() {
        if acceptor.read_tls(&mut bytes).is_err() {
            return Hello::NotTls;
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => return Hello::Whole(Box::new(accepted)),
            Err(_) => return Hello::NotTls,
        }
    }
    Hello::More
}

#[derive(Debug, PartialEq, Eq)]
enum Http {
    More,
    No,
    Is(&'static str),
}

/// Looks for HTTP/2's preface, or for the whole request line of HTTP/1.
fn http(bytes: &[u8]) -> Http {
    if bytes.len() >= HTTP2_PREFACE.len() && bytes.starts_with(HTTP2_PREFACE) {
        return Http::Is("h2c");
    }
    if HTTP2_PREFACE.starts_with(bytes) {
        return Http::More;
    }
    let method = bytes.iter().take(32).position(|byte| !is_token(*byte));
    match method {
        None if bytes.len() < 32 => return Http::More,
        Some(end) if end > 0 && bytes[end] == b' ' => {}
        _ => return Http::No,
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Http::More };
    let line = bytes[..end].trim_ascii_end();
    if line.ends_with(b" HTTP/1.1") {
        Http::Is("http/1.1")
    } else if line.ends_with(b" HTTP/1.0") {
        Http::Is("http/1.0")
    } else {
        Http::No
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a stream begins with HTTP/2's preface. Reads no more than it must, and puts it back.
pub async fn begins_with_http2(stream: &mut super::stream::Stream) -> std::io::Result<bool> {
    let mut bytes = BytesMut::with_capacity(1024);
    loop {
        let read = if bytes.is_empty() {
            stream.read_buf(&mut bytes).await?
        } else {
            tokio::time::timeout(REST, stream.read_buf(&mut bytes)).await??
        };
        let undecided = HTTP2_PREFACE.starts_with(&bytes) && bytes.len() < HTTP2_PREFACE.len();
        if read == 0 || !undecided {
            let http2 = bytes.starts_with(HTTP2_PREFACE);
            stream.unread(bytes);
            return Ok(http2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn looking_for_the_preface_loses_nothing_of_a_long_beginning() {
        use crate::listen::stream::Stream;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        for (first, http2) in [("POST / HTTP/1.1\r\n\r\n", false), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true)]
        {
            let beginning = Bytes::from(first.to_owned() + &"x".repeat(5000));
            let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            let mut stream = Stream::plain(server, beginning.clone());
            assert_eq!(begins_with_http2(&mut stream).await.unwrap(), http2);
            let mut again = vec![0; beginning.len()];
            stream.read_exact(&mut again).await.unwrap();
            assert_eq!(again, beginning);
        }
    }

    #[test]
    fn http_is_recognised_by_its_first_line() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], Http::Is("http/1.1")),
            (b"GET / HTTP/1.0\r\n", Http::Is("http/1.0")),
            (b"M-SEARCH * HTTP/1.1\n", Http::Is("http/1.1")),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12", Http::Is("h2c")),
            (b"PRI * HT", Http::More),
            (b"GE", Http::More),
            (b"GET /long", Http::More),
            (b"GET / FTP/1.1\r\n", Http::No),
            (b"\x16\x03\x01", Http::No),
            (b"\x4a\0\0\0\x0a8.0", Http::No),
            (b" GET / HTTP/1.1\r\n", Http::No),
            (b"*1\r\n$4\r\nPING\r\n", Http::No),
            (b"abcdefghijklmnopqrstuvwxyzabcdefghij", Http::No),
        ] {
            assert_eq!(http(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
