//! Memory of programs in pods, as the node's kernel counts it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use crate::test::Test;

/// Programs to look at, by the name that a report gives them.
pub(crate) struct Watched {
    processes: BTreeMap<String, u32>,
    /// What each had to itself and had written to, in KiB, at each look.
    samples: BTreeMap<String, Vec<u64>>,
}

impl Watched {
    /// Finds each program in its pod: name, the pod's uid, part of the command line.
    pub(crate) async fn find(test: &Test, programs: &[(&str, &str, &str)]) -> Result<Self> {
        let mut processes = BTreeMap::new();
        for (name, uid, program) in programs {
            let line = format!(
                "bash -c 'for p in $(grep -l {uid} /proc/[0-9]*/cgroup); do d=${{p%/cgroup}}; grep -q {program} $d/cmdline && echo ${{d#/proc/}}; done; true'"
            );
            let found = test.cluster.on_node(&line).await?;
            let process = found.split_whitespace().next().and_then(|id| id.parse().ok());
            processes.insert(
                (*name).to_owned(),
                process.with_context(|| format!("no {program} runs in the pod of {name}"))?,
            );
        }
        Ok(Self { processes, samples: BTreeMap::new() })
    }

    /// Looks once.
    pub(crate) async fn look(&mut self, test: &Test) -> Result<()> {
        let files: Vec<_> =
            self.processes.values().map(|process| format!("/proc/{process}/smaps_rollup")).collect();
        let line = format!("grep -H ^Private_Dirty: {}", files.join(" "));
        let out = test.cluster.on_node(&line).await.context("a program that was watched is gone")?;
        for (name, process) in &self.processes {
            let mine = format!("/proc/{process}/");
            let size = out.lines().find(|line| line.starts_with(&mine));
            let size = size.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
            let size = size.with_context(|| format!("no size of {name} in `{out}`"))?;
            self.samples.entry(name.clone()).or_default().push(size);
        }
        Ok(())
    }

    /// What each program had on average in the first and in the last third of the looks, in KiB.
    pub(crate) fn thirds(&self) -> Result<BTreeMap<&str, (u64, u64)>> {
        self.samples
            .iter()
            .map(|(name, samples)| {
                let third = samples.len() / 3;
                ensure!(third > 0, "{} looks at {name} have no thirds", samples.len());
                let mean = |some: &[u64]| some.iter().sum::<u64>() / some.len() as u64;
                Ok((name.as_str(), (mean(&samples[..third]), mean(&samples[samples.len() - third..]))))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirds_are_means_of_the_first_and_the_last_looks() {
        let watched = |samples: &[u64]| Watched {
            processes: BTreeMap::new(),
            samples: [("proxy".to_owned(), samples.to_vec())].into(),
        };
        assert_eq!(watched(&[1, 3, 9, 9, 4, 6, 8]).thirds().unwrap()["proxy"], (2, 7));
        assert!(watched(&[1, 2]).thirds().is_err());
    }
}
