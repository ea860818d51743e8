//! Requests on the wire.

use std::{
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::Engine as _;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Method, header, request::Parts};
use http_body::Body as _;
use tokio::io::AsyncWrite;

use crate::{request::body::RequestBody, upstream::io::Io};

/// Chunks up to this size are copied behind what waits to be written; larger ones are written from where they are.
const COPY: usize = 8 * 1024;

/// Why sending ended early.
#[derive(Debug)]
pub(super) enum Failed {
    /// The connection doesn't take it.
    Write,
    /// The client's body failed.
    Client,
}

/// A request that is being sent.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// Written first.
    buffer: BytesMut,
    /// Written after the buffer.
    chunk: Bytes,
    /// Written after the chunk.
    tail: &'static [u8],
    body: Option<RequestBody>,
    chunked: bool,
    /// TLS may still hold some of what was written.
    unflushed: bool,
}

impl Sending {
    pub(super) fn new(parts: Parts, body: RequestBody, title_case: bool) -> Self {
        let framing = Framing::of(&parts, &body);
        let mut buffer = BytesMut::with_capacity(1024);
        encode_head(&mut buffer, parts, framing, title_case);
        let more = !matches!(framing, Framing::Nothing | Framing::Zero);
        Self { buffer, body: more.then_some(body), chunked: framing == Framing::Chunked, ..Self::default() }
    }

    /// Whether all has been sent.
    pub(super) fn done(&self) -> bool {
        self.body.is_none() && !self.waits() && !self.unflushed
    }

    fn waits(&self) -> bool {
        !self.buffer.is_empty() || !self.chunk.is_empty() || !self.tail.is_empty()
    }

    pub(super) fn poll(&mut self, io: &mut Io, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        loop {
            // What the body has ready goes into the same write as the head.
            let body = self.poll_body(context)?;
            if self.waits() || self.unflushed {
                ready!(self.poll_write(io, context)).map_err(|_| Failed::Write)?;
            } else if body.is_pending() {
                return Poll::Pending;
            }
            if self.done() {
                self.buffer = BytesMut::new();
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Takes from the body as long as it has something and there is room.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        while let Some(body) = &mut self.body
            && self.chunk.is_empty()
            && self.buffer.len() < 2 * COPY
        {
            match ready!(Pin::new(&mut *body).poll_frame(context)) {
                None => self.end(None),
                Some(Err(_)) => return Poll::Ready(Err(Failed::Client)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let last = body.is_end_stream();
                        self.push(data);
                        if last {
                            self.end(None);
                        }
                    }
                    Err(frame) => self.end(frame.into_trailers().ok()),
                },
            }
        }
        Poll::Ready(Ok(()))
    }

    fn push(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        if self.chunked {
            put_hex(&mut self.buffer, data.len());
            self.buffer.put_slice(b"\r\n");
        }
        let tail: &'static [u8] = if self.chunked { b"\r\n" } else { b"" };
        if data.len() <= COPY {
            self.buffer.put_slice(&data);
            self.buffer.put_slice(tail);
        } else {
            self.chunk = data;
            self.tail = tail;
        }
    }

    fn end(&mut self, trailers: Option<HeaderMap>) {
        self.body = None;
        if !self.chunked {
            return;
        }
        match (trailers, self.chunk.is_empty()) {
            (None, true) => self.buffer.put_slice(b"0\r\n\r\n"),
            (None, false) => self.tail = b"\r\n0\r\n\r\n",
            (Some(trailers), _) => {
                // Trailers come in a frame of their own, when the last chunk has been written or copied.
                debug_assert!(self.chunk.is_empty());
                self.buffer.put_slice(b"0\r\n");
                for (name, value) in &trailers {
                    put_header(&mut self.buffer, name, value.as_bytes(), false);
                }
                self.buffer.put_slice(b"\r\n");
            }
        }
    }

    fn poll_write(&mut self, io: &mut Io, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while self.waits() {
            let count = if self.chunk.is_empty() && self.tail.is_empty() {
                ready!(Pin::new(&mut *io).poll_write(context, &self.buffer))?
            } else {
                let slices = [IoSlice::new(&self.buffer), IoSlice::new(&self.chunk), IoSlice::new(self.tail)];
                ready!(Pin::new(&mut *io).poll_write_vectored(context, &slices))?
            };
            if count == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
            self.unflushed = true;
        }
        if io.needs_flush() {
            ready!(Pin::new(io).poll_flush(context))?;
        }
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut count: usize) {
        let mut part = self.buffer.len().min(count);
        self.buffer.advance(part);
        count -= part;
        part = self.chunk.len().min(count);
        self.chunk.advance(part);
        count -= part;
        self.tail = &self.tail[count..];
    }
}

/// How the end of the body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// No body, and nothing said about it.
    Nothing,
    /// `content-length: 0`.
    Zero,
    /// `content-length`.
    Length(u64),
    /// `transfer-encoding: chunked`.
    Chunked,
}

impl Framing {
    /// From the body itself, never from what headers claim.
    fn of(parts: &Parts, body: &RequestBody) -> Self {
        if parts.method == Method::CONNECT || is_extended_connect(parts) {
            return Self::Nothing;
        }
        match body.size_hint().exact() {
            Some(0) => {
                let expects = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
                let said = parts.headers.contains_key(header::CONTENT_LENGTH);
                if expects || said { Self::Zero } else { Self::Nothing }
            }
            Some(length) => Self::Length(length),
            None if body.is_end_stream() => Self::Nothing,
            None => Self::Chunked,
        }
    }
}

fn is_extended_connect(parts: &Parts) -> bool {
    parts.extensions.get::<hyper::ext::Protocol>().is_some()
}

fn encode_head(buffer: &mut BytesMut, parts: Parts, framing: Framing, title_case: bool) {
    let extended = parts.extensions.get::<hyper::ext::Protocol>();
    let method = if extended.is_some() { &Method::GET } else { &parts.method };
    buffer.put_slice(method.as_str().as_bytes());
    buffer.put_u8(b' ');
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    if *method == Method::CONNECT {
        buffer.put_slice(authority.unwrap_or_default().as_bytes());
    } else {
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        buffer.put_slice(target.as_bytes());
    }
    buffer.put_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = authority {
        put_header(buffer, &header::HOST, authority.as_bytes(), title_case);
    }
    let mut cookies = parts.headers.get_all(header::COOKIE).iter();
    let crumbs = cookies.next().is_some() && cookies.next().is_some();
    for (name, value) in &parts.headers {
        // `host` is in the authority, and framing is told below.
        let ours = *name == header::HOST
            || *name == header::CONTENT_LENGTH
            || *name == header::TRANSFER_ENCODING
            || (crumbs && *name == header::COOKIE);
        if !ours {
            put_header(buffer, name, value.as_bytes(), title_case);
        }
    }
    if crumbs {
        put_cookies(buffer, &parts.headers, title_case);
    }
    if let Some(protocol) = extended {
        put_upgrade(buffer, &parts.headers, protocol.as_str());
    }
    put_framing(buffer, framing, title_case);
    buffer.put_slice(b"\r\n");
}

fn put_framing(buffer: &mut BytesMut, framing: Framing, title_case: bool) {
    let mut digits = [0; 20];
    match framing {
        Framing::Nothing => {}
        Framing::Zero => put_header(buffer, &header::CONTENT_LENGTH, b"0", title_case),
        Framing::Length(length) => {
            put_header(buffer, &header::CONTENT_LENGTH, decimal(length, &mut digits), title_case);
        }
        Framing::Chunked => put_header(buffer, &header::TRANSFER_ENCODING, b"chunked", title_case),
    }
}

/// HTTP/2 splits cookies for its compression; HTTP/1 has them in one header (RFC 9113 8.2.3).
fn put_cookies(buffer: &mut BytesMut, headers: &HeaderMap, title_case: bool) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(|value| value.as_bytes()).collect();
    put_header(buffer, &header::COOKIE, &crumbs.join(&b"; "[..]), title_case);
}

/// An extended `CONNECT` of HTTP/2 is an upgrade in HTTP/1 (RFC 8441).
fn put_upgrade(buffer: &mut BytesMut, headers: &HeaderMap, protocol: &str) {
    put_header(buffer, &header::CONNECTION, b"upgrade", false);
    put_header(buffer, &header::UPGRADE, protocol.as_bytes(), false);
    if protocol == "websocket" && !headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        let key: [u8; 16] = rand::random();
        let key = base64::engine::general_purpose::STANDARD.encode(key);
        put_header(buffer, &header::SEC_WEBSOCKET_KEY, key.as_bytes(), false);
    }
}

fn put_header(buffer: &mut BytesMut, name: &HeaderName, value: &[u8], title_case: bool) {
    let name = name.as_str().as_bytes();
    buffer.reserve(name.len() + value.len() + 4);
    if title_case {
        let mut first = true;
        for byte in name {
            buffer.put_u8(if first { byte.to_ascii_uppercase() } else { *byte });
            first = *byte == b'-';
        }
    } else {
        buffer.put_slice(name);
    }
    buffer.put_slice(b": ");
    buffer.put_slice(value);
    buffer.put_slice(b"\r\n");
}

fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

fn put_hex(buffer: &mut BytesMut, number: usize) {
    let mut shift = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    while shift > 0 {
        shift -= 1;
        buffer.put_u8(b"0123456789abcdef"[(number >> (4 * shift)) & 15]);
    }
}
