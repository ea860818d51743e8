//! Which of Envoy's statistics are told: `proxyStatsMatcher` and the statsInclusion annotations.

use regex::RegexSet;

/// A regular expression was refused.
#[derive(Debug, thiserror::Error)]
#[error("proxyStatsMatcher: inclusionRegexps: {0}; use RE2 syntax")]
pub struct BadStatsRegex(#[from] Box<regex::Error>);

/// Chooses statistics by Envoy's full names (`cluster.outbound|80||a.upstream_rq_total`).
#[derive(Debug, Default)]
pub struct StatsFilter {
    prefixes: Vec<Box<str>>,
    suffixes: Vec<Box<str>>,
    regexes: Option<RegexSet>,
}

impl StatsFilter {
    /// Chooses what any of these fits. Istio's own metrics are always told.
    pub fn new(
        prefixes: impl IntoIterator<Item = String>,
        suffixes: impl IntoIterator<Item = String>,
        regexes: &[String],
    ) -> Result<Self, BadStatsRegex> {
        let whole: Vec<String> = regexes.iter().map(|regex| format!("^(?:{regex})$")).collect();
        let regexes = if whole.is_empty() { None } else { Some(RegexSet::new(whole).map_err(Box::new)?) };
        Ok(Self {
            prefixes: prefixes.into_iter().map(Into::into).collect(),
            suffixes: suffixes.into_iter().map(Into::into).collect(),
            regexes,
        })
    }

    /// Whether nothing is chosen.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty() && self.suffixes.is_empty() && self.regexes.is_none()
    }

    /// Whether the statistic of this name is told.
    pub fn takes(&self, name: &str) -> bool {
        self.prefixes.iter().any(|prefix| name.starts_with(&**prefix))
            || self.suffixes.iter().any(|suffix| name.ends_with(&**suffix))
            || self.regexes.as_ref().is_some_and(|regexes| regexes.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_chosen_by_their_full_name() {
        let filter = StatsFilter::new(
            ["cluster.outbound|80".to_owned()],
            ["upstream_rq_retry".to_owned()],
            &[".*circuit_breakers.*".to_owned()],
        )
        .unwrap();
        for (name, taken) in [
            ("cluster.outbound|80||a.upstream_cx_total", true),
            ("cluster.outbound|81||a.upstream_cx_total", false),
            ("cluster.outbound|81||a.upstream_rq_retry", true),
            ("cluster.outbound|81||a.circuit_breakers.default.cx_open", true),
        ] {
            assert_eq!(filter.takes(name), taken, "{name}");
        }
        assert!(!StatsFilter::default().takes("cluster.x.upstream_rq_total"));
        assert!(StatsFilter::new([], [], &["(".to_owned()]).is_err());
    }
}
