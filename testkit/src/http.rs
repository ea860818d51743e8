//! The smallest HTTP client a test needs: one request, one connection, everything read.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;

/// A whole response.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body, as text.
    pub body: String,
}

impl Reply {
    /// A header's value, or the empty string.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// GETs `url` within ten seconds.
///
/// # Errors
/// When no whole response arrives.
pub async fn get(url: &str) -> Result<Reply> {
    get_with(url, &[]).await
}

/// GETs `url` with headers; a `host` header replaces the URL's.
///
/// # Errors
/// When no whole response arrives within ten seconds.
pub async fn get_with(url: &str, headers: &[(&str, &str)]) -> Result<Reply> {
    tokio::time::timeout(Duration::from_secs(10), exchange(url, headers))
        .await
        .with_context(|| format!("GET {url}: no answer in 10 s"))?
        .with_context(|| format!("GET {url}"))
}

async fn exchange(url: &str, headers: &[(&str, &str)]) -> Result<Reply> {
    let uri: http::Uri = url.parse()?;
    let authority = uri.authority().context("the URL has no host")?;
    let address = (authority.host(), authority.port_u16().unwrap_or(80));
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = http::Request::get(uri.path_and_query().map_or("/", |path| path.as_str()));
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", authority.as_str());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Reply {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
