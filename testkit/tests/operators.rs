//! Operators in header values and access logs: what is let through is what our proxy and a stock Envoy both take, and what
//! is held back is refused by one of them.

use std::process::Command;

use proxy::observe::log::Format;
use proxy::snapshot::headers::Value;
use proxy::snapshot::http::LogFormat;
use serde_json::{Value as Json, json};
use testkit::envoy_binary;
use xds::operators::{PLAIN, header_problems, problems};

/// A listener whose only route adds a header, or that logs in a format.
fn listener(header: Option<&str>, log: Option<&str>) -> Json {
    let of = |path: &str| format!("type.googleapis.com/envoy.extensions.{path}");
    let added: Vec<Json> =
        header.map(|value| json!({"header": {"key": "x", "value": value}})).into_iter().collect();
    let formatter = json!({"name": "envoy.formatter.req_without_query", "typed_config":
        {"@type": of("formatter.req_without_query.v3.ReqWithoutQuery")}});
    let file = |format: &str| {
        json!({"name": "file", "typed_config": {"@type": of("access_loggers.file.v3.FileAccessLog"), "path": "/dev/null",
            "log_format": {"text_format_source": {"inline_string": format}, "formatters": [formatter]}}})
    };
    let manager = json!({
        "@type": of("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "x",
        "access_log": log.map(file).into_iter().collect::<Vec<_>>(),
        "http_filters": [{"name": "router", "typed_config": {"@type": of("filters.http.router.v3.Router")}}],
        "route_config": {"virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "direct_response": {"status": 200}, "request_headers_to_add": added},
        ]}]},
    });
    json!({"static_resources": {"listeners": [{
        "name": "l",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }]}})
}

fn envoy_takes(configuration: &Json) -> anyhow::Result<bool> {
    let mut envoy = Command::new(envoy_binary()?);
    envoy.args(["--mode", "validate", "--log-level", "off", "--config-yaml", &configuration.to_string()]);
    Ok(envoy.output()?.status.success())
}

fn proxy_logs(format: &str) -> bool {
    Format::new(&LogFormat::Text(format.into())).is_ok()
}

#[test]
fn what_is_let_through_is_taken_by_both() {
    let plain = format!("%{}%", PLAIN.join("% %"));
    let others = "100%% %REQ(:path?x-a):5% %RESP(x-b)% %TRAILER(c)% %DYNAMIC_METADATA(a:b)% %ENVIRONMENT(X)% \
        %CLUSTER_METADATA(a:b)% %UPSTREAM_METADATA([\"a\", \"b\"])% %FILTER_STATE(a)% %FILTER_STATE(a:TYPED):5% \
        %UPSTREAM_FILTER_STATE(a:FIELD:b)% %METADATA(ROUTE:istio:config)% %METADATA(VIRTUAL_HOST:a):5% %START_TIME% \
        %START_TIME(%Y-%m-%dT%H:%M:%S.%3f %E6S %s %b %e %j %Z%z)% %GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)%";
    for text in [plain.as_str(), others] {
        assert!(header_problems(text).is_empty() && problems(text).is_empty(), "{:?}", problems(text));
        assert!(Value::parse(text).is_ok() && proxy_logs(text), "our proxy: {:?}", Value::parse(text));
        assert!(envoy_takes(&listener(Some(text), Some(text))).unwrap(), "Envoy: {text}");
    }
    let path = "%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH):9%";
    assert!(
        problems(path).is_empty() && proxy_logs(path) && envoy_takes(&listener(None, Some(path))).unwrap()
    );
    assert!(!header_problems(path).is_empty() && !envoy_takes(&listener(Some(path), None)).unwrap());
}

#[test]
fn what_is_held_back_is_refused_by_one() {
    for text in [
        "%FOO%",
        "%req(a)%",
        "50%",
        "50% off",
        "50% of 20%",
        "%START_TIME%%",
        "%REQ%",
        "%REQ()%",
        "%REQ(a b)%",
        "%REQ(a/b)%",
        "%REQ(a?b?c)%",
        "%REQ(a)x%",
        "%REQ(a):x%",
        "%REQ(a):99999999999999999999999%",
        "%DURATION(a)%",
        "%DURATION:5%",
        "%START_TIME:5%",
        "%START_TIME(%n)%",
        "%START_TIME(%Q)%",
        "%START_TIME(%Y(%m)%d)%",
        "%GRPC_STATUS(X)%",
        "%FILTER_STATE(a:b)%",
        "%METADATA(a)%",
        "%METADATA%",
        "%ENVIRONMENT%",
        "%UPSTREAM_METADATA(a:b):5%",
        "%RESPONSE_CODE_DETAILS(a)%",
        "%QUERY_PARAM(a)%",
        "%VIRTUAL_HOST_NAME%",
    ] {
        assert!(!header_problems(text).is_empty(), "{text}");
        assert!(Value::parse(text).is_err() || !envoy_takes(&listener(Some(text), None)).unwrap(), "{text}");
        assert!(!proxy_logs(text) || !envoy_takes(&listener(None, Some(text))).unwrap(), "{text} in a log");
    }
}
