//! Which of Envoy's statistics are told: `proxyStatsMatcher` of the proxy configuration and the annotations over it.

use serde_json::Value;

use super::Bootstrap;
use crate::observe::{BadStatsRegex, StatsFilter};

impl Bootstrap {
    /// The statistics that the configuration asks for. An annotation takes the place of the list of its kind.
    pub fn stats_filter(&self) -> Result<StatsFilter, BadStatsRegex> {
        let list = |field: &str, annotation: &str| -> Vec<String> {
            if let Some(text) = self.annotations.get(&format!("sidecar.istio.io/{annotation}")) {
                return text
                    .split(',')
                    .map(|part| part.trim().to_owned())
                    .filter(|part| !part.is_empty())
                    .collect();
            }
            let matcher = self.proxy_config.get("proxyStatsMatcher").and_then(|matcher| matcher.get(field));
            let texts = matcher.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        };
        StatsFilter::new(
            list("inclusionPrefixes", "statsInclusionPrefixes"),
            list("inclusionSuffixes", "statsInclusionSuffixes"),
            &list("inclusionRegexps", "statsInclusionRegexps"),
        )
    }
}
