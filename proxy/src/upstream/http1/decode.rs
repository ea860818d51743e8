//! Answers from the wire.
//!
//! An answer whose length two parsers could understand in two ways is refused: `transfer-encoding` beside
//! `content-length`, different lengths, encodings other than `chunked`, bad chunk sizes.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header, request::Parts,
};

use super::Trailers;

/// Headers that an answer may have (Envoy's default).
const MAX_HEADERS: usize = 100;
/// Bytes of a chunk's first line, or of all trailers.
const MAX_LINE: usize = 8 * 1024;

/// The endpoint broke the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bad;

/// What was asked, as far as the length of the answer depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    head: bool,
    connect: bool,
}

impl Asked {
    pub(super) fn of(parts: &Parts) -> Self {
        let extended = parts.extensions.get::<hyper::ext::Protocol>().is_some();
        Self { head: parts.method == Method::HEAD, connect: parts.method == Method::CONNECT && !extended }
    }
}

/// An answer's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) body: Body,
    pub(super) keep: bool,
}

/// The answer's head, if all of it is there.
pub(super) fn head(read: &mut BytesMut, asked: Asked) -> Result<Option<Head>, Bad> {
    let mut headers = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, read, &mut headers)
        .map_err(|_| Bad)?;
    let httparse::Status::Complete(length) = status else { return Ok(None) };
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else { return Err(Bad) };
    let start = read.as_ptr() as usize;
    let mut places = [(0_u16, 0_u16, 0_u16, 0_u16); MAX_HEADERS];
    let count = parsed.headers.len();
    for (place, header) in places.iter_mut().zip(parsed.headers.iter()) {
        let (name, value) = (header.name.as_bytes(), header.value);
        let (name_at, value_at) = (name.as_ptr() as usize - start, value.as_ptr() as usize - start);
        *place = (name_at as u16, name.len() as u16, value_at as u16, value.len() as u16);
    }
    if length > usize::from(u16::MAX) {
        return Err(Bad);
    }
    let bytes = read.split_to(length).freeze();
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(code).map_err(|_| Bad)?;
    *response.version_mut() = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    *response.headers_mut() = header_map(&bytes, &places[..count])?;
    let keep = keeps_alive(&response);
    let body = Body::of(&response, asked)?;
    let keep = keep && body != Body::UntilClose;
    Ok(Some(Head { response, body, keep }))
}

fn header_map(bytes: &Bytes, places: &[(u16, u16, u16, u16)]) -> Result<HeaderMap, Bad> {
    let mut map = HeaderMap::with_capacity(places.len() + 4);
    for (name, name_length, value, value_length) in places {
        let range = |at: &u16, length: &u16| usize::from(*at)..usize::from(*at) + usize::from(*length);
        let name = HeaderName::from_bytes(&bytes[range(name, name_length)]).map_err(|_| Bad)?;
        let value =
            HeaderValue::from_maybe_shared(bytes.slice(range(value, value_length))).map_err(|_| Bad)?;
        map.append(name, value);
    }
    Ok(map)
}

fn keeps_alive(response: &Response<()>) -> bool {
    let mut keep = response.version() == Version::HTTP_11;
    for value in response.headers().get_all(header::CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"close") {
                return false;
            }
            keep |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    keep
}

/// What is left of an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunk),
    /// All until the connection closes.
    UntilClose,
}

/// Where in a chunked body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// Before a chunk's size.
    Size,
    /// In a chunk of which so many bytes are left.
    Data(u64),
    /// After a chunk's last byte.
    End,
    /// After the last chunk.
    Trailers,
}

/// What decoding came to.
#[derive(Debug)]
pub(super) enum Step {
    /// A part of the body.
    Data(Bytes),
    /// The end, with these.
    Trailers(Trailers),
    /// The end.
    End,
    /// More must be read first.
    More,
}

impl Body {
    fn of(response: &Response<()>, asked: Asked) -> Result<Self, Bad> {
        let status = response.status();
        let tunnel = asked.connect && status.is_success();
        let never = asked.head
            || tunnel
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let headers = response.headers();
        let length = content_length(headers)?;
        let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
        let encoding = encodings.next();
        if never {
            return Ok(Self::None);
        }
        match (encoding, length) {
            (None, None) => Ok(Self::UntilClose),
            (None, Some(0)) => Ok(Self::None),
            (None, Some(length)) => Ok(Self::Length(length)),
            (Some(_), Some(_)) => Err(Bad),
            (Some(encoding), None) => {
                let chunked = encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
                let only = encodings.next().is_none() && response.version() == Version::HTTP_11;
                if chunked && only { Ok(Self::Chunked(Chunk::Size)) } else { Err(Bad) }
            }
        }
    }

    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Takes the next part of the body from what was read.
    pub(super) fn decode(&mut self, read: &mut BytesMut) -> Result<Step, Bad> {
        match self {
            Self::None => Ok(Step::End),
            _ if read.is_empty() => Ok(Step::More),
            Self::UntilClose => Ok(Step::Data(read.split().freeze())),
            Self::Length(left) => {
                let data = take(read, left);
                if *left == 0 {
                    *self = Self::None;
                }
                Ok(Step::Data(data))
            }
            Self::Chunked(chunk) => {
                let step = chunk.decode(read)?;
                if matches!(step, Step::End | Step::Trailers(_)) {
                    *self = Self::None;
                }
                Ok(step)
            }
        }
    }
}

impl Chunk {
    fn decode(&mut self, read: &mut BytesMut) -> Result<Step, Bad> {
        loop {
            match self {
                Self::Data(left) => {
                    if read.is_empty() {
                        return Ok(Step::More);
                    }
                    let data = take(read, left);
                    if *left == 0 {
                        *self = Self::End;
                        // Eat the line break now, so that the last chunk's end is seen with its data.
                        if read.len() >= 2 {
                            continue_after(self, read)?;
                        }
                    }
                    return Ok(Step::Data(data));
                }
                Self::End => {
                    if read.len() < 2 {
                        return Ok(Step::More);
                    }
                    continue_after(self, read)?;
                }
                Self::Size => {
                    let Some(line) = line_length(read)? else { return Ok(Step::More) };
                    let size = chunk_size(&read[..line])?;
                    read.advance(line + 2);
                    *self = if size == 0 { Self::Trailers } else { Self::Data(size) };
                }
                Self::Trailers => return trailers(read),
            }
        }
    }
}

fn continue_after(chunk: &mut Chunk, read: &mut BytesMut) -> Result<(), Bad> {
    if !read.starts_with(b"\r\n") {
        return Err(Bad);
    }
    read.advance(2);
    *chunk = Chunk::Size;
    Ok(())
}

fn take(read: &mut BytesMut, left: &mut u64) -> Bytes {
    let count = (*left).min(read.len() as u64);
    *left -= count;
    read.split_to(count as usize).freeze()
}

/// The length of the line that is read, without its end. `None`: it isn't all there yet.
fn line_length(read: &BytesMut) -> Result<Option<usize>, Bad> {
    match read.iter().position(|byte| *byte == b'\n') {
        Some(end) if end > 0 && read[end - 1] == b'\r' && end <= MAX_LINE => Ok(Some(end - 1)),
        Some(_) => Err(Bad),
        None if read.len() > MAX_LINE => Err(Bad),
        None => Ok(None),
    }
}

/// Hexadecimal digits, then nothing or an extension that is ignored.
fn chunk_size(line: &[u8]) -> Result<u64, Bad> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let rest = line[digits..].trim_ascii_start();
    if digits == 0 || digits > 15 || !(rest.is_empty() || rest[0] == b';') || line.contains(&b'\r') {
        return Err(Bad);
    }
    let digits = std::str::from_utf8(&line[..digits]).map_err(|_| Bad)?;
    u64::from_str_radix(digits, 16).map_err(|_| Bad)
}

fn trailers(read: &mut BytesMut) -> Result<Step, Bad> {
    if read.starts_with(b"\r\n") {
        read.advance(2);
        return Ok(Step::End);
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let (length, map) = match httparse::parse_headers(read, &mut headers).map_err(|_| Bad)? {
        httparse::Status::Partial if read.len() > MAX_LINE => return Err(Bad),
        httparse::Status::Partial => return Ok(Step::More),
        httparse::Status::Complete((length, headers)) => {
            let mut map = HeaderMap::with_capacity(headers.len());
            for header in headers {
                let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| Bad)?;
                map.append(name, HeaderValue::from_bytes(header.value).map_err(|_| Bad)?);
            }
            (length, map)
        }
    };
    read.advance(length);
    Ok(Step::Trailers(map))
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Bad> {
    let mut found = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        let digits = value.as_bytes();
        if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Bad);
        }
        let length = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        if found.is_some_and(|before| before != length) {
            return Err(Bad);
        }
        found = Some(length);
    }
    Ok(found)
}
