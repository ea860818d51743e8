//! StringMatch and regular expressions.

use crds::networking::StringMatch;

use super::findings::{At, Findings};

/// Longest expression, as in Istio.
const LONGEST: usize = 1024;
/// Most memory that one compiled expression may take in a proxy.
const COMPILED: usize = 1 << 20;

/// A condition on anything but a path: an empty prefix or expression would match everything by accident.
pub(super) fn string(at: &At, condition: Option<&StringMatch>, found: &mut Findings) {
    let Some(condition) = condition else { return };
    if condition.prefix.as_deref() == Some("") {
        found.error(&at.field("prefix"), "can't be empty; leave the condition out to match everything");
    }
    expression(at, condition, found);
}

/// A condition on a path, whose prefix may be empty.
pub(super) fn expression(at: &At, condition: &StringMatch, found: &mut Findings) {
    if let Some(text) = &condition.regex {
        found.check(&at.field("regex"), regex(text));
    }
}

/// An expression in RE2's syntax, of bounded size.
pub(super) fn regex(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("an expression can't be empty".into());
    }
    if text.len() > LONGEST {
        return Err(format!("the expression has {} characters; at most {LONGEST} are allowed", text.len()));
    }
    let compiled = regex::RegexBuilder::new(&xds::re2::to_rust(text)).size_limit(COMPILED).build();
    compiled.map(drop).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("{text:?} is not an expression in RE2 syntax: {reason}")
    })
}

#[cfg(test)]
mod tests {
    use super::regex;

    #[test]
    fn what_re2_takes_is_taken() {
        for good in [r"/\Qa.b\E/[0-9]", "a{b}", "[[.]"] {
            assert_eq!(regex(good), Ok(()));
        }
    }

    #[test]
    fn bad_expressions_are_refused_with_the_reason() {
        assert_eq!(regex(r"^/api/v[12]/.*\.html$"), Ok(()));
        for (bad, reason) in [
            ("(a", "unclosed group"),
            ("a(?=b)", "look-around"),
            (r"(a)\1", "backreferences"),
            ("", "can't be empty"),
            (&"a".repeat(1025), "at most 1024"),
            (r"((\w{60}){60}){60}", "size limit"),
        ] {
            let message = regex(bad).unwrap_err();
            assert!(message.contains(reason), "{message}");
        }
    }
}
