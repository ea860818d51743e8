//! Whether a condition holds for a request, in words.

use crds::networking::{HttpMatchRequest, StringMatch};

use crate::evaluator::View;
use crate::rules::Condition;

type TextOf = fn(&HttpMatchRequest) -> Option<&StringMatch>;

/// What holds, or the first thing that doesn't.
pub(crate) fn judge(view: &View<'_>, condition: Condition<'_>) -> Result<Vec<String>, String> {
    let request = view.request;
    let mut because = Vec::new();
    if request.method == "CONNECT" {
        return Err("a CONNECT has no path, which every rule asks for".to_owned());
    }
    let uri = condition.one(|condition| condition.uri.as_ref());
    because.extend(path(view, uri, condition.ignores_case())?);
    let texts: [(&str, TextOf, String); 3] = [
        ("method", |condition| condition.method.as_ref(), request.method.clone()),
        ("authority", |condition| condition.authority.as_ref(), view.authority.clone()),
        ("scheme", |condition| condition.scheme.as_ref(), request.scheme().to_owned()),
    ];
    for (what, of, value) in texts {
        if let Some(wanted) = condition.one(of) {
            because.push(text(view, what, wanted, &value)?);
        }
    }
    let claim = |(name, _): &(&String, &StringMatch)| name.starts_with("@request.auth.claims");
    let named = condition.all(|condition| &condition.headers).into_iter();
    if let Some((name, _)) = named.chain(condition.all(|condition| &condition.without_headers)).find(claim) {
        return Err(format!("{name} is about a token's claims, which are not looked at here"));
    }
    for (name, wanted) in condition.all(|condition| &condition.headers) {
        let what = format!("header {name}");
        match request.header(name) {
            None => return Err(format!("{what} is absent")),
            Some(_) if is_presence(wanted) => because.push(format!("{what} is present")),
            Some(value) => because.push(text(view, &what, wanted, &value)?),
        }
    }
    for (name, unwanted) in condition.all(|condition| &condition.without_headers) {
        let what = format!("header {name}");
        let value = request.header(name);
        if is_presence(unwanted) {
            if value.is_some() {
                return Err(format!("{what} is present, and must not be"));
            }
            because.push(format!("{what} is absent"));
            continue;
        }
        // A header that isn't there is as good as an empty one.
        match text(view, &what, unwanted, &value.unwrap_or_default()) {
            Ok(held) => return Err(format!("{held}, which it must not")),
            Err(fails) => because.push(fails),
        }
    }
    for (name, wanted) in condition.all(|condition| &condition.query_params) {
        let what = format!("query parameter {name}");
        match request.parameter(name) {
            None => return Err(format!("{what} is absent")),
            Some(_) if is_presence(wanted) => because.push(format!("{what} is present")),
            Some(value) => because.push(text(view, &what, wanted, value)?),
        }
    }
    Ok(because)
}

/// A match without a pattern asks for presence only; so does the expression `*`, which is none.
fn is_presence(wanted: &StringMatch) -> bool {
    wanted.exact.is_none()
        && wanted.prefix.is_none()
        && wanted.regex.as_deref().is_none_or(|regex| regex == "*")
}

fn path(view: &View<'_>, wanted: Option<&StringMatch>, ignore_case: bool) -> Result<Option<String>, String> {
    let path = view.request.bare_path();
    let Some(wanted) = wanted.filter(|wanted| !is_presence(wanted)) else {
        return if path.starts_with('/') { Ok(None) } else { Err(format!("{path} is no path")) };
    };
    let lower = |text: &str| if ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
    // Case counts in expressions, whatever the rule says.
    if let Some(exact) = &wanted.exact {
        return told(lower(path) == lower(exact), "path", path, "is", exact).map(Some);
    }
    if let Some(prefix) = &wanted.prefix {
        return told(lower(path).starts_with(&lower(prefix)), "path", path, "begins with", prefix).map(Some);
    }
    text(view, "path", wanted, path).map(Some)
}

fn text(view: &View<'_>, what: &str, wanted: &StringMatch, value: &str) -> Result<String, String> {
    if let Some(exact) = &wanted.exact {
        return told(value == exact, what, value, "is", exact);
    }
    if let Some(prefix) = &wanted.prefix {
        return told(value.starts_with(prefix.as_str()), what, value, "begins with", prefix);
    }
    if is_presence(wanted) {
        return Ok(format!("{what} is present"));
    }
    let pattern = wanted.regex.as_deref().unwrap_or_default();
    match view.evaluator.regex(pattern, true) {
        Some(regex) => told(regex.is_match(value), what, value, "matches", pattern),
        None => Err(format!("{pattern} is no regular expression")),
    }
}

fn told(holds: bool, what: &str, value: &str, relation: &str, wanted: &str) -> Result<String, String> {
    let quoted = |text: &str| if text.is_empty() { "\"\"".to_owned() } else { text.to_owned() };
    let (value, wanted) = (quoted(value), quoted(wanted));
    if holds {
        return Ok(format!("{what} {relation} {wanted}"));
    }
    Err(match relation {
        "is" => format!("{what} is {value}, not {wanted}"),
        "begins with" => format!("{what} {value} does not begin with {wanted}"),
        _ => format!("{what} {value} does not match {wanted}"),
    })
}
