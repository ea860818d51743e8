//! Lines of a proxy's access log, in Istio's text format.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::test::Test;

/// One request, as its proxy saw it.
#[derive(Debug)]
pub(crate) struct Line {
    /// What the client got.
    pub(crate) status: String,
    /// Response flags, `-` if there are none.
    pub(crate) flags: String,
    /// All of it.
    pub(crate) text: String,
}

impl Line {
    /// Out of `[TIME] "METHOD PATH PROTOCOL" STATUS FLAGS ...`.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, '"').nth(2)?.split_whitespace();
        let (status, flags) = (words.next()?.to_owned(), words.next()?.to_owned());
        Some(Self { status, flags, text: text.to_owned() })
    }
}

/// The lines about requests to `path`, once there are `count` of them.
pub(crate) async fn lines(
    test: &Test,
    namespace: &str,
    deployment: &str,
    path: &str,
    count: usize,
) -> Result<Vec<Line>> {
    let patience = std::time::Duration::from_secs(15); // lines are written some at a time
    test.eventually("the access log has the requests", patience, async || {
        let log = test.sh(format!("kubectl -n {namespace} logs deploy/{deployment} -c istio-proxy")).await?;
        let found: Vec<_> = log.lines().filter(|line| line.contains(path)).filter_map(Line::read).collect();
        ensure!(
            found.len() == count,
            "{} instead of {count} lines of {deployment}'s log name {path}",
            found.len()
        );
        Ok(found)
    })
    .await
}

/// How many lines have which flags.
pub(crate) fn by_flags(lines: &[Line]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line.flags.as_str()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_flags_are_found_behind_the_request() {
        let line =
            Line::read("[2026-11-21T16:00:00.000Z] \"GET /five HTTP/1.1\" 503 UO overflow - \"-\" 0 81")
                .unwrap();
        assert_eq!((line.status.as_str(), line.flags.as_str()), ("503", "UO"));
        assert_eq!(by_flags(&[line])["UO"], 1);
        assert!(Line::read("2026-11-21T16:00:00Z  INFO ready").is_none());
    }
}
