//! Limits, timeouts and keep-alive of a cluster's connections, and the ejection of failing endpoints.

use crds::networking::{OutlierDetection, RetryBudget, TcpKeepalive};
use model::config::Settings;

use super::{Upstream, as_downstream, http_options, http2};
use crate::policy::Policy;
use crate::proto::{cluster, core, duration, exactly, kinds, route, uint32, written};
use envoy_types::pb::envoy::config::common::matcher::v3 as predicates;

/// Istio's limits are off unless set: Envoy's own of 1024 (and 3 retries) surprise people under load.
const UNLIMITED: u32 = u32::MAX;

/// Applies the connection pool settings of a policy. Zero and absent mean the same in Istio's API.
pub(super) fn apply(
    settings: &Settings,
    policy: &Policy<'_>,
    cluster: &mut cluster::Cluster,
    options: &mut Upstream,
) {
    let tcp = policy.pool.and_then(|pool| pool.tcp.as_ref());
    let http = policy.pool.and_then(|pool| pool.http.as_ref());
    let limit =
        |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0);
    cluster.connect_timeout = tcp
        .and_then(|tcp| written(tcp.connect_timeout))
        .or_else(|| duration(settings.config.connect_timeout()));
    let limit_or_none = |value| uint32(limit(value).unwrap_or(UNLIMITED));
    cluster.circuit_breakers = Some(cluster::CircuitBreakers {
        thresholds: vec![cluster::circuit_breakers::Thresholds {
            max_connections: limit_or_none(tcp.and_then(|tcp| tcp.max_connections)),
            max_pending_requests: limit_or_none(http.and_then(|http| http.http1_max_pending_requests)),
            max_requests: limit_or_none(http.and_then(|http| http.http2_max_requests)),
            max_retries: limit_or_none(http.and_then(|http| http.max_retries)),
            retry_budget: policy.retry_budget.map(retry_budget),
            track_remaining: true,
            ..Default::default()
        }],
        ..Default::default()
    });
    let keepalive = tcp.and_then(|tcp| tcp.tcp_keepalive.as_ref()).or(settings.config.tcp_keepalive.as_ref());
    cluster.upstream_connection_options = keepalive.map(|keepalive| cluster::UpstreamConnectionOptions {
        tcp_keepalive: Some(tcp_keepalive(keepalive)),
        ..Default::default()
    });

    let idle = http.and_then(|http| http.idle_timeout).or_else(|| tcp?.idle_timeout);
    let common = core::HttpProtocolOptions {
        idle_timeout: written(idle),
        max_requests_per_connection: limit(http.and_then(|http| http.max_requests_per_connection))
            .and_then(uint32),
        max_connection_duration: tcp.and_then(|tcp| written(tcp.max_connection_duration)),
        ..Default::default()
    };
    if common != core::HttpProtocolOptions::default() {
        options.common_http_protocol_options = Some(common);
    }
    let Some(http) = http else { return };
    if let Some(http2) = http2_options(options) {
        http2.max_concurrent_streams = limit(http.max_concurrent_streams).and_then(uint32);
        http2.connection_keepalive =
            http.http2_keep_alive.as_ref().map(|keepalive| core::KeepaliveSettings {
                interval: written(keepalive.interval),
                timeout: written(keepalive.timeout),
                ..Default::default()
            });
    }
    if http.use_client_protocol == Some(true) {
        as_downstream(options);
    }
}

/// HTTP/1.1 is carried as HTTP/2 where the policy or the mesh says so.
pub(super) fn upgrade(settings: &Settings, policy: &Policy<'_>, is_http: bool, options: &mut Upstream) {
    use crds::networking::H2UpgradePolicy as Written;
    let http = policy.pool.and_then(|pool| pool.http.as_ref());
    let wanted = match http.and_then(|http| http.h2_upgrade_policy) {
        Some(Written::Upgrade) => true,
        Some(Written::DoNotUpgrade) => false,
        _ => settings.h2_upgrade && is_http,
    };
    if wanted && options.upstream_protocol_options.is_none() {
        http2(options);
    }
}

fn http2_options(options: &mut Upstream) -> Option<&mut core::Http2ProtocolOptions> {
    use http_options::explicit_http_config::ProtocolConfig;
    match options.upstream_protocol_options.as_mut()? {
        http_options::UpstreamProtocolOptions::ExplicitHttpConfig(explicit) => {
            match explicit.protocol_config.as_mut()? {
                ProtocolConfig::Http2ProtocolOptions(options) => Some(options),
                _ => None,
            }
        }
        _ => None,
    }
}

fn retry_budget(budget: &RetryBudget) -> cluster::circuit_breakers::thresholds::RetryBudget {
    cluster::circuit_breakers::thresholds::RetryBudget {
        budget_percent: Some(kinds::Percent { value: budget.percent.unwrap_or(20.0) }),
        min_retry_concurrency: uint32(budget.min_retry_concurrency.unwrap_or(3)),
        budget_interval: written(budget.budget_interval),
    }
}

fn tcp_keepalive(keepalive: &TcpKeepalive) -> core::TcpKeepalive {
    let seconds = |value: Option<crds::Duration>| {
        value.and_then(|value| uint32(value.0.as_secs().try_into().unwrap_or(u32::MAX)))
    };
    core::TcpKeepalive {
        keepalive_probes: keepalive.probes.and_then(uint32),
        keepalive_time: seconds(keepalive.time),
        keepalive_interval: seconds(keepalive.interval),
    }
}

/// Applies outlier detection; without the block nothing is ever ejected.
pub(super) fn eject(outlier: &OutlierDetection, cluster: &mut cluster::Cluster, options: &mut Upstream) {
    // A count of 0 switches the check off, any other enforces it always.
    let enforced = |count: Option<u32>| count.and_then(|count| uint32(if count > 0 { 100 } else { 0 }));
    let mut out = cluster::OutlierDetection {
        enforcing_success_rate: uint32(0),
        consecutive_5xx: outlier.consecutive_5xx_errors.and_then(uint32),
        enforcing_consecutive_5xx: enforced(outlier.consecutive_5xx_errors),
        consecutive_gateway_failure: outlier.consecutive_gateway_errors.and_then(uint32),
        enforcing_consecutive_gateway_failure: enforced(outlier.consecutive_gateway_errors),
        interval: written(outlier.interval),
        base_ejection_time: written(outlier.base_ejection_time),
        max_ejection_percent: outlier
            .max_ejection_percent
            .and_then(|percent| u32::try_from(percent).ok())
            .filter(|percent| *percent > 0)
            .and_then(uint32),
        ..Default::default()
    };
    if outlier.split_external_local_origin_errors == Some(true) {
        out.split_external_local_origin_errors = true;
        let failures = outlier.consecutive_local_origin_failures.filter(|count| *count > 0);
        out.consecutive_local_origin_failure = failures.and_then(uint32);
        out.enforcing_consecutive_local_origin_failure = enforced(failures);
        out.enforcing_local_origin_success_rate = uint32(0);
    }
    cluster.outlier_detection = Some(out);
    // With a few pods per service, Envoy's panic threshold of 50 % would undo the ejection.
    let common = cluster.common_lb_config.get_or_insert_default();
    let healthy = outlier.min_health_percent.unwrap_or_default().clamp(0, 100);
    common.healthy_panic_threshold = Some(kinds::Percent { value: healthy.into() });
    if !outlier.outlier_detection_http_error_codes.is_empty() {
        options.outlier_detection = Some(http_options::OutlierDetection {
            error_matcher: Some(any_status(&outlier.outlier_detection_http_error_codes)),
        });
    }
}

fn any_status(codes: &[u32]) -> predicates::MatchPredicate {
    use predicates::match_predicate::{MatchSet, Rule};
    let one = |code: &u32| predicates::MatchPredicate {
        rule: Some(Rule::HttpResponseHeadersMatch(predicates::HttpHeadersMatch {
            headers: vec![route::HeaderMatcher {
                name: ":status".to_owned(),
                header_match_specifier: Some(route::header_matcher::HeaderMatchSpecifier::StringMatch(
                    exactly(&code.to_string()),
                )),
                ..Default::default()
            }],
        })),
    };
    let mut rules: Vec<_> = codes.iter().map(one).collect();
    if rules.len() == 1 {
        return rules.remove(0);
    }
    predicates::MatchPredicate { rule: Some(Rule::OrMatch(MatchSet { rules })) }
}
