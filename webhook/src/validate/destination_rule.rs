//! DestinationRule and its traffic policies.

use std::collections::BTreeSet;

use crds::{
    Duration,
    networking::{
        ConnectionPoolSettings, DestinationRuleSpec, H2UpgradePolicy, HttpSettings, LoadBalancerSettings,
        OutlierDetection, TcpSettings, TrafficPolicy, TunnelSettings,
    },
    selector::WorkloadSelector,
};

use super::{
    findings::{At, Findings},
    http_policy::duration,
    load_balancer, names, tls,
};

pub(super) fn check(spec: &DestinationRuleSpec, namespace: &str, found: &mut Findings) {
    let at = At::spec();
    found.check(&at.field("host"), names::wildcard_domain(&spec.host));
    if let Some(policy) = &spec.traffic_policy {
        traffic_policy(&at.field("trafficPolicy"), policy, namespace, found);
    }
    let mut seen = BTreeSet::new();
    for (index, subset) in spec.subsets.iter().enumerate() {
        let at = at.item("subsets", index);
        found.error_if(
            !names::is_label(&subset.name),
            &at.field("name"),
            "is not a subset's name: it must be a DNS label",
        );
        found.error_if(!seen.insert(&subset.name), &at.field("name"), "another subset has the same name");
        names::label_map(&at, "labels", &subset.labels, found);
        if let Some(policy) = &subset.traffic_policy {
            traffic_policy(&at.field("trafficPolicy"), policy, namespace, found);
        }
    }
    names::export_to(&at, &spec.export_to, namespace, false, found);
    if let Some(selector) = &spec.workload_selector {
        workload_selector(&at.field("workloadSelector"), selector, found);
        let elsewhere = spec.export_to.iter().any(|entry| entry != "." && entry != namespace);
        found.error_if(
            elsewhere,
            &at.field("exportTo"),
            "a rule with workloadSelector can be exported only to its own namespace",
        );
    }
}

/// A selector of policies: no wildcards, and not without labels.
pub(super) fn workload_selector(at: &At, selector: &WorkloadSelector, found: &mut Findings) {
    if selector.match_labels.is_empty() {
        found.warning(at, "has no labels, so it selects every workload of the namespace");
    }
    for (key, value) in &selector.match_labels {
        let at = at.key("matchLabels", key);
        found.error_if(key.is_empty(), &at, "a label needs a name");
        found.error_if(key.contains('*') || value.contains('*'), &at, "a selector can't have wildcards");
    }
}

fn traffic_policy(at: &At, policy: &TrafficPolicy, namespace: &str, found: &mut Findings) {
    if *policy == TrafficPolicy::default() {
        found.error(at, "is empty; remove it or add a policy");
    }
    found.error_if(
        policy.tunnel.is_some() && policy.proxy_protocol.is_some(),
        at,
        "tunnel and proxyProtocol exclude each other",
    );
    blocks(
        at,
        policy.load_balancer.as_ref(),
        policy.connection_pool.as_ref(),
        policy.outlier_detection.as_ref(),
        found,
    );
    if let Some(settings) = &policy.tls {
        tls::client(&at.field("tls"), settings, namespace, found);
    }
    if let Some(through) = &policy.tunnel {
        tunnel(&at.field("tunnel"), through, found);
    }
    for (index, port) in policy.port_level_settings.iter().enumerate() {
        let at = at.item("portLevelSettings", index);
        found.error_if(
            port.port.as_ref().is_none(),
            &at.field("port"),
            "is needed: which port are the settings for?",
        );
        let empty = port.load_balancer.is_none()
            && port.connection_pool.is_none()
            && port.outlier_detection.is_none()
            && port.tls.is_none();
        found.error_if(empty, &at, "has no settings");
        blocks(
            &at,
            port.load_balancer.as_ref(),
            port.connection_pool.as_ref(),
            port.outlier_detection.as_ref(),
            found,
        );
        if let Some(settings) = &port.tls {
            tls::client(&at.field("tls"), settings, namespace, found);
        }
    }
}

fn blocks(
    at: &At,
    balancer: Option<&LoadBalancerSettings>,
    pool: Option<&ConnectionPoolSettings>,
    outlier: Option<&OutlierDetection>,
    found: &mut Findings,
) {
    if let Some(settings) = balancer {
        load_balancer::check(&at.field("loadBalancer"), settings, outlier.is_some(), found);
    }
    if let Some(settings) = pool {
        connection_pool(&at.field("connectionPool"), settings, found);
    }
    if let Some(settings) = outlier {
        outlier_detection(&at.field("outlierDetection"), settings, found);
    }
}

pub(super) fn connection_pool(at: &At, settings: &ConnectionPoolSettings, found: &mut Findings) {
    found.error_if(settings.http.is_none() && settings.tcp.is_none(), at, "is empty; add tcp or http");
    if let Some(http) = &settings.http {
        http_pool(&at.field("http"), http, found);
    }
    if let Some(tcp) = &settings.tcp {
        tcp_pool(&at.field("tcp"), tcp, found);
    }
}

fn not_negative(at: &At, fields: &[(&str, Option<i32>)], found: &mut Findings) {
    for (name, value) in fields {
        if let Some(value) = value.filter(|value| *value < 0) {
            found.error(&at.field(name), format!("{value} is negative; leave it out for no limit"));
        }
    }
}

fn http_pool(at: &At, http: &HttpSettings, found: &mut Findings) {
    not_negative(
        at,
        &[
            ("http1MaxPendingRequests", http.http1_max_pending_requests),
            ("http2MaxRequests", http.http2_max_requests),
            ("maxRequestsPerConnection", http.max_requests_per_connection),
            ("maxRetries", http.max_retries),
            ("maxConcurrentStreams", http.max_concurrent_streams),
        ],
        found,
    );
    duration(&at.field("idleTimeout"), http.idle_timeout, found);
    found.error_if(
        http.h2_upgrade_policy == Some(H2UpgradePolicy::Upgrade) && http.use_client_protocol == Some(true),
        at,
        "h2UpgradePolicy UPGRADE and useClientProtocol exclude each other",
    );
    if let Some(pings) = &http.http2_keep_alive {
        let at = at.field("http2KeepAlive");
        for (name, value) in [("interval", pings.interval), ("timeout", pings.timeout)] {
            found.error_if(value.is_none(), &at.field(name), "is needed");
            duration(&at.field(name), value, found);
        }
    }
}

fn tcp_pool(at: &At, tcp: &TcpSettings, found: &mut Findings) {
    not_negative(at, &[("maxConnections", tcp.max_connections)], found);
    duration(&at.field("connectTimeout"), tcp.connect_timeout, found);
    duration(&at.field("maxConnectionDuration"), tcp.max_connection_duration, found);
    // 0s means: for ever.
    let limited = |timeout: &Duration| timeout.0.as_millis() != 0;
    duration(&at.field("idleTimeout"), tcp.idle_timeout.filter(limited), found);
    if let Some(probes) = &tcp.tcp_keepalive {
        let at = at.field("tcpKeepalive");
        duration(&at.field("time"), probes.time, found);
        duration(&at.field("interval"), probes.interval, found);
    }
}

fn outlier_detection(at: &At, outlier: &OutlierDetection, found: &mut Findings) {
    duration(&at.field("baseEjectionTime"), outlier.base_ejection_time, found);
    duration(&at.field("interval"), outlier.interval, found);
    for (name, value) in [
        ("maxEjectionPercent", outlier.max_ejection_percent),
        ("minHealthPercent", outlier.min_health_percent),
    ] {
        if let Some(value) = value.filter(|value| !(0..=100).contains(value)) {
            found.error(&at.field(name), format!("{value} is not between 0 and 100"));
        }
    }
    let local = outlier.consecutive_local_origin_failures.is_some_and(|count| count > 0);
    found.error_if(
        local && outlier.split_external_local_origin_errors != Some(true),
        &at.field("consecutiveLocalOriginFailures"),
        "needs splitExternalLocalOriginErrors: true",
    );
}

fn tunnel(at: &At, tunnel: &TunnelSettings, found: &mut Findings) {
    if let Some(protocol) =
        tunnel.protocol.as_deref().filter(|name| !matches!(*name, "" | "CONNECT" | "POST"))
    {
        found.error(&at.field("protocol"), format!("{protocol:?} is neither CONNECT nor POST"));
    }
    if !names::is_ip(&tunnel.target_host) {
        found.check(&at.field("targetHost"), names::domain(&tunnel.target_host));
    }
    found.check(&at.field("targetPort"), names::port(tunnel.target_port));
}
