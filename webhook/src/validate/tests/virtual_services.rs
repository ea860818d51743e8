use super::{accepted, refused, warned};

const KIND: &str = "VirtualService";

fn http(rule: &str) -> String {
    format!("{{hosts: [a], http: [{{{rule}}}]}}")
}

/// A rule that is good but for the fragment.
fn routed(fragment: &str) -> String {
    http(&format!("route: [{{destination: {{host: b}}}}], {fragment}"))
}

fn refused_rules(build: fn(&str) -> String, rows: &[(&str, &str, &str)]) {
    for (fragment, field, reason) in rows {
        refused(KIND, &[(&build(fragment), field, reason)]);
    }
}

#[test]
fn rules_people_write_are_accepted() {
    accepted(
        KIND,
        &[
            "{hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v1}, weight: 90}, {destination: {host: reviews, subset: v2}, weight: 10}]}]}",
            "{hosts: ['*'], gateways: [bookinfo-gateway], http: [{match: [{uri: {exact: /productpage}}, {uri: {prefix: /static}}], route: [{destination: {host: productpage, port: {number: 9080}}}]}]}",
            "{hosts: [ratings], http: [{match: [{headers: {end-user: {exact: jason}}}], fault: {delay: {percentage: {value: 100.0}, fixedDelay: 7s}}, route: [{destination: {host: ratings}}]}, {route: [{destination: {host: ratings}}]}]}",
            "{hosts: [a.example.com], gateways: [x/y, mesh], tls: [{match: [{port: 443, sniHosts: [a.example.com]}], route: [{destination: {host: a}}]}]}",
            "{hosts: [db], tcp: [{match: [{port: 3306, destinationSubnets: [10.0.0.0/8]}], route: [{destination: {host: db}, weight: 1}]}]}",
            "{http: [{route: [{destination: {host: a}}]}]}",
            "{hosts: [a], http: [{match: [{uri: {prefix: /x}}], delegate: {name: b}}]}",
            "{hosts: [10.0.0.1, a.b], http: [{match: [{uri: {prefix: ''}, withoutHeaders: {x: {regex: '*'}}}], redirect: {scheme: https}}]}",
            "{hosts: [outbound_.80_._.a.b.global], gateways: [g], tls: [{match: [{sniHosts: [outbound_.80_._.a.b.global]}], route: [{destination: {host: a}}]}]}",
            "{hosts: [a], gateways: [g], http: [{match: [{headers: {'@request.auth.claims.sub': {exact: x}}}], route: [{destination: {host: a}}]}]}",
        ],
    );
}

#[test]
fn hosts_and_gateways() {
    let route = "http: [{route: [{destination: {host: b}}]}]";
    for (fragment, field, reason) in [
        ("hosts: [a b]", "spec.hosts[0]", "not a host name"),
        ("hosts: ['*']", "spec.hosts[0]", "only for gateways"),
        ("hosts: [a.com, '*.com']", "spec.hosts[1]", "overlap"),
        ("hosts: [a, a]", "spec.hosts[1]", "overlap"),
        ("hosts: [a], gateways: [x/y/z]", "spec.gateways[0]", "namespace/name"),
        ("hosts: [a], gateways: ['']", "spec.gateways[0]", "needed"),
        ("gateways: [g]", "spec.gateways", "did you forget hosts?"),
        ("hosts: [a], exportTo: ['*', b]", "spec.exportTo", "remove the other entries"),
        ("hosts: [a], exportTo: ['.', default]", "spec.exportTo", "twice"),
        ("hosts: [a], exportTo: ['~']", "spec.exportTo", "only for ServiceEntry"),
        ("hosts: [a], exportTo: [a/b]", "spec.exportTo", "namespace's name"),
    ] {
        refused(KIND, &[(&format!("{{{fragment}, {route}}}"), field, reason)]);
    }
    refused(KIND, &[("{hosts: [a]}", "spec", "has no rules")]);
}

#[test]
fn a_rule_says_where_requests_go_once() {
    refused_rules(
        http,
        &[
            ("match: [{uri: {prefix: /}}]", "spec.http[0]", "Add route with a destination"),
            (
                "route: [{destination: {host: b}}], redirect: {uri: /}",
                "spec.http[0]",
                "redirect and route exclude",
            ),
            (
                "fault: {abort: {httpStatus: 500, percentage: {value: 1}}}, redirect: {uri: /}",
                "spec.http[0]",
                "redirect and fault exclude",
            ),
            (
                "rewrite: {uri: /a}, directResponse: {status: 200}",
                "spec.http[0]",
                "directResponse and rewrite exclude",
            ),
            ("redirect: {uri: /}, directResponse: {status: 200}", "spec.http[0]", "exclude each other"),
            ("route: [{destination: {host: b}}], delegate: {name: d}", "spec.http[0]", "can't have route"),
        ],
    );
    refused(
        KIND,
        &[(
            "{http: [{delegate: {name: b}, route: [{destination: {host: a}}]}]}",
            "spec.http[0].delegate",
            "further",
        )],
    );
}

#[test]
fn destinations_and_weights() {
    refused_rules(
        http,
        &[
            ("route: [{weight: 1}]", "spec.http[0].route[0].destination", "is required"),
            ("route: [{destination: {}}]", "spec.http[0].route[0].destination.host", "is required"),
            ("route: [{destination: {host: ''}}]", "spec.http[0].route[0].destination.host", "needed"),
            (
                "route: [{destination: {host: '*'}}]",
                "spec.http[0].route[0].destination.host",
                "no destination",
            ),
            (
                "route: [{destination: {host: b, subset: a.b}}]",
                "spec.http[0].route[0].destination.subset",
                "DNS label",
            ),
            (
                "route: [{destination: {host: b, port: {number: 0}}}]",
                "spec.http[0].route[0].destination.port.number",
                "between 1 and 65535",
            ),
            (
                "route: [{destination: {host: b}, weight: -5}]",
                "spec.http[0].route[0].weight",
                "-5 is negative",
            ),
            (
                "route: [{destination: {host: b}, weight: 0}, {destination: {host: c}}]",
                "spec.http[0].route",
                "sum up to 0",
            ),
            (
                "route: [{destination: {host: b}, weight: 2147483647}, {destination: {host: b}, weight: 2147483647}, {destination: {host: b}, weight: 2147483647}]",
                "spec.http[0].route",
                "more than",
            ),
            (
                "route: [{destination: {host: b}, headers: {request: {set: {':path': a}}}}]",
                "spec.http[0].route[0].headers.request.set[:path]",
                "pseudo header",
            ),
        ],
    );
}

#[test]
fn conditions() {
    refused_rules(
        routed,
        &[
            ("match: [{uri: {regex: '('}}]", "spec.http[0].match[0].uri.regex", "unclosed group"),
            ("match: [{uri: {regex: ''}}]", "spec.http[0].match[0].uri.regex", "can't be empty"),
            ("match: [{method: {prefix: ''}}]", "spec.http[0].match[0].method.prefix", "can't be empty"),
            (
                "match: [{headers: {'a b': {exact: c}}}]",
                "spec.http[0].match[0].headers[a b]",
                "not a header's name",
            ),
            ("match: [{headers: {a: {regex: '*'}}}]", "spec.http[0].match[0].headers[a].regex", "RE2 syntax"),
            (
                "match: [{queryParams: {a: {regex: '['}}}]",
                "spec.http[0].match[0].queryParams[a].regex",
                "RE2 syntax",
            ),
            ("match: [{port: 70000}]", "spec.http[0].match[0].port", "70000"),
            ("match: [{sourceLabels: {a: 'b c'}}]", "spec.http[0].match[0].sourceLabels[a]", "label's value"),
            ("match: [{sourceNamespace: 'a.b'}]", "spec.http[0].match[0].sourceNamespace", "namespace"),
            ("match: [{gateways: [a/b/c]}]", "spec.http[0].match[0].gateways[0]", "namespace/name"),
            (
                "match: [{headers: {'@request.auth.claims.sub': {exact: x}}}]",
                "spec.http[0].match[0].headers[@request.auth.claims.sub]",
                "gateways",
            ),
        ],
    );
}

#[test]
fn policies() {
    refused_rules(
        routed,
        &[
            ("timeout: 1.5ms", "spec.http[0].timeout", "whole number of milliseconds"),
            ("timeout: 0s", "spec.http[0].timeout", "at least 1ms"),
            ("retries: {attempts: -1}", "spec.http[0].retries.attempts", "negative"),
            ("retries: {retryOn: 5xx}", "spec.http[0].retries", "set attempts too"),
            (
                "retries: {attempts: 2, retryOn: 'gateway-error,nonsense'}",
                "spec.http[0].retries.retryOn",
                "nonsense",
            ),
            ("fault: {}", "spec.http[0].fault", "needs an abort"),
            (
                "fault: {abort: {httpStatus: 99, percentage: {value: 1}}}",
                "spec.http[0].fault.abort.httpStatus",
                "200 and 599",
            ),
            (
                "fault: {abort: {grpcStatus: NOPE, percentage: {value: 1}}}",
                "spec.http[0].fault.abort.grpcStatus",
                "NOT_FOUND",
            ),
            (
                "fault: {abort: {http2Error: X, percentage: {value: 1}}}",
                "spec.http[0].fault.abort.http2Error",
                "not supported",
            ),
            (
                "fault: {delay: {fixedDelay: 1s, percentage: {value: 101}}}",
                "spec.http[0].fault.delay.percentage",
                "100",
            ),
            (
                "fault: {delay: {fixedDelay: 1s, percentage: {value: 0.00001}}}",
                "spec.http[0].fault.delay.percentage",
                "0.0001",
            ),
            (
                "fault: {delay: {exponentialDelay: 1s, percentage: {value: 1}}}",
                "spec.http[0].fault.delay.exponentialDelay",
                "fixedDelay",
            ),
        ],
    );
}

#[test]
fn changes_and_copies() {
    refused_rules(
        routed,
        &[
            ("corsPolicy: {allowOrigins: [{}]}", "spec.http[0].corsPolicy.allowOrigins[0]", "needs exact"),
            ("corsPolicy: {allowMethods: [get]}", "spec.http[0].corsPolicy.allowMethods[0]", "HTTP method"),
            ("corsPolicy: {allowHeaders: ['a b']}", "spec.http[0].corsPolicy.allowHeaders[0]", "header"),
            ("corsPolicy: {maxAge: 1.5s}", "spec.http[0].corsPolicy.maxAge", "seconds"),
            ("mirror: {host: '*'}", "spec.http[0].mirror.host", "no destination"),
            ("mirror: {host: c}, mirrors: [{destination: {host: d}}]", "spec.http[0]", "exclude each other"),
            ("mirror: {host: c}, mirrorPercentage: {value: 150}", "spec.http[0].mirrorPercentage", "150"),
            (
                "mirrors: [{destination: {host: d}, percentage: {value: -1}}]",
                "spec.http[0].mirrors[0].percentage",
                "-1",
            ),
            ("rewrite: {}", "spec.http[0].rewrite", "needs a uri"),
            (
                "rewrite: {uri: /a, uriRegexRewrite: {match: a, rewrite: b}}",
                "spec.http[0].rewrite",
                "exclude",
            ),
            (
                "rewrite: {uriRegexRewrite: {match: '(', rewrite: b}}",
                "spec.http[0].rewrite.uriRegexRewrite.match",
                "RE2",
            ),
            ("rewrite: {uriRegexRewrite: {match: a}}", "spec.http[0].rewrite.uriRegexRewrite", "both"),
            (
                "headers: {response: {set: {host: a}}}",
                "spec.http[0].headers.response.set[host]",
                "rewrite.authority",
            ),
            ("headers: {request: {remove: [':path']}}", "spec.http[0].headers.request.remove[0]", "pseudo"),
            ("headers: {request: {set: {a: '50%'}}}", "spec.http[0].headers.request.set[a]", "lone %"),
            (
                "rewrite: {authority: a}, headers: {request: {set: {Host: b}}}",
                "spec.http[0]",
                "more than once",
            ),
        ],
    );
}

#[test]
fn answers() {
    refused_rules(
        http,
        &[
            ("redirect: {}", "spec.http[0].redirect", "needs a uri"),
            ("redirect: {uri: /, prefixRewrite: /}", "spec.http[0].redirect", "exclude"),
            ("redirect: {prefixRewrite: /}, match: [{uri: {exact: /a}}]", "spec.http[0].redirect", "prefix"),
            ("redirect: {uri: /, redirectCode: 200}", "spec.http[0].redirect", "200"),
            ("redirect: {scheme: ftp}", "spec.http[0].redirect", "http or https"),
            ("redirect: {port: 99999}", "spec.http[0].redirect", "99999"),
            ("directResponse: {status: 99}", "spec.http[0].directResponse.status", "99"),
        ],
    );
    let body = |size: usize| {
        http(&format!("directResponse: {{status: 200, body: {{string: {}}}}}", "a".repeat(size)))
    };
    refused(KIND, &[(&body(1 << 21), "spec.http[0].directResponse.body", "1 MiB")]);
    warned(KIND, &[(&body(200 << 10), "every proxy of the route")]);
}

#[test]
fn tls_and_tcp_rules() {
    refused(
        KIND,
        &[
            (
                "{hosts: [a], tls: [{match: [], route: [{destination: {host: b}}]}]}",
                "spec.tls[0].match",
                "at least one",
            ),
            (
                "{hosts: [a.b], tls: [{match: [{sniHosts: [c.d]}], route: [{destination: {host: b}}]}]}",
                "spec.tls[0].match[0].sniHosts[0]",
                "belongs to none of hosts",
            ),
            (
                "{hosts: [a.b], tls: [{match: [{sniHosts: [a.b]}]}]}",
                "spec.tls[0].route",
                "needs a destination",
            ),
            (
                "{hosts: [a.b], tls: [{match: [{sniHosts: []}], route: [{destination: {host: b}}]}]}",
                "spec.tls[0].match[0].sniHosts",
                "at least one",
            ),
            (
                "{hosts: [a], tcp: [{match: [{destinationSubnets: [10.0.0.0/99]}], route: [{destination: {host: b}}]}]}",
                "spec.tcp[0].match[0].destinationSubnets[0]",
                "not a network",
            ),
            ("{hosts: [a], tcp: [{match: [{port: 1}]}]}", "spec.tcp[0].route", "needs a destination"),
            (
                "{hosts: [a], tcp: [{route: [{destination: {host: b}, weight: -1}]}]}",
                "spec.tcp[0].route[0].weight",
                "negative",
            ),
        ],
    );
}

#[test]
fn surprises() {
    let many = |rules: &str| format!("{{hosts: [a], http: [{rules}]}}");
    let to = "route: [{destination: {host: b}}]";
    warned(
        KIND,
        &[
            (
                &many(&format!("{{{to}}}, {{match: [{{uri: {{prefix: /a}}}}], {to}}}")),
                "spec.http[1]: is never reached: http[0]",
            ),
            (
                &many(&format!(
                    "{{name: x, match: [{{uri: {{exact: /a}}}}], {to}}}, {{match: [{{name: again, uri: {{exact: /a}}}}], {to}}}"
                )),
                "spec.http[1].match[0]: is never used: http[0] (x) has the same condition",
            ),
            (
                &many(&format!(
                    "{{match: [{{uri: {{prefix: /a}}}}], {to}}}, {{match: [{{uri: {{prefix: /ab}}, headers: {{x: {{exact: z}}}}}}], {to}}}"
                )),
                "spec.http[1].match[0]: is never used: http[0].match[0] with prefix \"/a\"",
            ),
            (&routed("mirror: {host: c}, mirrorPercent: 5"), "deprecated; use mirrorPercentage"),
            (&routed("fault: {abort: {httpStatus: 500}}"), "no request is affected"),
            (
                &routed("timeout: 1s, fault: {abort: {httpStatus: 500, percentage: {value: 1}}}"),
                "switched off by fault",
            ),
            (&many(&format!("{{{to}, corsPolicy: {{allowOrigin: [a]}}}}")), "use allowOrigins"),
            ("{hosts: [a], gateways: [g.ns.svc.cluster.local], http: [{redirect: {uri: /}}]}", "write ns/g"),
            (
                "{hosts: [a], host: a, http: [{redirect: {uri: /}}]}",
                "spec.host: unknown field, ignored; did you mean spec.hosts?",
            ),
        ],
    );
    // A later rule with fewer conditions is reached by what the earlier one leaves.
    accepted(
        KIND,
        &[
            &many(&format!(
                "{{match: [{{uri: {{prefix: /a}}, headers: {{x: {{exact: z}}}}}}], {to}}}, {{match: [{{uri: {{prefix: /ab}}}}], {to}}}"
            )),
            &many(&format!(
                "{{match: [{{uri: {{prefix: /a}}, port: 1}}], {to}}}, {{match: [{{uri: {{prefix: /ab}}, port: 2}}], {to}}}"
            )),
        ],
    );
}
