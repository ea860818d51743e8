//! Conditions on requests.

use std::collections::BTreeMap;

use crds::networking::{HttpMatchRequest, StringMatch};

use super::{claims, everything};
use crate::proto::{boolean, matcher, regex, route, string_matcher};
use matcher::string_matcher::MatchPattern;
use route::header_matcher::HeaderMatchSpecifier;
use route::query_parameter_matcher::QueryParameterMatchSpecifier;
use route::route_match::PathSpecifier;

/// Translates the conditions of one match; none match everything.
pub(super) fn conditions(request: Option<&HttpMatchRequest>) -> route::RouteMatch {
    let Some(request) = request else { return everything() };
    let (with, of_token) = apart(&request.headers);
    let (missing, not_of_token) = apart(&request.without_headers);
    let mut headers: Vec<route::HeaderMatcher> =
        with.iter().map(|(name, value)| header(name, Some(value))).collect();
    headers.extend(missing.iter().map(|(name, value)| without(name, value)));
    headers.sort_by(|a, b| a.name.cmp(&b.name));
    let pseudo =
        [(":method", &request.method), (":authority", &request.authority), (":scheme", &request.scheme)];
    headers.extend(
        pseudo.iter().filter_map(|(name, value)| value.as_ref().map(|value| header(name, Some(value)))),
    );
    route::RouteMatch {
        path_specifier: Some(path(request.uri.as_ref())),
        case_sensitive: boolean(request.ignore_uri_case != Some(true)),
        headers,
        query_parameters: request.query_params.iter().map(|(name, value)| parameter(name, value)).collect(),
        dynamic_metadata: of_token
            .iter()
            .map(|(claim, value)| claims::condition(claim, value, false))
            .chain(not_of_token.iter().map(|(claim, value)| claims::condition(claim, value, true)))
            .collect(),
        ..Default::default()
    }
}

type Named<'a> = Vec<(&'a str, &'a StringMatch)>;

/// Conditions on headers, and those on the claims of a token, which are written as headers.
fn apart(written: &BTreeMap<String, StringMatch>) -> (Named<'_>, Named<'_>) {
    let named = written.iter().map(|(name, value)| (name.as_str(), value));
    let (claims, headers): (Named<'_>, Named<'_>) = named.partition(|(name, _)| claims::path(name).is_some());
    (headers, claims)
}

fn path(uri: Option<&StringMatch>) -> PathSpecifier {
    match uri.and_then(pattern) {
        None => PathSpecifier::Prefix("/".to_owned()),
        Some(MatchPattern::Exact(path)) => PathSpecifier::Path(path),
        Some(MatchPattern::SafeRegex(pattern)) => PathSpecifier::SafeRegex(pattern),
        Some(MatchPattern::Prefix(prefix)) => PathSpecifier::Prefix(prefix),
        Some(_) => PathSpecifier::Prefix("/".to_owned()),
    }
}

/// The pattern of a string match; none if it only asks for presence. The regex `*`, which is none, means presence.
pub(super) fn pattern(written: &StringMatch) -> Option<MatchPattern> {
    if let Some(exact) = &written.exact {
        return Some(MatchPattern::Exact(exact.clone()));
    }
    if let Some(prefix) = &written.prefix {
        return Some(MatchPattern::Prefix(prefix.clone()));
    }
    let pattern = written.regex.as_deref().filter(|pattern| *pattern != "*")?;
    Some(MatchPattern::SafeRegex(regex(pattern)))
}

fn header(name: &str, value: Option<&StringMatch>) -> route::HeaderMatcher {
    let specifier = match value.and_then(pattern) {
        None => HeaderMatchSpecifier::PresentMatch(true),
        Some(pattern) => HeaderMatchSpecifier::StringMatch(string_matcher(pattern)),
    };
    route::HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(specifier),
        ..Default::default()
    }
}

/// A header that must not have a value is allowed to be absent.
fn without(name: &str, value: &StringMatch) -> route::HeaderMatcher {
    route::HeaderMatcher {
        invert_match: true,
        treat_missing_header_as_empty: pattern(value).is_some(),
        ..header(name, Some(value))
    }
}

fn parameter(name: &str, value: &StringMatch) -> route::QueryParameterMatcher {
    let specifier = match pattern(value) {
        None => QueryParameterMatchSpecifier::PresentMatch(true),
        Some(pattern) => QueryParameterMatchSpecifier::StringMatch(string_matcher(pattern)),
    };
    route::QueryParameterMatcher { name: name.to_owned(), query_parameter_match_specifier: Some(specifier) }
}

/// Whether conditions let every request through.
pub(super) fn is_catch_all(conditions: &route::RouteMatch) -> bool {
    let all_paths = match &conditions.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => prefix == "/",
        Some(PathSpecifier::SafeRegex(pattern)) => pattern.regex == ".*",
        _ => false,
    };
    all_paths
        && conditions.headers.is_empty()
        && conditions.query_parameters.is_empty()
        && conditions.dynamic_metadata.is_empty()
}

/// How people name a path condition in traces: `/ratings*`, `/health`.
pub(super) fn path_text(conditions: &route::RouteMatch) -> String {
    match &conditions.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => format!("{prefix}*"),
        Some(PathSpecifier::Path(path)) => path.clone(),
        Some(PathSpecifier::SafeRegex(pattern)) => pattern.regex.clone(),
        _ => "/*".to_owned(),
    }
}
