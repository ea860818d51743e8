//! How a proxy reads a path before it looks at rules, so that two spellings meet one rule.

use crds::mesh_config::NormalizationType;

/// Path and query with the path as the mesh's settings have it read.
pub(crate) fn read(path: &str, steps: NormalizationType) -> String {
    if steps == NormalizationType::None {
        return path.to_owned();
    }
    let (bare, query) = path.split_once('?').map_or((path, None), |(bare, query)| (bare, Some(query)));
    let mut bare = bare.to_owned();
    if steps == NormalizationType::DecodeAndMergeSlashes {
        for (escaped, slash) in [("%2f", "/"), ("%2F", "/"), ("%5c", "\\"), ("%5C", "\\")] {
            bare = bare.replace(escaped, slash);
        }
    }
    bare = segments(&unescaped(&bare));
    if matches!(steps, NormalizationType::MergeSlashes | NormalizationType::DecodeAndMergeSlashes) {
        while bare.contains("//") {
            bare = bare.replace("//", "/");
        }
    }
    query.map_or_else(|| bare.clone(), |query| format!("{bare}?{query}"))
}

/// Letters, digits and `-._~` need no escapes; a backslash is a slash.
fn unescaped(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let meant = rest.strip_prefix('%').and_then(|after| u8::from_str_radix(after.get(..2)?, 16).ok());
        match meant.map(char::from).filter(|it| it.is_ascii_alphanumeric() || "-._~".contains(*it)) {
            Some(meant) => {
                out.push(meant);
                rest = &rest[3..];
            }
            None => {
                out.push(if first == '\\' { '/' } else { first });
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

/// Without `.` and `..` (RFC 3986, 5.2.4).
fn segments(path: &str) -> String {
    let Some(path) = path.strip_prefix('/') else { return path.to_owned() };
    let all: Vec<&str> = path.split('/').collect();
    let mut out: Vec<&str> = Vec::new();
    for (number, segment) in all.iter().enumerate() {
        match *segment {
            "." => {}
            ".." => drop(out.pop()),
            segment => out.push(segment),
        }
        if number + 1 == all.len() && matches!(*segment, "." | "..") {
            out.push("");
        }
    }
    format!("/{}", out.join("/"))
}
