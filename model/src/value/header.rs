//! Changes of headers: which of them proxies take. Others are left out of what they are sent, because a proxy refuses the
//! whole virtual host for one of them, an Envoy all routes of a port.

/// Why proxies would refuse to write a header, and what to write instead; nothing if they take it.
pub fn header_problem(name: &str, value: &str) -> Option<String> {
    header_name_problem(name).or_else(|| {
        if value.chars().any(|letter| letter.is_ascii_control() && letter != '\t') {
            return Some("a header's value can't have control characters".to_owned());
        }
        let problem = xds::operators::header_problems(value).into_iter().next()?;
        Some(format!("in {value:?}, {problem}"))
    })
}

/// Why no header can have a name, which is a token of RFC 9110; nothing if one can.
pub fn header_name_problem(name: &str) -> Option<String> {
    let in_token = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    let is_token = !name.is_empty() && name.chars().all(in_token);
    (!is_token).then(|| format!("{name:?} is not a header's name"))
}

/// Whether a header's name stands for the request's authority, which routes rewrite instead.
pub(crate) fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proxies_refuse_is_said() {
        for (name, value) in [("x-a", ""), ("X_b", "100%% of %REQ(x)%\t"), ("x", "größer")] {
            assert_eq!(header_problem(name, value), None, "{name}: {value}");
        }
        for (name, value, part) in [
            ("", "a", "not a header's name"),
            ("a b", "a", "not a header's name"),
            ("x", "a\nb", "control characters"),
            ("x", "50%", "%%"),
            ("x", "%FOO%", "%FOO%"),
        ] {
            let problem = header_problem(name, value).unwrap();
            assert!(problem.contains(part), "{name}: {value}: {problem}");
        }
    }
}
