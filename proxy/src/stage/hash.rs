//! The hash that keeps like requests on one endpoint.
//!
//! The same placement as Envoy's: xxHash64 of the value, several policies combined by rotation.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue, header};
use twox_hash::XxHash64;

use crate::{
    request::head::{Head, text},
    snapshot::route::{HashPolicy, HashSource},
};

/// What the policies made of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hashed {
    /// The hash, if any policy found something.
    pub hash: Option<u64>,
    /// `set-cookie`s for the response.
    pub cookies: Vec<HeaderValue>,
}

/// Applies the policies in order.
pub fn of(policies: &[HashPolicy], head: &Head, client: SocketAddr, local: SocketAddr) -> Hashed {
    let mut hashed = Hashed::default();
    for policy in policies {
        let value = match &policy.source {
            HashSource::Header(name) => header_hash(&head.headers, name),
            HashSource::SourceIp => Some(xx(client.ip().to_string().as_bytes())),
            HashSource::Query(name) => query_value(head.path.query(), name).map(|value| xx(value.as_bytes())),
            HashSource::Cookie { name, path, ttl, attributes } => match cookie(&head.headers, name) {
                Some(value) => Some(xx(value.as_bytes())),
                None => ttl.map(|ttl| {
                    let value = format!("{:016x}", xx(format!("{client}{local}").as_bytes()));
                    let mut text = format!("{name}=\"{value}\"");
                    if !ttl.is_zero() {
                        text.push_str(&format!("; Max-Age={}", ttl.as_secs()));
                    }
                    if let Some(path) = path {
                        text.push_str(&format!("; Path={path}"));
                    }
                    text.push_str(attributes);
                    text.push_str("; HttpOnly");
                    hashed.cookies.extend(HeaderValue::try_from(text));
                    xx(value.as_bytes())
                }),
            },
        };
        if let Some(value) = value {
            hashed.hash = Some(hashed.hash.map_or(value, |before| before.rotate_left(1) ^ value));
        }
        // It ends the list once there is a hash, even if that comes from another policy.
        if policy.terminal && hashed.hash.is_some() {
            break;
        }
    }
    hashed
}

/// The hash of a client's address, for TCP.
pub fn of_address(client: SocketAddr) -> u64 {
    xx(client.ip().to_string().as_bytes())
}

fn xx(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

fn header_hash(headers: &HeaderMap, name: &http::HeaderName) -> Option<u64> {
    let mut values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    match values[..] {
        [] => None,
        [one] => Some(xx(one)),
        // The order of several values doesn't count.
        _ => {
            values.sort_unstable();
            // The hash of one is the seed of the next.
            Some(values.iter().fold(0, |seed, value| XxHash64::oneshot(seed, value)))
        }
    }
}

fn query_value<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get_all(header::COOKIE).iter().find_map(|value| {
        text(Some(value)).split(';').find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then(|| value.trim_matches('"')).filter(|value| !value.is_empty())
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderName, Method, Version, uri::Scheme};

    use super::*;

    fn head(headers: &[(&'static str, &'static str)]) -> Head {
        Head {
            method: Method::GET,
            scheme: Scheme::HTTP,
            authority: "a".parse().unwrap(),
            path: "/p?user=ann".parse().unwrap(),
            version: Version::HTTP_11,
            headers: headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect(),
            connect_protocol: None,
        }
    }

    fn hashed(source: HashSource, head: &Head) -> Hashed {
        let policy = HashPolicy { source, terminal: false };
        of(&[policy], head, "10.0.0.1:5".parse().unwrap(), "10.0.0.2:80".parse().unwrap())
    }

    #[test]
    fn equal_values_hash_alike_wherever_they_stand() {
        let request = head(&[("x-user", "ann"), ("cookie", "a=b; session=ann")]);
        let expected = Some(xx(b"ann"));
        let cookie =
            HashSource::Cookie { name: "session".into(), path: None, ttl: None, attributes: "".into() };
        for source in [
            HashSource::Header(HeaderName::from_static("x-user")),
            HashSource::Query("user".into()),
            cookie.clone(),
        ] {
            assert_eq!(hashed(source, &request).hash, expected);
        }
        assert_eq!(hashed(cookie, &head(&[])), Hashed::default());
    }

    #[test]
    fn several_values_of_a_header_hash_alike_in_any_order() {
        let by_user = |values: [&'static str; 2]| {
            let source = HashSource::Header(HeaderName::from_static("x-user"));
            hashed(source, &head(&values.map(|value| ("x-user", value)))).hash
        };
        assert_eq!(by_user(["ann", "bob"]), Some(XxHash64::oneshot(xx(b"ann"), b"bob")));
        assert_eq!(by_user(["bob", "ann"]), by_user(["ann", "bob"]));
    }

    #[test]
    fn a_terminal_policy_ends_the_list_once_there_is_a_hash() {
        let policy = |source, terminal| HashPolicy { source, terminal };
        let header = |name| HashSource::Header(HeaderName::from_static(name));
        let policies = [
            policy(header("x-user"), false),
            policy(header("x-none"), true),
            policy(HashSource::Query("user".into()), false),
        ];
        let hash = |head: &Head| {
            of(&policies, head, "10.0.0.1:5".parse().unwrap(), "10.0.0.2:80".parse().unwrap()).hash
        };
        assert_eq!(hash(&head(&[("x-user", "bob")])), Some(xx(b"bob")), "the parameter has no part in it");
        assert_eq!(hash(&head(&[])), Some(xx(b"ann")));
    }

    #[test]
    fn a_cookie_is_made_for_a_client_without_one_and_found_again() {
        let cookie = HashSource::Cookie {
            name: "lb".into(),
            path: Some("/".into()),
            ttl: Some(Duration::from_mins(1)),
            attributes: "".into(),
        };
        let first = hashed(cookie.clone(), &head(&[]));
        let set = first.cookies[0].to_str().unwrap();
        assert!(set.ends_with("; Max-Age=60; Path=/; HttpOnly"), "{set}");
        let back: &'static str = set.split(';').next().unwrap().to_owned().leak();
        assert_eq!(hashed(cookie, &head(&[("cookie", back)])).hash, first.hash);
    }
}
