//! Conditions on the claims of a request's token, which VirtualServices write as headers:
//! `@request.auth.claims.group`, or with brackets where names have dots in them.
//!
//! Whoever verifies the token leaves its claims in the request's metadata; without a token there are none.

use crds::networking::StringMatch;

use super::matching::pattern;
use crate::proto::{matcher, string_matcher};
use matcher::metadata_matcher::{PathSegment, path_segment::Segment};
use matcher::value_matcher::MatchPattern;

/// How such names begin.
const CLAIMS: &str = "@request.auth.claims";
/// Whose metadata the claims are, and where they are in it.
const OWNER: &str = "envoy.filters.http.jwt_authn";
const PAYLOAD: &str = "payload";

/// The way to a claim from the token's payload; none if this is the name of a header.
pub(super) fn path(name: &str) -> Option<Vec<&str>> {
    let (start, rest) = name.split_at_checked(CLAIMS.len())?;
    if !start.eq_ignore_ascii_case(CLAIMS) {
        return None;
    }
    if let Some(dotted) = rest.strip_prefix('.').filter(|rest| !rest.is_empty()) {
        return Some(dotted.split('.').collect());
    }
    let bracketed = rest.strip_prefix('[')?.strip_suffix(']').filter(|rest| !rest.is_empty())?;
    Some(bracketed.split("][").collect())
}

/// The condition: a claim that is a text must match, of one that is a list some item.
pub(super) fn condition(name: &str, value: &StringMatch, invert: bool) -> matcher::MetadataMatcher {
    let segment = |key: &str| PathSegment { segment: Some(Segment::Key(key.to_owned())) };
    let claim = path(name).unwrap_or_default();
    matcher::MetadataMatcher {
        filter: OWNER.to_owned(),
        path: std::iter::once(PAYLOAD).chain(claim).map(segment).collect(),
        value: Some(matcher::ValueMatcher {
            match_pattern: Some(match pattern(value) {
                None => MatchPattern::PresentMatch(true),
                Some(pattern) => text_or_item(MatchPattern::StringMatch(string_matcher(pattern))),
            }),
        }),
        invert,
    }
}

fn text_or_item(text: MatchPattern) -> MatchPattern {
    let text = matcher::ValueMatcher { match_pattern: Some(text) };
    let item = matcher::ListMatcher {
        match_pattern: Some(matcher::list_matcher::MatchPattern::OneOf(Box::new(text.clone()))),
    };
    let item = matcher::ValueMatcher { match_pattern: Some(MatchPattern::ListMatch(Box::new(item))) };
    MatchPattern::OrMatch(matcher::OrMatcher { value_matchers: vec![item, text] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_claims_are_told_from_headers() {
        assert_eq!(path("@request.auth.claims.group"), Some(vec!["group"]));
        assert_eq!(path("@Request.Auth.Claims.a.b"), Some(vec!["a", "b"]));
        assert_eq!(path("@request.auth.claims[https://a.b/c][d]"), Some(vec!["https://a.b/c", "d"]));
        for header in ["group", "@request.auth.claims", "@request.auth.claims.", "@request.auth.claimsx"] {
            assert_eq!(path(header), None, "{header}");
        }
    }
}
