use super::{accepted, refused, warned};

const KIND: &str = "DestinationRule";

fn policy(fragment: &str) -> String {
    format!("{{host: a, trafficPolicy: {{{fragment}}}}}")
}

fn refused_policies(rows: &[(&str, &str, &str)]) {
    for (fragment, field, reason) in rows {
        let field = if field.is_empty() {
            "spec.trafficPolicy".into()
        } else {
            format!("spec.trafficPolicy.{field}")
        };
        refused(KIND, &[(&policy(fragment), &field, reason)]);
    }
}

#[test]
fn rules_people_write_are_accepted() {
    accepted(
        KIND,
        &[
            "{host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}]}",
            "{host: httpbin, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}}, outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 3m, maxEjectionPercent: 100}}}",
            "{host: '*.local', trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}",
            "{host: a, trafficPolicy: {connectionPool: {tcp: {idleTimeout: 0s}}}}",
            "{host: a, trafficPolicy: {portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]}}",
            "{host: a, workloadSelector: {matchLabels: {a: b}}, exportTo: ['.'], trafficPolicy: {tls: {mode: SIMPLE, credentialName: c}}}",
        ],
    );
}

#[test]
fn hosts_subsets_and_visibility() {
    refused(
        KIND,
        &[
            ("{}", "spec.host", "is required"),
            ("{host: a b}", "spec.host", "not a host name"),
            ("{host: a, subsets: [{name: a.b}]}", "spec.subsets[0].name", "DNS label"),
            ("{host: a, subsets: [{name: b}, {name: b}]}", "spec.subsets[1].name", "same name"),
            ("{host: a, subsets: [{labels: {a: b}}]}", "spec.subsets[0].name", "is required"),
            (
                "{host: a, subsets: [{name: b, labels: {a: '*'}}]}",
                "spec.subsets[0].labels[a]",
                "label's value",
            ),
            (
                "{host: a, subsets: [{name: b, trafficPolicy: {}}]}",
                "spec.subsets[0].trafficPolicy",
                "is empty",
            ),
            ("{host: a, exportTo: ['*', '.']}", "spec.exportTo", "remove the other"),
            (
                "{host: a, workloadSelector: {matchLabels: {a: b}}, exportTo: [other]}",
                "spec.exportTo",
                "own namespace",
            ),
        ],
    );
}

#[test]
fn traffic_policies() {
    refused_policies(&[
        ("", "", "is empty"),
        ("portLevelSettings: [{loadBalancer: {simple: RANDOM}}]", "portLevelSettings[0].port", "which port"),
        ("portLevelSettings: [{port: {number: 1}}]", "portLevelSettings[0]", "no settings"),
        ("connectionPool: {}", "connectionPool", "is empty"),
        ("connectionPool: {tcp: {maxConnections: -1}}", "connectionPool.tcp.maxConnections", "negative"),
        ("connectionPool: {http: {maxRetries: -1}}", "connectionPool.http.maxRetries", "negative"),
        (
            "connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}",
            "connectionPool.http",
            "exclude",
        ),
        (
            "connectionPool: {http: {http2KeepAlive: {interval: 1s}}}",
            "connectionPool.http.http2KeepAlive.timeout",
            "needed",
        ),
        ("connectionPool: {tcp: {connectTimeout: 0s}}", "connectionPool.tcp.connectTimeout", "1ms"),
        ("connectionPool: {tcp: {tcpKeepalive: {time: 0s}}}", "connectionPool.tcp.tcpKeepalive.time", "1ms"),
        ("outlierDetection: {maxEjectionPercent: 101}", "outlierDetection.maxEjectionPercent", "0 and 100"),
        ("outlierDetection: {minHealthPercent: -1}", "outlierDetection.minHealthPercent", "0 and 100"),
        ("outlierDetection: {baseEjectionTime: 0s}", "outlierDetection.baseEjectionTime", "1ms"),
        (
            "outlierDetection: {consecutiveLocalOriginFailures: 2}",
            "outlierDetection.consecutiveLocalOriginFailures",
            "splitExternalLocalOriginErrors",
        ),
        ("tunnel: {protocol: GET, targetHost: a.b, targetPort: 443}", "tunnel.protocol", "CONNECT"),
        ("tunnel: {targetHost: a.b, targetPort: 0}", "tunnel.targetPort", "65535"),
        ("tunnel: {targetHost: a.b, targetPort: 1}, proxyProtocol: {}", "", "exclude"),
    ]);
}

#[test]
fn load_balancers() {
    refused_policies(&[
        ("loadBalancer: {simple: LEAST_CON}", "loadBalancer.simple", "did you mean LEAST_CONN?"),
        (
            "loadBalancer: {consistentHash: {httpCookie: {name: ''}}}",
            "loadBalancer.consistentHash.httpCookie.name",
            "needed",
        ),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 100}}}",
            "loadBalancer.consistentHash.maglev.tableSize",
            "prime",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 50}}]}}",
            "loadBalancer.localityLbSetting.distribute[0].to",
            "50, not 100",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 100}}], failover: [{from: a, to: b}]}}",
            "loadBalancer.localityLbSetting",
            "exclude",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: 'a/*/b', to: {b: 100}}]}}",
            "loadBalancer.localityLbSetting.distribute[0].from",
            "at its end",
        ),
        (
            "outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}",
            "loadBalancer.localityLbSetting.failover[0]",
            "different",
        ),
        (
            "outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: a, to: b/c}]}}",
            "loadBalancer.localityLbSetting.failover[0]",
            "without zone",
        ),
        ("loadBalancer: {localityLbSetting: {}, zoneAwareLbSetting: {}}", "loadBalancer", "exclude"),
        ("loadBalancer: {warmup: {}}", "loadBalancer.warmup.duration", "is required"),
        (
            "loadBalancer: {warmup: {duration: 1s, aggression: 0}}",
            "loadBalancer.warmup.aggression",
            "greater than 0",
        ),
    ]);
}

#[test]
fn client_tls() {
    refused_policies(&[
        ("tls: {mode: MUTUAL, privateKey: k, caCertificates: c}", "tls.clientCertificate", "MUTUAL"),
        ("tls: {mode: SIMPLE, credentialName: a, caCertificates: b}", "tls.credentialName", "excludes"),
        (
            "tls: {mode: SIMPLE, insecureSkipVerify: true, caCertificates: b}",
            "tls.insecureSkipVerify",
            "excludes",
        ),
        ("tls: {mode: SIMPLE, credentialName: 'configmap://other/a'}", "tls.credentialName", "own namespace"),
    ]);
}

#[test]
fn surprises() {
    warned(
        KIND,
        &[
            (&policy("loadBalancer: {simple: LEAST_CONN}"), "LEAST_REQUEST"),
            (
                &policy("loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 5}}"),
                "use ringHash.minimumRingSize",
            ),
            (
                &policy("loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}"),
                "only with outlierDetection",
            ),
            (&policy("tls: {mode: SIMPLE}"), "no caCertificates"),
            ("{host: a, workloadSelector: {}}", "every workload"),
            (&policy("retries: {attempts: 3}, tls: {mode: DISABLE}"), "retries belong in the VirtualService"),
            (
                &policy("connectionPool: {http: {pendingRequests: 1}}"),
                "connectionPool.http.http1MaxPendingRequests?",
            ),
        ],
    );
}
