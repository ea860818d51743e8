//! What counts as a host, label, port or address, by the rules of Istio's own validation.

use std::{collections::BTreeMap, collections::BTreeSet, net::IpAddr};

use super::findings::{At, Findings};

type Checked = Result<(), String>;

/// A DNS label; Istio allows upper case.
pub(super) fn is_label(text: &str) -> bool {
    is_word(text, "-")
}

/// Letters and digits, and these `others` between them.
fn is_word(text: &str, others: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

/// A first label: `*`, `*name`, `*-name` or `name`.
fn is_wildcard_label(text: &str) -> bool {
    let rest = text.strip_prefix('*').map_or(text, |rest| rest.strip_prefix('-').unwrap_or(rest));
    text == "*" || (is_label(rest) && text.len() <= 63)
}

/// A domain name without wildcards.
pub(super) fn domain(name: &str) -> Checked {
    length(name)?;
    labels(name, name)
}

/// A domain name whose first label may be a wildcard.
pub(super) fn wildcard_domain(name: &str) -> Checked {
    length(name)?;
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    if !is_wildcard_label(first) {
        return Err(format!("{name:?} is not a host name: {first:?} is not a DNS label"));
    }
    rest.map_or(Ok(()), |rest| labels(rest, name))
}

fn length(name: &str) -> Checked {
    match name.len() {
        0 => Err("a host name is needed".into()),
        1..=255 => Ok(()),
        _ => Err("a host name has at most 255 characters".into()),
    }
}

fn labels(part: &str, whole: &str) -> Checked {
    let top = part.rsplit('.').next().unwrap_or_default();
    if !top.is_empty() && top.chars().all(|c| c.is_ascii_digit()) {
        return Err(format!("{whole:?} is not a host name: its last label can't be a number"));
    }
    // The last label may be empty: `example.com.` is unambiguous.
    let part = part.strip_suffix('.').unwrap_or(part);
    match part.split('.').find(|label| !is_label(label)) {
        Some(label) => Err(format!("{whole:?} is not a host name: {label:?} is not a DNS label")),
        None => Ok(()),
    }
}

pub(super) fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

pub(super) fn ip(text: &str) -> Checked {
    if is_ip(text) { Ok(()) } else { Err(format!("{text:?} is not an IP address")) }
}

/// An address or a network.
pub(super) fn subnet(text: &str) -> Checked {
    if text.contains('/') {
        let parsed = text.parse::<ipnet::IpNet>();
        return parsed.map(drop).map_err(|_| format!("{text:?} is not a network such as 10.0.0.0/8"));
    }
    ip(text)
}

pub(super) fn port(number: u32) -> Checked {
    if (1..=65535).contains(&number) {
        Ok(())
    } else {
        Err(format!("port {number} is not between 1 and 65535"))
    }
}

pub(super) fn port_name(name: &str) -> Checked {
    if is_label(name) { Ok(()) } else { Err(format!("{name:?} is not a port name: it must be a DNS label")) }
}

/// A Unix socket, without its `unix://`.
pub(super) fn unix_socket(path: &str) -> Checked {
    if path.starts_with('@') || (path.starts_with('/') && !path.ends_with('/')) {
        return Ok(());
    }
    Err(format!("{path:?} is not an absolute path to a file"))
}

/// Protocols that a port may name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    HttpProxy,
    Http2,
    Grpc,
    Https,
    Tls,
    Tcp,
}

impl Protocol {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "http_proxy" => Self::HttpProxy,
            "http2" => Self::Http2,
            "grpc" | "grpc-web" => Self::Grpc,
            "https" => Self::Https,
            "tls" => Self::Tls,
            "tcp" | "udp" | "mongo" | "redis" | "mysql" => Self::Tcp,
            _ => return None,
        })
    }

    pub(super) fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::HttpProxy | Self::Http2 | Self::Grpc)
    }

    pub(super) fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }
}

/// A protocol that may be absent, to be found out by looking.
pub(super) fn protocol(name: Option<&str>) -> Checked {
    match name.filter(|name| !name.is_empty()) {
        Some(name) if Protocol::parse(name).is_none() => Err(format!(
            "{name:?} is not a protocol; use HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TLS, TCP, MONGO, MYSQL or REDIS"
        )),
        _ => Ok(()),
    }
}

/// What every match of a VirtualService may ask of a client: the port it calls, its labels, the gateway it came through.
pub(super) fn clients(
    at: &At,
    port_number: Option<u32>,
    labels: &BTreeMap<String, String>,
    listed: &[String],
    found: &mut Findings,
) {
    if let Some(number) = port_number.filter(|number| *number != 0) {
        found.check(&at.field("port"), port(number));
    }
    label_map(at, "sourceLabels", labels, found);
    gateways(at, listed, found);
}

/// Labels that pods could have.
pub(super) fn label_map(at: &At, name: &str, labels: &BTreeMap<String, String>, found: &mut Findings) {
    let word = |text: &str| is_word(text, "-_.");
    for (key, value) in labels {
        let (prefix, key_name) = key.split_once('/').map_or((None, key.as_str()), |(p, n)| (Some(p), n));
        let at = at.key(name, key);
        found.error_if(
            !word(key_name) || prefix.is_some_and(|p| domain(p).is_err()),
            &at,
            "is not a label's name",
        );
        if !value.is_empty() && !word(value) {
            found.error(&at, format!("{value:?} is not a label's value"));
        }
    }
}

/// `exportTo`: `.`, `*` or namespaces, each once. `~` (nobody) is only for ServiceEntry.
pub(super) fn export_to(at: &At, entries: &[String], namespace: &str, nobody: bool, found: &mut Findings) {
    let at = at.field("exportTo");
    let mut seen = BTreeSet::new();
    for entry in entries {
        let key = if entry == "." { namespace } else { entry };
        if !seen.insert(key) {
            found.error(&at, format!("{entry:?} is there twice"));
        }
        match entry.as_str() {
            "." | "*" => {}
            "~" if nobody => {}
            "~" => found.error(&at, "\"~\" (nobody) is possible only for ServiceEntry and Service"),
            other if is_label(other) => {}
            other => found.error(&at, format!("{other:?} is none of \".\", \"*\" and a namespace's name")),
        }
    }
    let alone = |entry: &str| entries.len() > 1 && entries.iter().any(|e| e == entry);
    found.error_if(alone("*"), &at, "\"*\" means all namespaces; remove the other entries");
    found.error_if(nobody && alone("~"), &at, "\"~\" means nobody; remove the other entries");
}

/// Names of Gateways: `namespace/name`, `name`, or the reserved `mesh`.
pub(super) fn gateways(at: &At, names: &[String], found: &mut Findings) {
    for (index, name) in names.iter().enumerate() {
        let at = at.item("gateways", index);
        match name.split_once('/') {
            None => {
                if let Some((gateway, rest)) = name.split_once('.') {
                    let namespace = rest.split('.').next().unwrap_or(rest);
                    found.warning(&at, format!("{name:?} is an old form; write {namespace}/{gateway}"));
                }
                found.check(&at, domain(name));
            }
            Some((namespace, gateway)) if !is_label(namespace) || !is_label(gateway) => {
                found.error(&at, format!("{name:?} is not of the form namespace/name"));
            }
            Some(_) => {}
        }
    }
}

/// Whether everything that `inner` stands for is also meant by `outer`; both may be wildcards.
pub(super) fn is_subset(inner: &str, outer: &str) -> bool {
    match (inner.strip_prefix('*'), outer.strip_prefix('*')) {
        (Some(inner), Some(outer)) => inner.len() >= outer.len() && inner.ends_with(outer),
        (Some(_), None) => false,
        (None, Some(outer)) => inner.ends_with(outer),
        (None, None) => inner == outer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_those_that_istio_takes() {
        for good in
            ["a", "a.b", "*.a.b", "*", "*a.b", "*-a.b", "A.b", "a.b.", "reviews.default.svc.cluster.local"]
        {
            assert_eq!(wildcard_domain(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            "a.*",
            "-a",
            "a-",
            "a_b",
            "a.b/c",
            "**",
            "a.1",
            &"a".repeat(64),
            &"a.".repeat(200),
        ] {
            assert!(wildcard_domain(bad).is_err(), "{bad}");
        }
        assert!(domain("*.a").is_err() && domain("a.b.").is_ok());
    }

    #[test]
    fn subsets_of_wildcards() {
        for (inner, outer, is) in [
            ("a.b", "a.b", true),
            ("a.b", "*.b", true),
            ("*.a.b", "*.b", true),
            ("*.b", "*.a.b", false),
            ("*.b", "a.b", false),
            ("a.b", "*", true),
        ] {
            assert_eq!(is_subset(inner, outer), is, "{inner} in {outer}");
        }
    }
}
