//! Makes a path canonical before it is routed and authorized, so that two spellings of a path meet one rule.

use std::borrow::Cow;

use http::uri::PathAndQuery;

use crate::snapshot::http::{EscapedSlashes, PathNormalisation};

/// What became of a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Normalised {
    /// It was canonical.
    Same,
    /// It is this now.
    Changed(PathAndQuery),
    /// Answer with a redirect to this.
    Redirect(PathAndQuery),
    /// Answer 400.
    Rejected,
}

/// Applies `rules` to the path; the query stays as it is.
pub fn normalise(path: &PathAndQuery, rules: PathNormalisation) -> Normalised {
    if rules == PathNormalisation::default() || is_plain(path.path()) {
        return Normalised::Same;
    }
    let mut now = Cow::Borrowed(path.path());
    let mut redirect = false;
    if rules.escaped_slashes != EscapedSlashes::Keep
        && let Some(unescaped) = unescape_slashes(&now)
    {
        match rules.escaped_slashes {
            EscapedSlashes::Reject => return Normalised::Rejected,
            EscapedSlashes::UnescapeAndRedirect => redirect = true,
            EscapedSlashes::UnescapeAndForward | EscapedSlashes::Keep => {}
        }
        now = Cow::Owned(unescaped);
    }
    if rules.normalise {
        match canonical(&now) {
            Some(canonical) => now = Cow::Owned(canonical),
            None => return Normalised::Rejected,
        }
    }
    if rules.merge_slashes && now.contains("//") {
        now = Cow::Owned(merge_slashes(&now));
    }
    if now == path.path() {
        return Normalised::Same;
    }
    let whole = match path.query() {
        Some(query) => format!("{now}?{query}"),
        None => now.into_owned(),
    };
    match PathAndQuery::try_from(whole) {
        Err(_) => Normalised::Rejected,
        Ok(path) if redirect => Normalised::Redirect(path),
        Ok(path) => Normalised::Changed(path),
    }
}

/// Nothing in the path could be spelt otherwise. Most paths end here.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    path.starts_with('/')
        && !bytes.iter().any(|byte| matches!(byte, b'%' | b'\\'))
        && !bytes.windows(2).any(|pair| matches!(pair, [b'/', b'/' | b'.']))
}

fn unescape_slashes(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let escape = rest.get(at..at + 3).unwrap_or("%");
        out.push_str(match escape.to_ascii_lowercase().as_str() {
            "%2f" => "/",
            "%5c" => "\\",
            _ => escape,
        });
        rest = &rest[at + escape.len()..];
    }
    out.push_str(rest);
    (out != path).then_some(out)
}

/// Dot segments resolved, unreserved characters unescaped, backslashes turned: what browsers do with a path and Envoy
/// does with their code. `None` if the path isn't one.
fn canonical(path: &str) -> Option<String> {
    if !path.starts_with('/') {
        return None;
    }
    let decoded = decode_unreserved(path);
    let mut out: Vec<&str> = Vec::new();
    let mut segments = decoded[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." if last => out.push(""),
            "." => {}
            ".." => {
                out.pop();
                if last {
                    out.push("");
                }
            }
            segment => out.push(segment),
        }
    }
    Some(format!("/{}", out.join("/")))
}

fn decode_unreserved(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len());
    let mut at = 0;
    while at < bytes.len() {
        let decoded = (bytes[at] == b'%')
            .then(|| path.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .flatten()
            .filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'));
        match (decoded, bytes[at]) {
            (Some(byte), _) => {
                out.push(char::from(byte));
                at += 3;
            }
            (None, b'\\') => {
                out.push('/');
                at += 1;
            }
            (None, _) => {
                let next = path[at..].chars().next().map_or(1, char::len_utf8);
                out.push_str(&path[at..at + next]);
                at += next;
            }
        }
    }
    out
}

fn merge_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for char in path.chars() {
        if char != '/' || !out.ends_with('/') {
            out.push(char);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: PathNormalisation =
        PathNormalisation { normalise: true, merge_slashes: false, escaped_slashes: EscapedSlashes::Keep };

    fn path(text: &str) -> PathAndQuery {
        text.parse().unwrap()
    }

    #[test]
    fn paths_become_canonical() {
        let merge = PathNormalisation { merge_slashes: true, ..BASE };
        let decode = PathNormalisation { escaped_slashes: EscapedSlashes::UnescapeAndForward, ..merge };
        for (given, rules, expected) in [
            ("/a/b?q=/../x", BASE, "/a/b?q=/../x"),
            ("/a/../b", BASE, "/b"),
            ("/a/./b/..", BASE, "/a/"),
            ("/../../etc", BASE, "/etc"),
            ("/%61dmin", BASE, "/admin"),
            ("/a/%2e%2e/b", BASE, "/b"),
            ("/a%2Fb", BASE, "/a%2Fb"),
            ("/a//b", BASE, "/a//b"),
            ("/a//b///c", merge, "/a/b/c"),
            ("/a%2f%2Fb", decode, "/a/b"),
            ("/a%2f..%2fb", decode, "/b"),
            ("/a%5cb", decode, "/a/b"),
            ("/a/../b", PathNormalisation::default(), "/a/../b"),
            ("/100%", BASE, "/100%"),
        ] {
            let expected =
                if given == expected { Normalised::Same } else { Normalised::Changed(path(expected)) };
            assert_eq!(normalise(&path(given), rules), expected, "{given} {rules:?}");
        }
    }

    #[test]
    fn escaped_slashes_are_refused_or_redirected_where_asked() {
        let rules = |escaped_slashes| PathNormalisation { escaped_slashes, ..BASE };
        assert_eq!(normalise(&path("/a%2fb"), rules(EscapedSlashes::Reject)), Normalised::Rejected);
        assert_eq!(
            normalise(&path("/a%2fb?x"), rules(EscapedSlashes::UnescapeAndRedirect)),
            Normalised::Redirect(path("/a/b?x"))
        );
    }
}
