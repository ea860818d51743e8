//! A request's head in one shape, whichever HTTP version it came in.
//!
//! [`Head::of`] takes hyper's request apart and refuses what no upstream should see; [`Head::request`] makes the
//! request for an attempt: an absolute URI and no `host` header, which `upstream` writes as its version wants it.

use http::{
    HeaderMap, Method, Request, Uri, Version,
    header::{self, HeaderName, HeaderValue},
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};

use super::body::RequestBody;
use crate::snapshot::matcher::RequestView;

/// Why a head was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// HTTP/1.1 wants a host.
    #[error("missing_host_header")]
    NoHost,
    /// A host that can't be one.
    #[error("invalid_authority")]
    BadHost,
    /// Two different hosts.
    #[error("multiple_hosts")]
    TwoHosts,
    /// Neither a path nor `*`.
    #[error("missing_path_rejected")]
    NoPath,
}

/// What a request asks for.
#[derive(Debug, Clone)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// `http` or `https`, as the client meant it.
    pub scheme: Scheme,
    /// The host, with a port if the client wrote one.
    pub authority: Authority,
    /// Path and query.
    pub path: PathAndQuery,
    /// The version in which the client spoke.
    pub version: Version,
    /// All other headers; no `host`.
    pub headers: HeaderMap,
    /// The protocol of an extended `CONNECT`.
    pub connect_protocol: Option<hyper::ext::Protocol>,
}

impl Head {
    /// Takes hyper's parts. `tls`: the connection's scheme if the request doesn't name one.
    pub fn of(mut parts: Parts, tls: bool) -> Result<Self, BadHead> {
        let connect_protocol = parts.extensions.remove::<hyper::ext::Protocol>();
        let uri = parts.uri.into_parts();
        let hosts = parts.headers.get_all(header::HOST).iter().count();
        if hosts > 1 {
            return Err(BadHead::TwoHosts);
        }
        let host = if hosts == 1 { parts.headers.remove(header::HOST) } else { None };
        let authority = match (uri.authority, host) {
            // An absolute URI wins over `host`, RFC 9112 3.2.2.
            (Some(authority), _) => authority,
            (None, Some(host)) => Authority::try_from(host.as_bytes()).map_err(|_| BadHead::BadHost)?,
            (None, None) => return Err(BadHead::NoHost),
        };
        if authority.as_str().contains('@') {
            return Err(BadHead::BadHost);
        }
        let path = match uri.path_and_query {
            Some(path) => path,
            None if parts.method == Method::CONNECT => PathAndQuery::from_static("/"),
            None => return Err(BadHead::NoPath),
        };
        let scheme = uri.scheme.unwrap_or(if tls { Scheme::HTTPS } else { Scheme::HTTP });
        Ok(Self {
            method: parts.method,
            scheme,
            authority,
            path,
            version: parts.version,
            headers: parts.headers,
            connect_protocol,
        })
    }

    /// The parts that conditions look at.
    pub fn view(&self) -> RequestView<'_> {
        RequestView {
            method: self.method.as_str(),
            authority: self.authority.as_str(),
            scheme: self.scheme.as_str(),
            path: self.path.path(),
            query: self.path.query(),
            headers: &self.headers,
        }
    }

    /// The request for an attempt.
    pub fn request(&self, body: RequestBody) -> Request<RequestBody> {
        self.clone().into_request(body)
    }

    /// The request for the only attempt.
    pub fn into_request(self, body: RequestBody) -> Request<RequestBody> {
        let mut request = Request::new(body);
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.scheme);
        uri.authority = Some(self.authority);
        uri.path_and_query = Some(self.path);
        // All three parts are there and valid, so this doesn't fail.
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *request.method_mut() = self.method;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers;
        if let Some(protocol) = self.connect_protocol {
            request.extensions_mut().insert(protocol);
        }
        request
    }

    /// A header's value as text; empty if it isn't there or isn't text.
    pub fn header(&self, name: &HeaderName) -> &str {
        text(self.headers.get(name))
    }

    /// The protocol that the client wants to upgrade to, as it wrote it.
    pub fn upgrade(&self) -> Option<&str> {
        let wanted = self.headers.get(header::UPGRADE)?;
        let asked = self.headers.get_all(header::CONNECTION).iter().any(|value| {
            text(Some(value)).split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
        });
        let wanted = text(Some(wanted));
        (asked && !wanted.is_empty() && self.version == Version::HTTP_11).then_some(wanted)
    }

    /// About how many bytes the head has on the wire in HTTP/1.1.
    pub fn size(&self) -> u64 {
        let line = self.method.as_str().len() + self.path.as_str().len() + self.authority.as_str().len() + 20;
        line as u64 + headers_size(&self.headers)
    }
}

/// About how many bytes headers have on the wire in HTTP/1.1.
pub fn headers_size(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64).sum()
}

/// A value as text; empty if it isn't there or isn't text.
pub fn text(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).unwrap_or_default()
}
