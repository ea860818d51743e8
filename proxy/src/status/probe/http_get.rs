//! HTTP probes, as the kubelet makes them: no certificate is verified, redirects within the pod are followed.

use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, Uri, header};
use serde::Deserialize;

use super::{ProbeError, failed, port};
use crate::status::client::{Limit, get};

/// What the kubelet reads of an answer.
const MAX_BODY: usize = 10 << 10;
const MAX_REDIRECTS: usize = 10;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpGet {
    #[serde(default)]
    path: String,
    pub(super) port: serde_json::Value,
    #[serde(default)]
    scheme: String,
    #[serde(default)]
    http_headers: Vec<Header>,
}

#[derive(Debug, Deserialize)]
struct Header {
    name: String,
    #[serde(default)]
    value: String,
}

impl HttpGet {
    pub(super) async fn run(
        &self,
        destination: IpAddr,
        incoming: &HeaderMap,
    ) -> Result<axum::response::Response, ProbeError> {
        let address = SocketAddr::new(destination, port(&self.port).unwrap_or_default());
        let headers = self.headers(incoming);
        let mut uri = self.uri(address)?;
        for _ in 0..=MAX_REDIRECTS {
            let target = SocketAddr::new(destination, uri.port_u16().unwrap_or(address.port()));
            let response = get(target, &uri, &headers, Limit::Cut(MAX_BODY)).await.map_err(failed)?;
            match next(&uri, &response) {
                Some(Ok(next)) => uri = next,
                // A redirect out of the pod is a success to the kubelet.
                Some(Err(())) | None => return Ok(answer(response)),
            }
        }
        Err(ProbeError::Failed(format!("stopped after {MAX_REDIRECTS} redirects")))
    }

    fn uri(&self, address: SocketAddr) -> Result<Uri, ProbeError> {
        let scheme = if self.scheme.eq_ignore_ascii_case("https") { "https" } else { "http" };
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        format!("{scheme}://{address}{slash}{}", self.path)
            .parse()
            .map_err(|error| ProbeError::Failed(format!("path {:?}: {error}", self.path)))
    }

    /// The kubelet's headers, and over them those that the probe configures.
    fn headers(&self, incoming: &HeaderMap) -> HeaderMap {
        let mut headers = incoming.clone();
        // These were meant for us.
        for name in [
            header::HOST,
            header::CONNECTION,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
        ] {
            headers.remove(name);
        }
        let configured = self.http_headers.iter().filter_map(|one| {
            Some((HeaderName::try_from(&one.name).ok()?, HeaderValue::try_from(&one.value).ok()?))
        });
        let mut seen = Vec::new();
        for (name, value) in configured {
            if seen.contains(&name) {
                headers.append(name, value);
            } else {
                headers.insert(name.clone(), value);
                seen.push(name);
            }
        }
        headers
    }
}

/// Where a redirect leads: within the pod, elsewhere, or nowhere because the answer isn't one.
fn next(uri: &Uri, response: &Response<bytes::Bytes>) -> Option<Result<Uri, ()>> {
    if !response.status().is_redirection() {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let target: Uri = location.parse().ok()?;
    let same_host = target.host().is_none_or(|host| Some(host) == uri.host());
    if !same_host {
        return Some(Err(()));
    }
    let path = target.path_and_query().map_or("/", |path| path.as_str());
    let scheme = target.scheme_str().or(uri.scheme_str()).unwrap_or("http");
    let authority = target.authority().or(uri.authority())?;
    Some(format!("{scheme}://{authority}{path}").parse().map_err(|_| ()))
}

fn answer(response: Response<bytes::Bytes>) -> axum::response::Response {
    let (head, body) = response.into_parts();
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = head.status;
    for name in [header::CONTENT_TYPE, header::LOCATION] {
        if let Some(value) = head.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}
