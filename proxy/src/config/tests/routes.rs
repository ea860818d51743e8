//! Route tables.

use super::*;

fn routes_of(value: &Value) -> Result<CompiledRoutes, ConfigError> {
    route_table(&message::<route_pb::RouteConfiguration>("envoy.config.route.v3.RouteConfiguration", value))
}

fn route_config() -> Value {
    json!({
        "name": "9080",
        "ignorePortInHostMatching": true,
        "virtualHosts": [{
            "name": "reviews.default.svc.cluster.local:9080",
            "domains": ["reviews.default.svc.cluster.local", "reviews", "10.96.0.7"],
            "includeRequestAttemptCount": true,
            "routes": [
                {"name": "canary", "match": {"prefix": "/", "headers": [{"name": "end-user", "stringMatch": {"exact": "jason"}}]},
                 "metadata": {"filterMetadata": {"istio": {"config": "/apis/x/virtual-service/reviews", "rule": "0"}}},
                 "route": {"cluster": "outbound|9080|v2|reviews.default.svc.cluster.local", "timeout": "0s",
                    "maxStreamDuration": {"maxStreamDuration": "0s", "grpcTimeoutHeaderMax": "0s"},
                    "retryPolicy": {"retryOn": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
                        "numRetries": 2, "hostSelectionRetryMaxAttempts": "5",
                        "retryHostPredicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typedConfig": {
                            "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}]}}},
                {"match": {"prefix": "/"}, "route": {"weightedClusters": {"clusters": [
                    {"name": "v1", "weight": 90}, {"name": "v3", "weight": 10}]}}},
            ],
        }],
    })
}

fn request<'a>(headers: &'a ::http::HeaderMap, path: &'a str) -> RequestView<'a> {
    RequestView { method: "GET", authority: "reviews:9080", scheme: "http", path, query: None, headers }
}

#[test]
fn a_route_configuration_compiles() {
    let compiled = routes_of(&route_config()).unwrap();
    assert!(!compiled.by_virtual_host);
    let host = compiled.table.host("reviews:9080").unwrap();
    let mut headers = ::http::HeaderMap::new();
    let chance = &mut || 0;
    let weighted = host.route(&request(&headers, "/x"), chance).unwrap().clone();
    headers.insert("end-user", "jason".parse().unwrap());
    let canary = host.route(&request(&headers, "/x"), chance).unwrap();
    assert_eq!((&*canary.name, &*canary.origin.as_ref().unwrap().rule), ("canary", "0"));
    let Action::Forward(forward) = &canary.action else { panic!() };
    assert_eq!((forward.timeout, forward.grpc_timeout), (None, GrpcTimeout::UpTo(None)));
    let retry = forward.retry.as_ref().unwrap();
    assert_eq!((retry.retries, retry.host_selection_attempts), (2, 5));
    assert!(retry.on.any(RetryOn::GRPC_UNAVAILABLE) && !retry.on.any(RetryOn::FIVE_XX));
    let Action::Forward(forward) = &weighted.action else { panic!() };
    let Destination::Clusters(clusters) = &forward.destination else { panic!() };
    assert_eq!(clusters.iter().map(|(weight, _)| *weight).collect::<Vec<_>>(), [90, 10]);
    assert_eq!(forward.timeout, Some(Duration::from_secs(15)));
}

#[test]
fn routes_that_cannot_be_honoured_are_refused_by_host_and_route() {
    let route = "/virtualHosts/0/routes/0";
    let within = "virtual_hosts[0]: (reviews.default.svc.cluster.local:9080) ";
    let cases = [
        (
            "/match",
            json!({"prefix": "/", "headers": [{"name": "a", "stringMatch": {"safeRegex": {"regex": "("}}}]}),
            "routes[0]: (canary) match.headers[0].string_match.safe_regex: regex \"(\": ",
        ),
        (
            "/match",
            json!({"safeRegex": {"regex": "a{9999999}"}}),
            "virtual host \"reviews.default.svc.cluster.local:9080\": regex \"a{9999999}\"",
        ),
        ("/match", json!({}), "routes[0]: (canary) match: a condition on the path is required"),
        (
            "/match",
            json!({"prefix": "/", "dynamicMetadata": [{"filter": "f", "path": [{"key": "a"}], "value": {"presentMatch": true}}]}),
            "routes[0]: (canary) match.dynamic_metadata[0]: a condition on metadata other than the claims of a token is not supported by this proxy",
        ),
        ("/route/cluster", json!(null), "routes[0]: (canary) route: a cluster is required"),
        (
            "/route/weightedClusters",
            json!({"clusters": [{"name": "a", "weight": 0}]}),
            "routes[0]: (canary) route: weighted_clusters: the weights must add up to 1 to 4294967295",
        ),
        (
            "/route/retryPolicy/retryHostPredicate/0/typedConfig",
            json!({"@type": "type.googleapis.com/envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate"}),
            "routes[0]: (canary) route.retry_policy.retry_host_predicate: retry host predicate \"envoy.retry_host_predicates.previous_hosts\" of type \"type.googleapis.com/envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate\" is not supported by this proxy",
        ),
        (
            "/typedPerFilterConfig",
            json!({"envoy.filters.http.lua": {"@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute", "disabled": true}}),
            "routes[0]: (canary) typed_per_filter_config[\"envoy.filters.http.lua\"]: HTTP filter \"envoy.filters.http.lua\" of type",
        ),
        (
            "/requestHeadersToAdd",
            json!([{"header": {"key": "a b", "value": "c"}}]),
            "routes[0]: (canary) request_headers_to_add[0].header: \"a b\" is not the name of a header",
        ),
        (
            "/requestHeadersToAdd",
            json!([{"header": {"key": "a", "value": "%NOPE%"}}]),
            "routes[0]: (canary) request_headers_to_add[0].header: header value operator %NOPE% is not supported",
        ),
    ];
    for (pointer, new, message) in cases {
        let mut value = route_config();
        if pointer == "/route/weightedClusters" {
            value["virtualHosts"][0]["routes"][0]["route"].as_object_mut().unwrap().remove("cluster");
        }
        let error = routes_of(&with(value, &format!("{route}{pointer}"), new)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{within}{message}")), "{pointer}: {error}");
    }
}

#[test]
fn redirects_direct_answers_and_faults_compile() {
    let value = json!({"name": "r", "virtualHosts": [{"name": "h", "domains": ["*"], "requireTls": "ALL", "routes": [
        {"match": {"path": "/old"}, "redirect": {"pathRedirect": "/new", "responseCode": "FOUND", "httpsRedirect": true}},
        {"match": {"pathSeparatedPrefix": "/a/"}, "directResponse": {"status": 418, "body": {"inlineString": "tea"}}},
        {"match": {"prefix": "/"}, "route": {"cluster": "c"}, "typedPerFilterConfig": {"envoy.filters.http.fault": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "abort": {"httpStatus": 555, "percentage": {"numerator": 10}},
            "delay": {"fixedDelay": "2s", "percentage": {"numerator": 100, "denominator": "MILLION"}}}}},
    ]}]});
    let compiled = routes_of(&value).unwrap();
    let routes = compiled.table.host("anything").unwrap().routes();
    let Action::Redirect(redirect) = &routes[0].action else { panic!() };
    assert_eq!((redirect.status.as_u16(), redirect.scheme.as_deref()), (302, Some("https")));
    let Action::Direct(direct) = &routes[1].action else { panic!() };
    assert_eq!((direct.status.as_u16(), &*direct.body), (418, b"tea".as_slice()));
    let fault = routes[2].fault.as_ref().unwrap();
    assert_eq!(fault.delay.unwrap().1, Duration::from_secs(2));
    assert_eq!((fault.abort.unwrap().0.0, fault.delay.unwrap().0.0), (100_000, 100));

    let bad = with(value, "/virtualHosts/0/routes/1/directResponse/status", json!(42));
    assert!(
        routes_of(&bad)
            .unwrap_err()
            .to_string()
            .ends_with("direct_response.status: 42 is not an HTTP status from 200 to 599")
    );
}

#[test]
fn a_table_whose_hosts_come_one_by_one_says_so() {
    let value = json!({"name": "9080", "vhds": {"configSource": {"ads": {}}}});
    assert!(routes_of(&value).unwrap().by_virtual_host);
}
