//! Names and values of headers.

use crds::networking::{HeaderOperations, Headers};
use xds::operators::{Problem, header_problems};

use super::findings::{At, Findings};

const PSEUDO: [&str; 5] = [":method", ":scheme", ":authority", ":path", ":status"];

/// A header's name as RFC 9110 has it.
pub(super) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

/// `@request.auth.claims.x` or `@request.auth.claims[x]`: not a header but a claim of the request's token.
pub(super) fn is_claim(name: &str) -> bool {
    const PREFIX: &str = "@request.auth.claims";
    let Some((prefix, rest)) = name.split_at_checked(PREFIX.len()) else { return false };
    if !prefix.eq_ignore_ascii_case(PREFIX) {
        return false;
    }
    (rest.starts_with('.') && rest.len() > 1)
        || (rest.starts_with('[') && rest.ends_with(']') && rest.len() > 2)
}

/// The name of a header to match on.
pub(super) fn match_name(name: &str) -> Result<(), String> {
    if is_claim(name) || PSEUDO.contains(&name) || is_token(name) {
        return Ok(());
    }
    Err(format!("{name:?} is not a header's name"))
}

/// Header changes of a route or a destination.
pub(super) fn check(at: &At, headers: Option<&Headers>, found: &mut Findings) {
    let Some(headers) = headers else { return };
    if let Some(request) = &headers.request {
        operations(&at.field("headers.request"), request, true, found);
    }
    if let Some(response) = &headers.response {
        operations(&at.field("headers.response"), response, false, found);
    }
}

fn operations(at: &At, changes: &HeaderOperations, request: bool, found: &mut Findings) {
    for (operation, map) in [("set", &changes.set), ("add", &changes.add)] {
        for (name, text) in map {
            let at = at.key(operation, name);
            // The authority of a request can be set, and only set; all else of the kind is the proxy's own.
            found.check(&at, changeable(name, request));
            found.check(&at, value(text));
        }
    }
    for (index, name) in changes.remove.iter().enumerate() {
        found.check(&at.item("remove", index), changeable(name, false));
    }
}

fn changeable(name: &str, authority: bool) -> Result<(), String> {
    match name {
        "" => Err("a header needs a name".into()),
        _ if is_authority(name) && authority => Ok(()),
        _ if name.eq_ignore_ascii_case("host") => {
            Err("Host can't be changed here; use rewrite.authority".into())
        }
        _ if name.starts_with(':') => Err(format!("{name:?} is a pseudo header and can't be changed")),
        _ => Ok(()),
    }
}

pub(super) fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
}

/// A value as Envoy reads it: `%OPERATOR%`, `%OPERATOR(argument)%`, and `%%` for a percent sign. What is no operator is
/// warned of by the mesh's findings, because Istio accepts it.
fn value(text: &str) -> Result<(), String> {
    if text.chars().any(|c| c.is_ascii_control() && c != '\t') {
        return Err("a header's value can't have control characters".into());
    }
    let lone = |problem: &Problem<'_>| matches!(problem, Problem::Lone(_));
    match header_problems(text).into_iter().find(lone) {
        Some(_) => Err(format!("{text:?} has a lone %; write %% for a percent sign, %NAME% for an operator")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_have_operators_but_no_lone_percent_sign() {
        for good in ["", "a", "%HOSTNAME%", "100%%", "a %REQ(X-A)% b", "%START_TIME(%s.%3f)%", "%RESP(a)%%%"]
        {
            assert_eq!(value(good), Ok(()), "{good}");
        }
        for bad in ["abc%123", "%START_TIME%%", "50%", "a\nb"] {
            assert!(value(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn claims_and_pseudo_headers_can_be_matched() {
        for good in ["x-a", ":authority", "@request.auth.claims.sub", "@request.auth.claims[a.b][c]"] {
            assert_eq!(match_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", ":other", "@request.auth.claims", "@request.auth.claims."] {
            assert!(match_name(bad).is_err(), "{bad}");
        }
    }
}
