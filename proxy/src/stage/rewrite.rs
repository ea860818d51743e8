//! How a route changes path and authority before a request is sent on.

use http::{
    HeaderName, HeaderValue,
    uri::{Authority, PathAndQuery},
};
use regex::{Captures, Regex};

use crate::{
    request::head::{Head, text},
    snapshot::{
        path::PathMatch,
        route::{Forward, HostRewrite, PathRewrite, Route, Target},
    },
};

const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Applies the rewrites of a route, and of the target it picked.
pub fn apply(route: &Route, forward: &Forward, target: Option<&Target>, head: &mut Head) {
    let tell = forward.append_forwarded_host;
    if let Some(host) = target.and_then(|target| target.host_rewrite.as_deref()) {
        set_authority(head, text(Some(host)), tell);
    }
    // The route's word counts more than that of the target it picked, and only it tells the server the old one.
    if let Some(host) = forward.host_rewrite.as_deref().and_then(|rewrite| new_host(rewrite, head)) {
        rewrite_authority(head, &host, tell);
    }
    if let Some(rewrite) = &forward.rewrite
        && let Some(path) = new_path(rewrite, &route.path.path, &head.path)
    {
        if let Ok(original) = HeaderValue::from_str(head.path.as_str()) {
            head.headers.insert(ORIGINAL_PATH, original);
        }
        head.path = path;
    }
}

/// Gives the request the name of the endpoint that was picked, for [`HostRewrite::Auto`].
pub fn apply_endpoint_name(forward: &Forward, name: Option<&str>, head: &mut Head) {
    if let (Some(HostRewrite::Auto), Some(name)) = (forward.host_rewrite.as_deref(), name) {
        rewrite_authority(head, name, forward.append_forwarded_host);
    }
}

/// Sets the authority, and tells the server the one that was.
fn rewrite_authority(head: &mut Head, host: &str, tell: bool) {
    if let Ok(original) = HeaderValue::from_str(head.authority.as_str()) {
        head.headers.insert(ORIGINAL_HOST, original);
    }
    set_authority(head, host, tell);
}

/// Sets the authority, if `host` can be one.
pub fn set_authority(head: &mut Head, host: &str, tell: bool) {
    let Ok(authority) = Authority::try_from(host) else { return };
    if tell
        && authority != head.authority
        && let Ok(old) = HeaderValue::from_str(head.authority.as_str())
    {
        head.headers.append(FORWARDED_HOST, old);
    }
    head.authority = authority;
}

fn new_host(rewrite: &HostRewrite, head: &Head) -> Option<String> {
    match rewrite {
        HostRewrite::Literal(host) => Some(text(Some(host)).to_owned()),
        HostRewrite::Header(name) => {
            head.headers.get(name).map(|value| text(Some(value)).to_owned()).filter(|host| !host.is_empty())
        }
        HostRewrite::PathRegex(regex, with) => Some(substitute(regex, with, head.path.path())),
        HostRewrite::Auto => None,
    }
}

/// The path after a rewrite, with the query it had. `None` if the result isn't a path.
pub fn new_path(rewrite: &PathRewrite, matched: &PathMatch, path: &PathAndQuery) -> Option<PathAndQuery> {
    let old = path.path();
    let new = match rewrite {
        PathRewrite::Full(new) => new.to_string(),
        PathRewrite::Regex(regex, with) => substitute(regex, with, old),
        PathRewrite::Prefix(new) => {
            let length = match matched {
                PathMatch::Prefix(prefix) | PathMatch::PathSeparatedPrefix(prefix) => prefix.len(),
                PathMatch::Any | PathMatch::Connect => 0,
                PathMatch::Exact(_) | PathMatch::Regex(_) => old.len(),
            };
            let rest = old.get(length..).unwrap_or_default();
            // A Gateway API prefix is whole segments: `/a` -> `/` makes `/a/b` `/b`, not `//b`.
            let whole_segments = matches!(matched, PathMatch::PathSeparatedPrefix(_));
            match (whole_segments, new.strip_suffix('/')) {
                (true, Some(shorter)) if rest.starts_with('/') => format!("{shorter}{rest}"),
                _ => format!("{new}{rest}"),
            }
        }
    };
    let new = if new.starts_with('/') { new } else { format!("/{new}") };
    match path.query() {
        Some(query) if !new.contains('?') => PathAndQuery::try_from(format!("{new}?{query}")),
        _ => PathAndQuery::try_from(new),
    }
    .ok()
}

/// Replaces every match; `\0` to `\9` in `with` are groups, `\\` is a backslash (RE2's syntax).
pub fn substitute(regex: &Regex, with: &str, text: &str) -> String {
    regex
        .replace_all(text, |captures: &Captures<'_>| {
            let mut out = String::with_capacity(with.len());
            let mut chars = with.chars();
            while let Some(char) = chars.next() {
                if char != '\\' {
                    out.push(char);
                    continue;
                }
                match chars.next() {
                    Some(digit) if digit.is_ascii_digit() => {
                        let group = digit.to_digit(10).unwrap_or_default() as usize;
                        out.push_str(captures.get(group).map_or("", |group| group.as_str()));
                    }
                    Some(other) => out.push(other),
                    None => out.push('\\'),
                }
            }
            out
        })
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::matcher::search_regex;

    #[test]
    fn paths_are_rewritten_and_keep_their_query() {
        let prefix = |text: &str| PathMatch::Prefix(text.into());
        let segments = |text: &str| PathMatch::PathSeparatedPrefix(text.into());
        let to = |text: &str| PathRewrite::Prefix(text.into());
        let regex =
            |pattern: &str, with: &str| PathRewrite::Regex(search_regex(pattern).unwrap(), with.into());
        for (rewrite, matched, given, expected) in [
            (to("/"), prefix("/api/"), "/api/v1?q=1", "/v1?q=1"),
            (to("/new"), prefix("/old"), "/old/x", "/new/x"),
            (to("/"), segments("/api"), "/api/v1", "/v1"),
            (to("/"), segments("/api"), "/api", "/"),
            (to("/x"), segments("/api"), "/api/v1", "/x/v1"),
            (to("/all"), PathMatch::Exact("/one".into()), "/one?a", "/all?a"),
            (PathRewrite::Full("/f".into()), prefix("/"), "/a/b?c", "/f?c"),
            (
                regex("^/service/([^/]+)(/.*)$", "\\2/instance/\\1"),
                prefix("/"),
                "/service/foo/v1",
                "/v1/instance/foo",
            ),
            (regex("one", "two"), prefix("/"), "/one/one", "/two/two"),
        ] {
            let got = new_path(&rewrite, &matched, &given.parse().unwrap()).unwrap();
            assert_eq!(got.as_str(), expected, "{rewrite:?} {given}");
        }
    }
}
