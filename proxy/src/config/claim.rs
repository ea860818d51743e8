//! Conditions on the claims of tokens, which the control plane writes as conditions on the metadata that Envoy's JWT
//! filter leaves.

use envoy_types::pb::envoy::r#type::matcher::v3 as pb;

use super::error::{At as _, ConfigError, Result};
use super::matcher::string;
use crate::snapshot::claim::ClaimMatch;
use crate::snapshot::matcher::StringMatch;

/// Whose metadata the claims are, and where they are in it.
const OWNER: &str = "envoy.filters.http.jwt_authn";
const PAYLOAD: &str = "payload";

/// A condition on one claim.
pub(super) fn claim(value: &pb::MetadataMatcher) -> Result<ClaimMatch> {
    use pb::metadata_matcher::path_segment::Segment;
    let keys = value.path.iter().map(|segment| match &segment.segment {
        Some(Segment::Key(key)) => Ok(Box::from(key.as_str())),
        None => Err(ConfigError::new("path: a key is required")),
    });
    let mut path = keys.collect::<Result<Vec<Box<str>>>>()?;
    if value.filter != OWNER || path.first().is_none_or(|first| **first != *PAYLOAD) {
        return Err(ConfigError::unsupported("a condition on metadata other than the claims of a token"));
    }
    path.remove(0);
    Ok(ClaimMatch { path, value: wanted(value.value.as_ref()).field("value")?, invert: value.invert })
}

fn wanted(value: Option<&pb::ValueMatcher>) -> Result<Option<StringMatch>> {
    use pb::value_matcher::MatchPattern;
    let mut value = value.ok_or_else(|| ConfigError::new("is required"))?;
    // A text, or an item of a list, is what every condition is about.
    if let Some(MatchPattern::OrMatch(either)) = &value.match_pattern {
        let text = either
            .value_matchers
            .iter()
            .find(|one| matches!(one.match_pattern, Some(MatchPattern::StringMatch(_))));
        value = text.ok_or_else(|| ConfigError::unsupported("an or_match without string_match"))?;
    }
    match &value.match_pattern {
        Some(MatchPattern::PresentMatch(true)) => Ok(None),
        Some(MatchPattern::StringMatch(text)) => string(text).map(Some).field("string_match"),
        _ => Err(ConfigError::unsupported("a condition on a claim that is neither a text nor presence")),
    }
}
