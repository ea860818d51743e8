//! Headers that belong to one connection and go no further (RFC 9110 7.6.1), as Envoy treats them.

use http::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Removes a request's. `upgrade`: the request upgrades, and says so to the upstream too.
pub fn clean_request(headers: &mut HeaderMap, upgrade: bool) {
    // Envoy answers `expect` itself; hyper does so when the body is first read.
    headers.remove(header::EXPECT);
    let trailers = headers.get(header::TE).is_some_and(wants_trailers);
    if headers.remove(header::TE).is_some() && trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    headers.remove(HTTP2_SETTINGS);
    clean(headers, upgrade);
}

/// Removes a response's. `upgrade`: the response agrees to an upgrade.
pub fn clean_response(headers: &mut HeaderMap, upgrade: bool) {
    clean(headers, upgrade);
}

fn clean(headers: &mut HeaderMap, upgrade: bool) {
    if let Some(connection) = headers.remove(header::CONNECTION) {
        remove_nominated(headers, &connection);
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(header::TRANSFER_ENCODING);
    if upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(header::UPGRADE);
    }
}

fn remove_nominated(headers: &mut HeaderMap, connection: &HeaderValue) {
    let bytes = connection.as_bytes();
    if bytes.eq_ignore_ascii_case(b"keep-alive") || bytes.eq_ignore_ascii_case(b"close") {
        return;
    }
    for token in bytes.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        // A client can't have us drop what others rely on.
        let ours = token.len() > 1 && (token.starts_with(b"x-forwarded-") || token.starts_with(b"x-envoy-"));
        if ours || token.eq_ignore_ascii_case(b"upgrade") || token.eq_ignore_ascii_case(b"te") {
            continue;
        }
        if let Ok(name) = HeaderName::from_bytes(token) {
            headers.remove(name);
        }
    }
}

fn wants_trailers(value: &HeaderValue) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn connection_headers_stay_on_their_connection() {
        let mut request = headers(&[
            ("connection", "close, x-mine, x-forwarded-for"),
            ("x-mine", "1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("keep-alive", "5"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip, trailers"),
            ("expect", "100-continue"),
            ("accept", "*/*"),
        ]);
        clean_request(&mut request, false);
        assert_eq!(
            request,
            headers(&[("x-forwarded-for", "10.0.0.1"), ("te", "trailers"), ("accept", "*/*")])
        );
    }

    #[test]
    fn an_upgrade_is_asked_for_again() {
        let mut request = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        clean_request(&mut request, true);
        assert_eq!(request, headers(&[("connection", "upgrade"), ("upgrade", "websocket")]));
    }
}
