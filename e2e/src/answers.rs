//! What a client in a pod said about several requests.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The answers, in the order in which they came.
#[derive(Debug)]
pub struct Answers(pub Vec<Value>);

impl Answers {
    /// Reads one JSON object per line.
    pub(crate) fn read(out: &str) -> Result<Self> {
        let read = |line| serde_json::from_str(line).with_context(|| format!("reading `{line}`"));
        Ok(Self(out.lines().map(read).collect::<Result<_>>()?))
    }

    /// How many had which status.
    pub fn statuses(&self) -> BTreeMap<u64, usize> {
        counted(self.0.iter().map(|answer| answer["status"].as_u64().unwrap_or_default()))
    }

    /// How many had which value of a header; those without it are left out.
    pub fn by(&self, header: &str) -> BTreeMap<String, usize> {
        let values = self.0.iter().filter_map(|answer| answer["headers"][header].as_str());
        counted(values.map(ToOwned::to_owned))
    }

    /// How many took at least so long.
    pub fn slower_than(&self, milliseconds: u64) -> usize {
        self.0.iter().filter(|answer| answer["milliseconds"].as_u64() >= Some(milliseconds)).count()
    }

    /// Fails unless all are 200 and come from this version of the echo.
    pub fn all_by(&self, version: &str) -> Result<()> {
        let (statuses, versions) = (self.statuses(), self.by("x-echo-version"));
        let all = self.0.len();
        ensure!(
            all > 0 && statuses.get(&200) == Some(&all) && versions.get(version) == Some(&all),
            "not {all} times 200 by {version}: statuses {statuses:?}, versions {versions:?}"
        );
        Ok(())
    }
}

fn counted<T: Ord>(values: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_status_version_and_time() {
        let answer = |status, version, milliseconds| {
            format!(
                "{{\"status\":{status},\"headers\":{{\"x-echo-version\":\"{version}\"}},\"milliseconds\":{milliseconds}}}\n"
            )
        };
        let mixed = Answers::read(&(answer(200, "v1", 3) + &answer(503, "v2", 700))).unwrap();
        assert_eq!(mixed.statuses(), [(200, 1), (503, 1)].into());
        assert_eq!(mixed.by("x-echo-version"), [("v1".to_owned(), 1), ("v2".to_owned(), 1)].into());
        assert_eq!(mixed.slower_than(700), 1);
        assert!(mixed.all_by("v1").is_err());
        assert!(Answers::read("").unwrap().all_by("v1").is_err());
        assert!(Answers::read(&answer(200, "v1", 3)).unwrap().all_by("v1").is_ok());
        assert!(Answers::read("error: no such pod").is_err());
    }
}
