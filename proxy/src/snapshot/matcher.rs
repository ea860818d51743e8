//! Conditions on strings, headers and query parameters, compiled once.
//!
//! The one matcher behind Istio's `StringMatch`, Envoy's `StringMatcher` and `HeaderMatcher`. `config/` builds
//! these values; the route and fault stages ask them.

use std::{ops::Range, sync::Arc};

use ::http::{HeaderMap, HeaderName};
use regex::{Regex, RegexBuilder};

/// The compiled size that one regular expression may have.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// A regular expression was refused.
#[derive(Debug, thiserror::Error)]
#[error("regex {pattern:?}: {source}; use RE2 syntax of moderate size")]
pub struct BadRegex {
    /// The text that was refused.
    pub pattern: String,
    /// What the compiler said.
    #[source]
    pub source: Box<regex::Error>,
}

/// Compiles `pattern` so that it must match the whole text, as Envoy's `safe_regex` does.
pub fn full_match_regex(pattern: &str) -> Result<Regex, BadRegex> {
    compile(&full_match_expression(pattern), pattern)
}

/// What [`full_match_regex`] compiles, for sets of expressions.
pub fn full_match_expression(pattern: &str) -> String {
    format!("^(?:{})$", xds::re2::to_rust(pattern))
}

/// Compiles `pattern` to be found anywhere, for rewrites.
pub fn search_regex(pattern: &str) -> Result<Regex, BadRegex> {
    compile(&xds::re2::to_rust(pattern), pattern)
}

fn compile(expression: &str, pattern: &str) -> Result<Regex, BadRegex> {
    RegexBuilder::new(expression)
        .size_limit(REGEX_SIZE_LIMIT)
        .dfa_size_limit(REGEX_SIZE_LIMIT)
        .build()
        .map_err(|source| BadRegex { pattern: pattern.to_owned(), source: Box::new(source) })
}

/// A condition on one string.
#[derive(Debug, Clone)]
pub struct StringMatch {
    kind: StringMatchKind,
    ignore_case: bool,
}

#[derive(Debug, Clone)]
enum StringMatchKind {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
    Regex(Regex),
}

impl StringMatch {
    /// The whole text.
    pub fn exact(text: &str, ignore_case: bool) -> Self {
        Self { kind: StringMatchKind::Exact(folded(text, ignore_case)), ignore_case }
    }

    /// How the text begins.
    pub fn prefix(text: &str, ignore_case: bool) -> Self {
        Self { kind: StringMatchKind::Prefix(folded(text, ignore_case)), ignore_case }
    }

    /// How the text ends.
    pub fn suffix(text: &str, ignore_case: bool) -> Self {
        Self { kind: StringMatchKind::Suffix(folded(text, ignore_case)), ignore_case }
    }

    /// What the text contains.
    pub fn contains(text: &str, ignore_case: bool) -> Self {
        Self { kind: StringMatchKind::Contains(folded(text, ignore_case)), ignore_case }
    }

    /// A regular expression that the whole text must match. Case is the expression's own affair.
    pub fn regex(pattern: &str) -> Result<Self, BadRegex> {
        Ok(Self { kind: StringMatchKind::Regex(full_match_regex(pattern)?), ignore_case: false })
    }

    /// Whether `text` satisfies the condition.
    pub fn matches(&self, text: &str) -> bool {
        if self.ignore_case {
            return self.matches_ignoring_case(text);
        }
        match &self.kind {
            StringMatchKind::Exact(want) => text == &**want,
            StringMatchKind::Prefix(want) => text.starts_with(&**want),
            StringMatchKind::Suffix(want) => text.ends_with(&**want),
            StringMatchKind::Contains(want) => text.contains(&**want),
            StringMatchKind::Regex(regex) => regex.is_match(text),
        }
    }

    fn matches_ignoring_case(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let same = |range: Option<&[u8]>, want: &str| {
            range.is_some_and(|range| range.eq_ignore_ascii_case(want.as_bytes()))
        };
        match &self.kind {
            StringMatchKind::Exact(want) => same(Some(text), want),
            StringMatchKind::Prefix(want) => same(text.get(..want.len()), want),
            StringMatchKind::Suffix(want) => {
                same(text.len().checked_sub(want.len()).map(|start| &text[start..]), want)
            }
            StringMatchKind::Contains(want) => {
                want.is_empty()
                    || text.windows(want.len()).any(|window| window.eq_ignore_ascii_case(want.as_bytes()))
            }
            StringMatchKind::Regex(regex) => std::str::from_utf8(text).is_ok_and(|text| regex.is_match(text)),
        }
    }
}

fn folded(text: &str, ignore_case: bool) -> Box<str> {
    if ignore_case { text.to_ascii_lowercase().into() } else { text.into() }
}

/// Which part of a request a [`HeaderMatch`] looks at. Envoy treats these as headers, and so does its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderSource {
    /// `:method`.
    Method,
    /// `:authority`, which is also `host`.
    Authority,
    /// `:scheme`.
    Scheme,
    /// `:path`, with the query.
    Path,
    /// A header proper.
    Header(HeaderName),
}

/// What the header's value must be.
#[derive(Debug, Clone)]
pub enum HeaderValueMatch {
    /// The header is there, whatever its value.
    Present,
    /// The header isn't there.
    Absent,
    /// The values, joined by commas, match.
    String(StringMatch),
    /// A number in this range.
    Range(Range<i64>),
}

/// A condition on one header.
#[derive(Debug, Clone)]
pub struct HeaderMatch {
    /// Where the value comes from.
    pub source: HeaderSource,
    /// What it must be.
    pub value: HeaderValueMatch,
    /// Turns the answer round. As in Envoy, an absent header doesn't satisfy an inverted value condition
    /// unless `missing_is_empty`.
    pub invert: bool,
    /// An absent header counts as one with an empty value.
    pub missing_is_empty: bool,
}

/// The parts of a request that conditions look at.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// The method.
    pub method: &'a str,
    /// The authority as the client wrote it.
    pub authority: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The path without the query.
    pub path: &'a str,
    /// The query, without its question mark.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
}

impl HeaderMatch {
    /// Whether the request satisfies the condition.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        let joined;
        let value: Option<&str> = match &self.source {
            HeaderSource::Method => Some(request.method),
            HeaderSource::Authority => Some(request.authority),
            HeaderSource::Scheme => Some(request.scheme),
            HeaderSource::Path => match request.query {
                None => Some(request.path),
                Some(query) => {
                    joined = format!("{}?{query}", request.path);
                    Some(&joined)
                }
            },
            HeaderSource::Header(name) => {
                let mut values = request.headers.get_all(name).iter();
                match (values.next(), values.next()) {
                    (None, _) => None,
                    (Some(one), None) => Some(readable(one)),
                    (Some(first), Some(second)) => {
                        joined = [first, second]
                            .into_iter()
                            .chain(values)
                            .map(readable)
                            .collect::<Vec<_>>()
                            .join(",");
                        Some(&joined)
                    }
                }
            }
        };
        self.value_matches(value)
    }

    fn value_matches(&self, value: Option<&str>) -> bool {
        let found = match (&self.value, value) {
            (HeaderValueMatch::Present, value) => value.is_some() || self.missing_is_empty,
            (HeaderValueMatch::Absent, value) => value.is_none() && !self.missing_is_empty,
            (_, None) if !self.missing_is_empty => return false,
            (HeaderValueMatch::String(want), value) => want.matches(value.unwrap_or_default()),
            (HeaderValueMatch::Range(range), value) => {
                value.and_then(|value| value.parse().ok()).is_some_and(|number| range.contains(&number))
            }
        };
        found != self.invert
    }
}

fn readable(value: &::http::HeaderValue) -> &str {
    // Bytes that aren't text match only `Present`.
    std::str::from_utf8(value.as_bytes()).unwrap_or("\u{fffd}")
}

/// A condition on one query parameter. The first occurrence of the name counts.
#[derive(Debug, Clone)]
pub struct QueryMatch {
    /// The parameter's name.
    pub name: Arc<str>,
    /// What its value must be; `None` when it need only be there.
    pub value: Option<StringMatch>,
}

impl QueryMatch {
    /// Whether the query satisfies the condition. Names and values are compared as they were sent, not decoded,
    /// which is Envoy's rule.
    pub fn matches(&self, query: Option<&str>) -> bool {
        let found = query.unwrap_or_default().split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name == &*self.name && !pair.is_empty()).then_some(value)
        });
        match (&self.value, found) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(want), Some(value)) => want.matches(value),
        }
    }
}
