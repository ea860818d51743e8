//! Labels and annotations as the downward API writes them into files: `key="escaped value"`, one per line.

use std::collections::BTreeMap;

use super::{BootstrapError, Environment};

/// Labels of the pod.
pub(super) const LABELS_PATH: &str = "/etc/istio/pod/labels";
/// Annotations of the pod.
pub(super) const ANNOTATIONS_PATH: &str = "/etc/istio/pod/annotations";

/// The map in a file; empty if there is no such file.
pub(super) fn read(env: &Environment, path: &str) -> Result<BTreeMap<String, String>, BootstrapError> {
    match std::fs::read_to_string(env.path(path)) {
        Ok(text) => parse(path, &text),
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(source) => Err(BootstrapError::File { path: path.to_owned(), source }),
    }
}

fn parse(path: &str, text: &str) -> Result<BTreeMap<String, String>, BootstrapError> {
    let entry = |(index, line): (usize, &str)| {
        let bad =
            || BootstrapError::Downward { path: path.to_owned(), line: index + 1, text: line.to_owned() };
        let (key, quoted) = line.split_once('=').ok_or_else(bad)?;
        Ok((key.to_owned(), unquote(quoted).ok_or_else(bad)?))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(entry).collect()
}

/// Undoes Go's `%q`.
fn unquote(quoted: &str) -> Option<String> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut out: Vec<u8> = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match chars.next()? {
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            'r' => out.push(b'\r'),
            'a' => out.push(0x07),
            'b' => out.push(0x08),
            'f' => out.push(0x0c),
            'v' => out.push(0x0b),
            'x' => out.push(u8::try_from(hex(&mut chars, 2)?).ok()?),
            'u' => push_char(&mut out, hex(&mut chars, 4)?)?,
            'U' => push_char(&mut out, hex(&mut chars, 8)?)?,
            plain @ ('\\' | '"' | '\'') => out.push(plain as u8),
            _ => return None,
        }
    }
    String::from_utf8(out).ok()
}

fn hex(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<u32> {
    let text: String = chars.by_ref().take(digits).collect();
    if text.len() == digits { u32::from_str_radix(&text, 16).ok() } else { None }
}

fn push_char(out: &mut Vec<u8>, code: u32) -> Option<()> {
    out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unquoted_as_go_quoted_them() {
        let cases = [
            (r#"app="reviews""#, Some(("app", "reviews"))),
            (r#"note="two\nlines and a \"quote\"""#, Some(("note", "two\nlines and a \"quote\""))),
            (r#"json="{\"a\":\"b=c\"}""#, Some(("json", r#"{"a":"b=c"}"#))),
            (r#"name="gr\u00fcn \U0001F600 \xe2\x82\xac""#, Some(("name", "grün 😀 €"))),
            (r#"empty="""#, Some(("empty", ""))),
            ("plain=value", None),
            ("no equals sign", None),
            (r#"bad="\q""#, None),
            (r#"short="\u12""#, None),
        ];
        for (line, expected) in cases {
            let found = parse("labels", line).ok();
            let expected = expected.map(|(k, v)| BTreeMap::from([(k.to_owned(), v.to_owned())]));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn an_error_names_file_and_line() {
        let error = parse("/etc/istio/pod/labels", "a=\"b\"\nwhat\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "/etc/istio/pod/labels, line 2: \"what\" is not of the form key=\"value\""
        );
    }
}
