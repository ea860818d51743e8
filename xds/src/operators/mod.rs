//! Operators of access logs and header values: `%NAME%`, `%NAME(ARGUMENT)%`, `%NAME(ARGUMENT):LENGTH%`.
//!
//! An Envoy refuses a whole listener, or all routes of a port, for one that it doesn't know, so formats are looked through
//! before they are sent. What is let through is what a proxy of ours and a stock Envoy both take.

mod names;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

pub use names::PLAIN;
use names::{fault, takes};

/// How much of what follows a lone percent sign is told, in letters.
const TOLD: usize = 20;

/// Something in a format for which proxies would refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem<'t> {
    /// A percent sign that no other closes, and what follows it.
    Lone(&'t str),
    /// An operator, as written, of a name that nobody knows.
    Unknown(&'t str),
    /// An operator that cannot be written so, and how it can.
    Malformed(&'t str, &'static str),
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lone(rest) => write!(f, "there is a lone % before {rest:?}; write %% for a percent sign"),
            Self::Unknown(written) => {
                write!(f, "%{written}% is no operator that proxies know; write %% for a percent sign")
            }
            Self::Malformed(written, how) => {
                write!(f, "%{written}% is not written as proxies read it: {how}; write %% for a percent sign")
            }
        }
    }
}

/// Whether there is an operator of this name.
pub fn is_known(name: &str) -> bool {
    PLAIN.contains(&name) || takes(name).is_some()
}

/// What is wrong with a format of an access log, each thing once.
pub fn problems(format: &str) -> Vec<Problem<'_>> {
    all(format, problem)
}

/// Why proxies would refuse a format of access logs, one that is a JSON object if `json` says so. Empty is the default.
pub fn format_problem(format: &str, json: bool) -> Option<String> {
    let of_text = |text: &str| problems(text).first().map(ToString::to_string);
    if !json || format.is_empty() {
        return of_text(format);
    }
    match serde_json::from_str(format) {
        Ok(Value::Object(fields)) => strings(&Value::Object(fields)).into_iter().find_map(of_text),
        Ok(_) => Some("as JSON it must be an object, such as {\"took\": \"%DURATION%\"}".to_owned()),
        Err(error) => Some(format!("it is not JSON: {error}")),
    }
}

fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Object(fields) => fields.values().flat_map(strings).collect(),
        Value::Array(values) => values.iter().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

/// What is wrong with the value of a header, each thing once. It may have the operators of access logs but one, for which
/// an Envoy needs an extension that only logs can name.
pub fn header_problems(value: &str) -> Vec<Problem<'_>> {
    all(value, |written| {
        if written.starts_with("REQ_WITHOUT_QUERY") {
            return Some(Problem::Malformed(written, "it is for access logs alone, use REQ(:PATH)"));
        }
        problem(written)
    })
}

fn all<'t>(format: &'t str, problem: impl Fn(&'t str) -> Option<Problem<'t>>) -> Vec<Problem<'t>> {
    let mut found = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            rest = after;
            continue;
        }
        let Some(end) = end_of(rest) else {
            found.push(Problem::Lone(rest.char_indices().nth(TOLD).map_or(rest, |(at, _)| &rest[..at])));
            break;
        };
        if let Some(problem) = problem(&rest[..end]).filter(|problem| !found.contains(problem)) {
            found.push(problem);
        }
        rest = &rest[end + 1..];
    }
    found
}

/// What is wrong with what stands between two percent signs.
fn problem(written: &str) -> Option<Problem<'_>> {
    let malformed = |how| Some(Problem::Malformed(written, how));
    let (name, rest) = written.split_at(written.find(['(', ':']).unwrap_or(written.len()));
    if !is_known(name) {
        return Some(Problem::Unknown(written));
    }
    let Some((argument, length)) = argument_and_length(rest) else {
        return malformed("after the name come an argument in parentheses and a length, NAME(ARGUMENT):10");
    };
    let Some((takes, measured)) = takes(name) else {
        let bare = argument.is_none() && length.is_none();
        return if bare { None } else { malformed("it takes no argument and no length") };
    };
    if length.is_some() && !measured {
        return malformed("it takes no length");
    }
    if length.is_some_and(|length| length.parse::<u32>().is_err()) {
        return malformed("the length must be a number");
    }
    if argument.is_some_and(|argument| argument.contains(['(', ')'])) {
        return malformed("the argument can't have parentheses of its own");
    }
    fault(takes, argument).and_then(malformed)
}

/// `(ARGUMENT):LENGTH`, either of which may be missing.
fn argument_and_length(text: &str) -> Option<(Option<&str>, Option<&str>)> {
    let (argument, rest) = match text.strip_prefix('(') {
        None => (None, text),
        Some(inner) => inner.rsplit_once(')').map(|(argument, rest)| (Some(argument), rest))?,
    };
    match rest.strip_prefix(':') {
        None => rest.is_empty().then_some((argument, None)),
        Some(length) => Some((argument, Some(length))),
    }
}

/// Where an operator's closing percent sign is: arguments in parentheses, such as the format of a time, may have some of
/// their own.
pub fn end_of(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    text.char_indices().find_map(|(at, letter)| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '%' if depth == 0 => return Some(at),
            _ => {}
        }
        None
    })
}
