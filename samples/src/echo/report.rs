//! The HTTP answer: a report of the request, with the status, delay and body
//! that its query asks for: `?status=503&delay=100ms&bytes=1GiB`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::Body,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::{kept::Kept, mood::Mood};
use crate::{
    body::{self, Digest},
    identity::Identity,
    serve::Connection,
    units,
};

/// The name under which a request is kept, see [`super::kept`].
const KEEP: &str = "x-echo-keep";

/// What the echo says that it received.
#[derive(Serialize)]
pub struct Report {
    #[serde(flatten)]
    identity: Identity,
    method: String,
    path: String,
    query: String,
    host: String,
    protocol: String,
    /// By name; several values are joined with a comma, as HTTP allows.
    headers: BTreeMap<String, String>,
    /// The `x-forwarded-client-cert` header: who the mesh says the peer is.
    peer_certificate: Option<String>,
    #[serde(flatten)]
    connection: Option<Connection>,
    body: Digest,
}

/// What a request may ask of its answer.
#[derive(Deserialize)]
pub(super) struct Wish {
    status: Option<u16>,
    delay: Option<String>,
    bytes: Option<String>,
}

pub(super) async fn answer(
    State(identity): State<Arc<Identity>>,
    connection: Option<Extension<Connection>>,
    Extension(kept): Extension<Arc<Kept>>,
    Extension(mood): Extension<Arc<Mood>>,
    Query(wish): Query<Wish>,
    request: Request,
) -> Response {
    let (delay, bytes) = match wishes(&wish) {
        Ok(wishes) => wishes,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let (parts, received) = request.into_parts();
    let usual = mood.status(parts.uri.path());
    // The peer is gone if its body breaks off: nobody is left to answer.
    let Ok((digest, _)) = body::drain(received, 0).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let report = report(&identity, &parts, connection.map(|Extension(known)| known), digest);
    if let Some(Ok(name)) = parts.headers.get(KEEP).map(HeaderValue::to_str) {
        kept.keep(name, serde_json::to_value(&report).unwrap_or_default());
    }
    tokio::time::sleep(delay).await;
    let mut response = match bytes {
        Some(length) => download(length).await,
        None => Json(report).into_response(),
    };
    *response.status_mut() = wish.status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(usual);
    for (name, value) in [("x-echo-pod", &identity.pod), ("x-echo-version", &identity.version)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn wishes(wish: &Wish) -> Result<(Duration, Option<u64>), String> {
    let delay = wish.delay.as_deref().map(units::duration).transpose()?.unwrap_or_default();
    let bytes = wish.bytes.as_deref().map(units::size).transpose()?;
    match wish.status {
        Some(code) if StatusCode::from_u16(code).is_err() => {
            Err(format!("`status={code}` is no HTTP status"))
        }
        _ => Ok((delay, bytes)),
    }
}

async fn download(length: u64) -> Response {
    let digest = body::expected(length).await;
    Response::builder()
        .header("content-type", "application/octet-stream")
        .header("content-length", length)
        .header("x-body-xxh64", digest.xxh64)
        .body(Body::new(body::pattern(length)))
        .unwrap_or_default()
}

fn report(identity: &Identity, parts: &Parts, connection: Option<Connection>, body: Digest) -> Report {
    let headers = by_name(&parts.headers);
    Report {
        identity: identity.clone(),
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        host: parts
            .uri
            .authority()
            .map(ToString::to_string)
            .or_else(|| headers.get("host").cloned())
            .unwrap_or_default(),
        protocol: match parts.version {
            Version::HTTP_2 => "HTTP/2".to_owned(),
            version => format!("{version:?}"),
        },
        peer_certificate: headers.get("x-forwarded-client-cert").cloned(),
        headers,
        connection,
        body,
    }
}

fn by_name(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut named = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        named
            .entry(name.to_string())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert_with(|| value.to_string());
    }
    named
}
