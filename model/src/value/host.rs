//! Host names: short ones resolved, wildcards matched.

use imbl::OrdMap;

use super::text::{Text, intern};

/// Whether a host is a pattern: `*`, `*.example.com`.
pub fn is_wildcard(host: &str) -> bool {
    host.starts_with('*')
}

/// A host as written in an object of `namespace`, fully qualified: a name without dots is a Kubernetes service of
/// that namespace. Host names do not depend on case.
pub fn resolve_host(host: &str, namespace: &str, domain: &str) -> Text {
    let host = host.to_ascii_lowercase();
    if host.is_empty() || host.contains('.') || is_wildcard(&host) {
        intern(&host)
    } else {
        intern(&format!("{host}.{namespace}.svc.{domain}"))
    }
}

/// Whether every host that `host` stands for is covered by `pattern`.
pub fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        // Between two patterns the shorter suffix is the wider one.
        Some(suffix) => host.strip_prefix('*').unwrap_or(host).ends_with(suffix),
        None => pattern == host,
    }
}

/// What is kept under the most specific pattern for a host. Where no pattern is a wildcard, which is usual, one look
/// tells; wildcards sort before all other hosts.
pub(crate) fn by_host<'m, V: Clone>(map: &'m OrdMap<Text, V>, host: &str) -> impl Iterator<Item = &'m V> {
    let wild = map.get_min().is_some_and(|(pattern, _)| is_wildcard(pattern));
    let suffixes = wild.then(|| host_candidates(host).filter(move |candidate| candidate != host));
    map.get(host)
        .into_iter()
        .chain(suffixes.into_iter().flatten().filter_map(|candidate| map.get(candidate.as_str())))
}

/// Keys under which a pattern for this host can be found, the most specific first:
/// `a.b.c`, `*.b.c`, `*.c`, `*`.
pub fn host_candidates(host: &str) -> impl Iterator<Item = String> + '_ {
    let suffixes = host.match_indices('.').map(|(at, _)| format!("*{}", &host[at..]));
    let whole = (!host.starts_with("*.")).then(|| host.to_owned());
    whole.into_iter().chain(suffixes).chain(std::iter::once("*".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_belong_to_the_namespace_of_the_object() {
        for (host, expected) in [
            ("reviews", "reviews.shop.svc.cluster.local"),
            ("Reviews", "reviews.shop.svc.cluster.local"),
            ("reviews.other.svc.cluster.local", "reviews.other.svc.cluster.local"),
            ("*", "*"),
            ("*.example.com", "*.example.com"),
        ] {
            assert_eq!(&*resolve_host(host, "shop", "cluster.local"), expected);
        }
    }

    #[test]
    fn wildcards_cover_suffixes() {
        for (pattern, host, expected) in [
            ("*", "a.b", true),
            ("*.b", "a.b", true),
            ("*.b", "b", false),
            ("*.b", "*.a.b", true),
            ("*.a.b", "*.b", false),
            ("a.b", "a.b", true),
            ("a.b", "*.b", false),
        ] {
            assert_eq!(host_matches(pattern, host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn candidates_go_from_specific_to_general() {
        let all: Vec<_> = host_candidates("a.b.c").collect();
        assert_eq!(all, ["a.b.c", "*.b.c", "*.c", "*"]);
        let all: Vec<_> = host_candidates("*.b.c").collect();
        assert_eq!(all, ["*.b.c", "*.c", "*"]);
    }
}
