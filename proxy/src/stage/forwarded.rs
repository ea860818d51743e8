//! Who the client is and how it came: `x-forwarded-for`, `x-forwarded-proto`, `x-request-id`.
//!
//! Follows Envoy's ConnectionManagerUtility: at the edge (`use_remote_address`) the connection tells the truth and
//! what the client claims is put right; elsewhere the headers of the proxy before us are believed.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, uri};

use crate::snapshot::http::HttpConnectionManager;

/// `x-forwarded-for`.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `x-forwarded-proto`.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `x-request-id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `x-envoy-external-address`.
const EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");
/// `x-envoy-internal`.
const INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");
/// What a client at the edge may not tell us.
const FROM_OUTSIDE: [HeaderName; 3] = [
    HeaderName::from_static("x-envoy-decorator-operation"),
    HeaderName::from_static("x-envoy-downstream-service-cluster"),
    HeaderName::from_static("x-envoy-downstream-service-node"),
];
/// What only internal clients may ask of an Envoy, which are none unless their addresses are configured.
const INTERNAL_ONLY: [HeaderName; 14] = [
    HeaderName::from_static("x-envoy-retry-on"),
    HeaderName::from_static("x-envoy-retry-grpc-on"),
    HeaderName::from_static("x-envoy-max-retries"),
    HeaderName::from_static("x-envoy-retriable-status-codes"),
    HeaderName::from_static("x-envoy-expected-rq-timeout-ms"),
    HeaderName::from_static("x-envoy-upstream-rq-timeout-ms"),
    HeaderName::from_static("x-envoy-upstream-rq-per-try-timeout-ms"),
    HeaderName::from_static("x-envoy-upstream-rq-timeout-alt-response"),
    HeaderName::from_static("x-envoy-upstream-alt-stat-name"),
    HeaderName::from_static("x-envoy-retriable-header-names"),
    HeaderName::from_static("x-envoy-hedge-on-per-try-timeout"),
    HeaderName::from_static("x-envoy-original-url"),
    HeaderName::from_static("x-envoy-ip-tags"),
    HeaderName::from_static("x-envoy-force-trace"),
];

/// Puts the forwarding headers right and returns the client's address.
pub fn identify(
    manager: &HttpConnectionManager,
    headers: &mut HeaderMap,
    remote: SocketAddr,
    scheme: &uri::Scheme,
) -> SocketAddr {
    if headers.keys().any(|name| name.as_str().starts_with("x-envoy-")) {
        for name in INTERNAL_ONLY {
            headers.remove(name);
        }
    }
    let client = if manager.use_remote_address {
        edge(manager, headers, remote)
    } else {
        // Without trusted hops the last entry was written by the proxy before us.
        address_from_end(headers, manager.xff_trusted_hops as usize)
            .map_or(remote, |address| SocketAddr::new(address, 0))
    };
    let trusts_proto = manager.use_remote_address && manager.xff_trusted_hops == 0;
    if trusts_proto || !headers.contains_key(FORWARDED_PROTO) {
        let proto = if *scheme == uri::Scheme::HTTPS { "https" } else { "http" };
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
    }
    client
}

fn edge(manager: &HttpConnectionManager, headers: &mut HeaderMap, remote: SocketAddr) -> SocketAddr {
    for name in FROM_OUTSIDE {
        headers.remove(name);
    }
    let client = match manager.xff_trusted_hops as usize {
        0 => remote,
        hops => address_from_end(headers, hops - 1).map_or(remote, |address| SocketAddr::new(address, 0)),
    };
    if !manager.skip_xff_append {
        append_address(headers, remote.ip());
    }
    headers.remove(INTERNAL);
    if let Ok(value) = HeaderValue::try_from(client.ip().to_string()) {
        headers.insert(EXTERNAL_ADDRESS, value);
    }
    client
}

/// The address that is `back` entries from the end of `x-forwarded-for`.
fn address_from_end(headers: &HeaderMap, back: usize) -> Option<IpAddr> {
    let mut left = back;
    let mut values: Vec<&HeaderValue> = headers.get_all(FORWARDED_FOR).iter().collect();
    while let Some(value) = values.pop() {
        for entry in value.to_str().ok()?.rsplit(',') {
            if left == 0 {
                return entry.trim().parse().ok();
            }
            left -= 1;
        }
    }
    None
}

/// Adds a hop to `x-forwarded-for`.
pub(super) fn append_address(headers: &mut HeaderMap, address: IpAddr) {
    let mut all = String::new();
    for value in headers.get_all(FORWARDED_FOR) {
        all.push_str(value.to_str().unwrap_or_default());
        all.push(',');
    }
    all.push_str(&address.to_string());
    if let Ok(value) = HeaderValue::try_from(all) {
        headers.insert(FORWARDED_FOR, value);
    }
}

/// Gives the request an id if it has none, or if it came from outside and ids from there don't count.
pub fn request_id(manager: &HttpConnectionManager, headers: &mut HeaderMap, random: impl FnOnce() -> u128) {
    if !manager.generate_request_id {
        return;
    }
    let replace = manager.use_remote_address && !manager.preserve_external_request_id;
    if replace || !headers.contains_key(REQUEST_ID) {
        headers.insert(REQUEST_ID, uuid_value(random()));
    }
}

fn uuid_value(random: u128) -> HeaderValue {
    let mut buffer = uuid::Uuid::encode_buffer();
    let id = uuid::Builder::from_random_bytes(random.to_ne_bytes()).into_uuid();
    let text: &str = id.hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::http::RouteSource;

    fn manager(edge: bool, hops: u32) -> HttpConnectionManager {
        HttpConnectionManager {
            use_remote_address: edge,
            xff_trusted_hops: hops,
            ..HttpConnectionManager::new("test", RouteSource::Named("r".into()))
        }
    }

    #[test]
    fn the_client_is_who_the_trusted_proxies_say() {
        for (edge, hops, given, client, sent) in [
            (true, 0, None, "10.1.1.1:9", Some("10.1.1.1")),
            (true, 0, Some("6.6.6.6"), "10.1.1.1:9", Some("6.6.6.6,10.1.1.1")),
            (true, 1, Some("6.6.6.6, 7.7.7.7"), "7.7.7.7:0", Some("6.6.6.6, 7.7.7.7,10.1.1.1")),
            (false, 0, Some("6.6.6.6, 7.7.7.7"), "7.7.7.7:0", Some("6.6.6.6, 7.7.7.7")),
            (false, 1, Some("6.6.6.6, 7.7.7.7"), "6.6.6.6:0", Some("6.6.6.6, 7.7.7.7")),
            (false, 0, Some("nonsense"), "10.1.1.1:9", Some("nonsense")),
            (false, 0, None, "10.1.1.1:9", None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(FORWARDED_FOR, HeaderValue::from_static(given));
            }
            let manager = manager(edge, hops);
            let got = identify(&manager, &mut headers, "10.1.1.1:9".parse().unwrap(), &uri::Scheme::HTTP);
            assert_eq!(got.to_string(), client, "{edge} {hops} {given:?}");
            assert_eq!(headers.get(FORWARDED_FOR).map(|value| value.to_str().unwrap()), sent);
            assert_eq!(headers[FORWARDED_PROTO], "http");
        }
    }

    #[test]
    fn nobody_asks_an_envoy_for_timeouts_and_retries() {
        for edge in [true, false] {
            let mut headers = HeaderMap::new();
            for name in ["x-envoy-retry-on", "x-envoy-upstream-rq-timeout-ms", "x-envoy-attempt-count"] {
                headers.insert(name, HeaderValue::from_static("1"));
            }
            identify(&manager(edge, 0), &mut headers, "10.1.1.1:9".parse().unwrap(), &uri::Scheme::HTTP);
            let left: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("x-envoy-r")).collect();
            assert_eq!(left, Vec::<&HeaderName>::new());
            assert!(!headers.contains_key("x-envoy-upstream-rq-timeout-ms"));
            assert!(headers.contains_key("x-envoy-attempt-count"));
        }
    }

    #[test]
    fn request_ids_are_kept_inside_and_made_at_the_edge() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("mine"));
        request_id(&manager(false, 0), &mut headers, || 7);
        assert_eq!(headers[REQUEST_ID], "mine");
        request_id(&manager(true, 0), &mut headers, || 7);
        assert_eq!(headers[REQUEST_ID].len(), 36);
    }
}
