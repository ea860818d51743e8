//! A plain HTTP client: no hidden retries, no redirects, one connection at a
//! time or a pool of them, so that what it counts is what the mesh did.

mod connect;
pub mod load;
mod pool;

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use http::{HeaderMap, Method, Request, Response, Uri, header};
use hyper::body::Incoming;
use serde::Serialize;

pub use self::{connect::Route, pool::Pool};
use crate::body::{self, Body, Digest};

/// A request that can be sent any number of times.
#[derive(Clone, Debug)]
pub struct Template {
    /// The method.
    pub method: Method,
    /// The whole address.
    pub uri: Uri,
    /// Headers to send besides `host`.
    pub headers: HeaderMap,
    /// What to send.
    pub payload: Payload,
}

/// A request's body.
#[derive(Clone, Debug)]
pub enum Payload {
    /// None.
    Empty,
    /// Some text.
    Text(String),
    /// So many bytes of the pattern, streamed.
    Pattern(u64),
}

impl Template {
    /// A GET of `uri`.
    pub fn get(uri: &str) -> anyhow::Result<Self> {
        Ok(Self {
            method: Method::GET,
            uri: uri.parse().with_context(|| format!("`{uri}` is not a URL"))?,
            headers: HeaderMap::new(),
            payload: Payload::Empty,
        })
    }

    /// The same with one more header.
    pub fn header(mut self, name: &'static str, value: &str) -> anyhow::Result<Self> {
        self.headers.insert(name, value.parse().with_context(|| format!("header {name}: {value}"))?);
        Ok(self)
    }

    /// The request, for HTTP/2 (absolute) or HTTP/1.1 (path and `host`).
    fn request(&self, http2: bool) -> anyhow::Result<Request<Body>> {
        let authority = self.uri.authority().context("the URL names no host")?;
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = if http2 { self.uri.clone() } else { path.parse()? };
        let mut request = Request::new(match &self.payload {
            Payload::Empty => body::empty(),
            Payload::Text(text) => body::full(text.clone()),
            Payload::Pattern(length) => body::pattern(*length),
        });
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        if let Payload::Pattern(length) = self.payload {
            request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        if !http2 && !self.headers.contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, authority.as_str().parse()?);
        }
        Ok(request)
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The protocol that the answer came by.
    pub protocol: String,
    /// Headers by name; several values are joined with a comma.
    pub headers: BTreeMap<String, String>,
    /// The whole body's digest.
    pub body: Digest,
    /// The body's first 64 KiB: as JSON if it is JSON, as text if it is text, else null.
    pub text: serde_json::Value,
    /// From the call to the body's end.
    pub milliseconds: u64,
}

impl Answer {
    /// The body as text.
    pub fn body_text(&self) -> String {
        self.text.as_str().map_or_else(|| self.text.to_string(), ToOwned::to_owned)
    }

    async fn read(response: Response<Incoming>, started: tokio::time::Instant) -> anyhow::Result<Self> {
        let (parts, incoming) = response.into_parts();
        let (digest, kept) = body::drain(incoming, 64 * 1024).await.context("the body broke off")?;
        let text = serde_json::from_slice(&kept)
            .or_else(|_| String::from_utf8(kept).map(serde_json::Value::String))
            .unwrap_or_default();
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in &parts.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            headers
                .entry(name.to_string())
                .and_modify(|joined| {
                    joined.push_str(", ");
                    joined.push_str(&value);
                })
                .or_insert_with(|| value.into_owned());
        }
        Ok(Self {
            status: parts.status.as_u16(),
            protocol: format!("{:?}", parts.version),
            headers,
            body: digest,
            text,
            milliseconds: started.elapsed().as_millis() as u64,
        })
    }
}

/// Sends one request on a connection of its own and reads the answer.
pub async fn send(template: &Template, route: &Route, timeout: Duration) -> anyhow::Result<Answer> {
    Pool::new(route.clone()).send(template, timeout).await
}
