//! Regular expressions as Envoy resources and Istio objects have them, in RE2's syntax, rewritten for Rust's `regex`.
//!
//! Both languages are nearly the same. In RE2 `\d`, `\s`, `\w` and `\b` are about ASCII, a brace that counts nothing and
//! a bracket within a class are themselves, classes have no set operations, and `\Q...\E` quotes.

use std::iter::Peekable;
use std::str::CharIndices;

type Rest<'a> = Peekable<CharIndices<'a>>;

/// The expression in Rust's syntax, with the same meaning. What RE2 refuses stays as it is, to be refused.
pub fn to_rust(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.char_indices().peekable();
    while let Some((at, char)) = rest.next() {
        match char {
            '\\' => escape(pattern, &mut rest, false, &mut out),
            '[' => class(pattern, &mut rest, &mut out),
            '{' if !is_count(&pattern[at..]) => out.push_str(r"\{"),
            other => out.push(other),
        }
    }
    out
}

/// What follows a backslash.
fn escape(pattern: &str, rest: &mut Rest<'_>, in_class: bool, out: &mut String) {
    let Some((at, char)) = rest.next() else {
        out.push('\\');
        return;
    };
    match char {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        's' => out.push_str(r"[\t\n\x0C\r ]"),
        'S' => out.push_str(r"[^\t\n\x0C\r ]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'b' if !in_class => out.push_str(r"(?-u:\b)"),
        // To Rust these are the beginning and the end of a word.
        '<' | '>' => out.push(char),
        'Q' if !in_class => {
            let text = &pattern[at + 1..];
            let quoted = text.split_once(r"\E").map_or(text, |(quoted, _)| quoted);
            let end = at + 1 + quoted.len() + r"\E".len();
            for char in quoted.chars() {
                if char.is_ascii_punctuation() && !matches!(char, '<' | '>') {
                    out.push('\\');
                }
                out.push(char);
            }
            while rest.next_if(|(at, _)| *at < end).is_some() {}
        }
        other => {
            out.push('\\');
            out.push(other);
        }
    }
}

/// What follows the bracket that opens a class, up to the one that closes it.
fn class(pattern: &str, rest: &mut Rest<'_>, out: &mut String) {
    out.push('[');
    if rest.next_if(|(_, char)| *char == '^').is_some() {
        out.push('^');
    }
    // A bracket right at the beginning closes nothing.
    if rest.next_if(|(_, char)| *char == ']').is_some() {
        out.push_str(r"\]");
    }
    while let Some((at, char)) = rest.next() {
        match char {
            ']' => {
                out.push(']');
                return;
            }
            '\\' => escape(pattern, rest, true, out),
            '[' => match named(&pattern[at..]) {
                Some(name) => {
                    out.push_str(name);
                    while rest.next_if(|(next, _)| *next < at + name.len()).is_some() {}
                }
                None => out.push_str(r"\["),
            },
            '&' | '~' => {
                out.push('\\');
                out.push(char);
            }
            '-' if rest.next_if(|(_, char)| *char == '-').is_some() => out.push_str(r"-\-"),
            other => out.push(other),
        }
    }
}

/// `[:alpha:]` at the beginning of a text.
fn named(text: &str) -> Option<&str> {
    let name = text.strip_prefix("[:")?;
    let length = name.find(|char: char| !char.is_ascii_lowercase() && char != '^')?;
    name[length..].starts_with(":]").then(|| &text[..length + 4])
}

/// Whether a text begins with `{2}`, `{2,}` or `{2,3}`.
fn is_count(text: &str) -> bool {
    let inner = text.strip_prefix('{').and_then(|text| text.split_once('}')).map_or("", |(inner, _)| inner);
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    !least.is_empty() && least.chars().chain(most.chars()).all(|char| char.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::to_rust;

    #[test]
    fn what_re2_means_otherwise_is_rewritten() {
        for (re2, rust) in [
            ("/v[0-9]+(/.*)?", "/v[0-9]+(/.*)?"),
            (r"\w+\.\d{2,3}", r"[0-9A-Za-z_]+\.[0-9]{2,3}"),
            (r"\bx\b", r"(?-u:\b)x(?-u:\b)"),
            ("a{b}{2}{3,}", r"a\{b}{2}{3,}"),
            ("a{,5}", r"a\{,5}"),
            ("{{x}}", r"\{\{x}}"),
            ("[[.a]", r"[\[.a]"),
            ("[]a]", r"[\]a]"),
            ("[^]a]", r"[^\]a]"),
            ("[[:alpha:]_]", "[[:alpha:]_]"),
            ("[a&&b~~c]", r"[a\&\&b\~\~c]"),
            ("[+--]", r"[+-\-]"),
            (r"[\w.-]", "[[0-9A-Za-z_].-]"),
            (r"\Qa.b[\E+", r"a\.b\[+"),
            (r"\Qa<b", r"a<b"),
            (r"\<a\>", "<a>"),
            (r"é\.é", r"é\.é"),
            (r"(a)\1", r"(a)\1"),
            ("a\\", "a\\"),
        ] {
            assert_eq!(to_rust(re2), rust, "{re2}");
        }
    }
}
