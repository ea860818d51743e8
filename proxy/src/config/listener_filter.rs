//! Listener filters: which look at the first bytes, and on which ports they don't.

use std::ops::RangeInclusive;

use envoy_types::pb::envoy::config::listener::v3 as pb;

use super::error::{At as _, ConfigError, Result};
use crate::snapshot::listener::Inspector;

const ORIGINAL_DST: &str =
    "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst";
const TLS_INSPECTOR: &str =
    "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
const HTTP_INSPECTOR: &str =
    "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector";

const PROXY_PROTOCOL: &str =
    "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";

/// What the filters of a listener do.
#[derive(Debug, Default)]
pub(super) struct ListenerFilters {
    pub(super) original_destination: bool,
    pub(super) proxy_protocol: bool,
    pub(super) tls: Option<Inspector>,
    pub(super) http: Option<Inspector>,
}

/// Compiles the filters.
pub(super) fn filters(list: &[pb::ListenerFilter]) -> Result<ListenerFilters> {
    let mut filters = ListenerFilters::default();
    for (index, filter) in list.iter().enumerate() {
        add(&mut filters, filter).entry("listener_filters", index)?;
    }
    Ok(filters)
}

fn add(filters: &mut ListenerFilters, filter: &pb::ListenerFilter) -> Result<()> {
    use pb::listener_filter::ConfigType;
    let type_url = match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => any.type_url.as_str(),
        Some(ConfigType::ConfigDiscovery(_)) => {
            return Err(ConfigError::unsupported(format!(
                "discovery of the listener filter {:?}",
                filter.name
            )));
        }
        None => {
            return Err(ConfigError::new(format!(
                "the listener filter {:?} has no typed_config",
                filter.name
            )));
        }
    };
    let inspector = || -> Result<Option<Inspector>> {
        let disabled =
            filter.filter_disabled.as_ref().map(disabled_ports).transpose().field("filter_disabled")?;
        match disabled {
            Some(None) => Ok(None),
            Some(Some(ports)) => Ok(Some(Inspector { disabled_ports: ports })),
            None => Ok(Some(Inspector::default())),
        }
    };
    match type_url {
        ORIGINAL_DST => filters.original_destination = true,
        TLS_INSPECTOR => filters.tls = inspector()?,
        HTTP_INSPECTOR => filters.http = inspector()?,
        PROXY_PROTOCOL => filters.proxy_protocol = true,
        unknown => return Err(ConfigError::unknown_extension("listener filter", &filter.name, unknown)),
    }
    Ok(())
}

type Ports = Vec<RangeInclusive<u16>>;

/// The destination ports on which a filter is off; `None` where it is off on all.
fn disabled_ports(value: &pb::ListenerFilterChainMatchPredicate) -> Result<Option<Ports>> {
    use pb::listener_filter_chain_match_predicate::Rule;
    match &value.rule {
        None | Some(Rule::AnyMatch(false)) => Ok(Some(Vec::new())),
        Some(Rule::AnyMatch(true)) => Ok(None),
        Some(Rule::DestinationPortRange(range)) => {
            // The end is exclusive.
            let first = u16::try_from(range.start).unwrap_or(0);
            let last = u16::try_from(range.end - 1).unwrap_or(u16::MAX);
            Ok(Some(if range.end <= range.start { Vec::new() } else { vec![first..=last] }))
        }
        Some(Rule::OrMatch(set)) => {
            let mut all = Vec::new();
            for rule in &set.rules {
                match disabled_ports(rule)? {
                    None => return Ok(None),
                    Some(ports) => all.extend(ports),
                }
            }
            Ok(Some(all))
        }
        Some(Rule::AndMatch(_) | Rule::NotMatch(_)) => {
            Err(ConfigError::unsupported("and_match or not_match"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::envoy::r#type::v3::Int32Range;
    use pb::listener_filter_chain_match_predicate::{MatchSet, Rule};

    fn predicate(rule: Rule) -> pb::ListenerFilterChainMatchPredicate {
        pb::ListenerFilterChainMatchPredicate { rule: Some(rule) }
    }

    fn range(start: i32, end: i32) -> pb::ListenerFilterChainMatchPredicate {
        predicate(Rule::DestinationPortRange(Int32Range { start, end }))
    }

    #[test]
    fn ports_are_collected_from_ranges_and_their_unions() {
        let either = predicate(Rule::OrMatch(MatchSet { rules: vec![range(3306, 3307), range(5432, 5440)] }));
        assert_eq!(disabled_ports(&either), Ok(Some(vec![3306..=3306, 5432..=5439])));
        assert_eq!(disabled_ports(&predicate(Rule::AnyMatch(true))), Ok(None));
        assert_eq!(disabled_ports(&range(5, 5)), Ok(Some(vec![])));
        let not = predicate(Rule::NotMatch(Box::new(range(1, 2))));
        assert!(disabled_ports(&not).is_err());
    }
}
