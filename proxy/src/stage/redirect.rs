//! Where a redirecting route, or a virtual host that wants TLS, sends the client.

use http::{HeaderValue, uri::PathAndQuery};

use super::rewrite;
use crate::{
    request::head::Head,
    snapshot::{
        path::PathMatch,
        route::{Redirect, without_port},
    },
};

/// The `location` of a redirect. `scheme` is the client's, from `x-forwarded-proto`.
pub fn location(redirect: &Redirect, matched: &PathMatch, head: &Head, scheme: &str) -> Option<HeaderValue> {
    let new_scheme = redirect.scheme.as_deref().unwrap_or(scheme);
    let host = redirect.host.as_deref().unwrap_or(head.authority.as_str());
    // The old scheme's own port would be wrong with the new scheme.
    let stale_port = redirect.host.is_none()
        && new_scheme != scheme
        && host.len() != without_port(host).len()
        && matches!((scheme, host.rsplit(':').next()), ("http", Some("80")) | ("https", Some("443")));
    let host = if redirect.port.is_some() || stale_port { without_port(host) } else { host };
    let port = redirect.port.map(|port| format!(":{port}")).unwrap_or_default();
    let path: PathAndQuery = match &redirect.path {
        None => head.path.clone(),
        Some(new) => rewrite::new_path(new, matched, &head.path)?,
    };
    let path = if redirect.strip_query { path.path() } else { path.as_str() };
    HeaderValue::try_from(format!("{new_scheme}://{host}{port}{path}")).ok()
}

/// The `location` of the same request by TLS.
pub fn to_https(head: &Head) -> Option<HeaderValue> {
    let host = without_port(head.authority.as_str());
    HeaderValue::try_from(format!("https://{host}{}", head.path)).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, StatusCode, Version, uri::Scheme};

    use super::*;
    use crate::snapshot::route::PathRewrite;

    #[test]
    fn redirects_change_only_what_they_name() {
        let plain = Redirect {
            status: StatusCode::MOVED_PERMANENTLY,
            scheme: None,
            host: None,
            port: None,
            path: None,
            strip_query: false,
        };
        let https = Redirect { scheme: Some("https".into()), ..plain.clone() };
        let moved = Redirect { host: Some("new.test".into()), ..plain.clone() };
        let path = Redirect { path: Some(PathRewrite::Full("/p".into())), ..plain.clone() };
        let prefix = Redirect { path: Some(PathRewrite::Prefix("/p".into())), ..plain.clone() };
        for (redirect, authority, expected) in [
            (&plain, "a.test:80", "http://a.test:80/x/y?q"),
            (&https, "a.test:80", "https://a.test/x/y?q"),
            (&https, "a.test:8080", "https://a.test:8080/x/y?q"),
            (&Redirect { port: Some(8443), ..https.clone() }, "a.test:8080", "https://a.test:8443/x/y?q"),
            (&moved, "a.test", "http://new.test/x/y?q"),
            (&path, "a.test", "http://a.test/p?q"),
            (&Redirect { strip_query: true, ..path.clone() }, "a.test", "http://a.test/p"),
            (&prefix, "a.test", "http://a.test/p/y?q"),
        ] {
            let head = Head {
                method: Method::GET,
                scheme: Scheme::HTTP,
                authority: authority.parse().unwrap(),
                path: "/x/y?q".parse().unwrap(),
                version: Version::HTTP_11,
                headers: HeaderMap::new(),
                connect_protocol: None,
            };
            let got = location(redirect, &PathMatch::Prefix("/x".into()), &head, "http").unwrap();
            assert_eq!(got, expected);
        }
    }
}
