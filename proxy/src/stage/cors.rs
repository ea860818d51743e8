//! Cross-origin requests: answers preflights, and marks responses to origins that may.

use http::{HeaderMap, HeaderValue, Method, header};

use crate::{request::head::text, snapshot::route::Cors};

/// What the policy says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not cross-origin, or an origin that isn't known: carry on.
    Indifferent,
    /// An origin that may: mark the response.
    Allowed(HeaderValue),
    /// A preflight: answer 200 with these headers.
    Preflight(HeaderMap),
}

/// Judges a request.
pub fn judge(policy: &Cors, method: &Method, headers: &HeaderMap) -> Verdict {
    let Some(origin) = headers.get(header::ORIGIN).filter(|_| !policy.disabled) else {
        return Verdict::Indifferent;
    };
    let allows = |origin: &str| policy.allow_origins.iter().any(|allowed| allowed.matches(origin));
    // `*` among the origins stands for all of them.
    let known = allows("*") || allows(text(Some(origin)));
    let preflight = method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    match (known, preflight) {
        (true, true) => Verdict::Preflight(preflight_headers(policy, Some(origin))),
        (true, false) => Verdict::Allowed(origin.clone()),
        (false, true) if !policy.forward_unmatched_preflights => {
            Verdict::Preflight(preflight_headers(policy, None))
        }
        (false, _) => Verdict::Indifferent,
    }
}

/// Marks the response to an origin that may.
pub fn mark(policy: &Cors, origin: &HeaderValue, response: &mut HeaderMap) {
    response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if policy.allow_credentials {
        response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    if let Some(exposed) = &policy.expose_headers {
        response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
    }
}

/// What a preflight is told. Without an origin that may it is told about the rest all the same, as Envoy does.
fn preflight_headers(policy: &Cors, origin: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let exposed = if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        &policy.expose_headers
    } else {
        &None
    };
    if policy.allow_credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, &policy.allow_methods),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, &policy.allow_headers),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed),
        (header::ACCESS_CONTROL_MAX_AGE, &policy.max_age),
    ] {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::matcher::StringMatch;

    #[test]
    fn only_known_origins_are_answered_and_marked() {
        let policy = Cors {
            allow_origins: vec![StringMatch::exact("https://good.test", false)],
            allow_methods: Some(HeaderValue::from_static("GET,POST")),
            allow_credentials: true,
            forward_unmatched_preflights: true,
            ..Cors::default()
        };
        let headers = |origin: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
            headers
        };
        let Verdict::Preflight(answer) = judge(&policy, &Method::OPTIONS, &headers("https://good.test"))
        else {
            panic!("a preflight from a known origin is answered")
        };
        assert_eq!(answer[header::ACCESS_CONTROL_ALLOW_METHODS], "GET,POST");
        assert_eq!(judge(&policy, &Method::OPTIONS, &headers("https://bad.test")), Verdict::Indifferent);
        assert!(matches!(judge(&policy, &Method::GET, &headers("https://good.test")), Verdict::Allowed(_)));
        let strict = Cors { forward_unmatched_preflights: false, ..policy };
        let Verdict::Preflight(answer) = judge(&strict, &Method::OPTIONS, &headers("https://bad.test"))
        else {
            panic!("a preflight that is not to be forwarded is answered")
        };
        assert!(!answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        let any = Cors { allow_origins: vec![StringMatch::exact("*", false)], ..strict };
        assert!(matches!(judge(&any, &Method::GET, &headers("https://bad.test")), Verdict::Allowed(_)));
    }
}
