//! Conditions on strings, headers and query parameters.

use ::http::HeaderName;
use envoy_types::pb::envoy::config::route::v3 as pb;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use regex::Regex;

use super::error::{At as _, ConfigError, Result};
use crate::snapshot::matcher::{
    HeaderMatch, HeaderSource, HeaderValueMatch, QueryMatch, StringMatch, search_regex,
};

/// A condition on a string.
pub(super) fn string(value: &matcher::StringMatcher) -> Result<StringMatch> {
    use matcher::string_matcher::MatchPattern;
    let fold = value.ignore_case;
    match &value.match_pattern {
        Some(MatchPattern::Exact(text)) => Ok(StringMatch::exact(text, fold)),
        Some(MatchPattern::Prefix(text)) => Ok(StringMatch::prefix(text, fold)),
        Some(MatchPattern::Suffix(text)) => Ok(StringMatch::suffix(text, fold)),
        Some(MatchPattern::Contains(text)) => Ok(StringMatch::contains(text, fold)),
        Some(MatchPattern::SafeRegex(regex)) => full_regex(regex),
        Some(MatchPattern::Custom(custom)) => {
            let type_url = custom.typed_config.as_ref().map_or("", |any| any.type_url.as_str());
            Err(ConfigError::unknown_extension("string matcher", &custom.name, type_url))
        }
        None => Err(ConfigError::new("a match pattern is required")),
    }
}

fn full_regex(value: &matcher::RegexMatcher) -> Result<StringMatch> {
    StringMatch::regex(&value.regex).map_err(ConfigError::new).field("safe_regex")
}

/// A search expression and what replaces its matches.
pub(super) fn substitution(value: &matcher::RegexMatchAndSubstitute) -> Result<(Regex, Box<str>)> {
    let pattern = value.pattern.as_ref().ok_or_else(|| ConfigError::new("a pattern is required"))?;
    let regex = search_regex(&pattern.regex).map_err(ConfigError::new).field("pattern")?;
    Ok((regex, value.substitution.as_str().into()))
}

/// The name of a header.
pub(super) fn header_name(name: &str) -> Result<HeaderName> {
    HeaderName::try_from(name).map_err(|_| ConfigError::new(format!("{name:?} is not the name of a header")))
}

/// A condition on a header.
pub(super) fn header(value: &pb::HeaderMatcher) -> Result<HeaderMatch> {
    Ok(HeaderMatch {
        source: header_source(&value.name).field("name")?,
        value: header_value(value)?,
        invert: value.invert_match,
        missing_is_empty: value.treat_missing_header_as_empty,
    })
}

fn header_source(name: &str) -> Result<HeaderSource> {
    Ok(match name.to_ascii_lowercase().as_str() {
        ":method" => HeaderSource::Method,
        ":authority" | "host" => HeaderSource::Authority,
        ":scheme" => HeaderSource::Scheme,
        ":path" => HeaderSource::Path,
        other => HeaderSource::Header(header_name(other)?),
    })
}

fn header_value(value: &pb::HeaderMatcher) -> Result<HeaderValueMatch> {
    use pb::header_matcher::HeaderMatchSpecifier as Specifier;
    let plain = |condition| Ok(HeaderValueMatch::String(condition));
    match &value.header_match_specifier {
        None | Some(Specifier::PresentMatch(true)) => Ok(HeaderValueMatch::Present),
        Some(Specifier::PresentMatch(false)) => Ok(HeaderValueMatch::Absent),
        Some(Specifier::StringMatch(inner)) => plain(string(inner).field("string_match")?),
        Some(Specifier::ExactMatch(text)) => plain(StringMatch::exact(text, false)),
        Some(Specifier::PrefixMatch(text)) => plain(StringMatch::prefix(text, false)),
        Some(Specifier::SuffixMatch(text)) => plain(StringMatch::suffix(text, false)),
        Some(Specifier::ContainsMatch(text)) => plain(StringMatch::contains(text, false)),
        Some(Specifier::SafeRegexMatch(regex)) => plain(full_regex(regex)?),
        Some(Specifier::RangeMatch(range)) => Ok(HeaderValueMatch::Range(range.start..range.end)),
    }
}

/// A condition on a query parameter.
pub(super) fn query(value: &pb::QueryParameterMatcher) -> Result<QueryMatch> {
    use pb::query_parameter_matcher::QueryParameterMatchSpecifier as Specifier;
    let condition = match &value.query_parameter_match_specifier {
        None | Some(Specifier::PresentMatch(true)) => None,
        Some(Specifier::PresentMatch(false)) => {
            return Err(ConfigError::unsupported("the absence of a query parameter as a condition"));
        }
        Some(Specifier::StringMatch(inner)) => Some(string(inner).field("string_match")?),
    };
    Ok(QueryMatch { name: value.name.as_str().into(), value: condition })
}
