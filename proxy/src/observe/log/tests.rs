use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::{
    observe::{LocalWorkload, StatsFilter, sample},
    request::outcome::Flags,
    snapshot::{
        http::LogFormat,
        route::{Action, Forward, Origin, Route},
    },
};

const ISTIO: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% \
    %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \
    \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
    %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \
    \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% \
    %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

fn text(format: &str, outcome: &Outcome) -> String {
    let format = Format::new(&LogFormat::Text(format.into())).unwrap();
    let mut line = Vec::new();
    format.render(outcome, &mut line);
    String::from_utf8(line).unwrap()
}

/// Without the date, which is always another.
fn istio(outcome: &Outcome) -> String {
    let line = text(ISTIO, outcome);
    line[line.find("] ").unwrap() + 2..].to_owned()
}

#[test]
fn istios_line_for_a_request() {
    assert_eq!(
        istio(&sample::outbound()),
        "\"GET /reviews/0?full=1 HTTP/1.1\" 200 - via_upstream - \"-\" 0 295 6 4 \"-\" \"curl/8.5.0\" \"abc-123\" \
         \"reviews:9080\" \"10.1.2.3:9080\" outbound|9080||reviews.default.svc.cluster.local 10.1.0.9:52000 \
         10.96.0.7:9080 10.0.0.9:41000 - default\n"
    );
}

#[test]
fn istios_line_for_a_request_without_a_route() {
    let mut outcome = sample::outbound();
    outcome.route = None;
    outcome.cluster = None;
    outcome.endpoint = None;
    outcome.upstream_local = None;
    outcome.response_headers = None;
    outcome.status = Some(http::StatusCode::NOT_FOUND);
    outcome.fail(Flags::NO_ROUTE, "route_not_found");
    assert_eq!(
        istio(&outcome),
        "\"GET /reviews/0?full=1 HTTP/1.1\" 404 NR route_not_found - \"-\" 0 295 6 - \"-\" \"curl/8.5.0\" \"abc-123\" \
         \"reviews:9080\" \"-\" - - 10.96.0.7:9080 10.0.0.9:41000 - -\n"
    );
}

#[test]
fn istios_line_for_a_connection() {
    let mut outcome = sample::outbound();
    outcome.request = None;
    outcome.protocol = crate::request::outcome::Protocol::Tcp;
    outcome.status = None;
    outcome.response_headers = None;
    outcome.details = "".into();
    assert_eq!(
        istio(&outcome),
        "\"- - -\" 0 - - - \"-\" 0 295 6 - \"-\" \"-\" \"-\" \"-\" \"10.1.2.3:9080\" \
         outbound|9080||reviews.default.svc.cluster.local 10.1.0.9:52000 10.96.0.7:9080 10.0.0.9:41000 - default\n"
    );
}

#[test]
fn a_client_cannot_split_a_line_or_end_a_field() {
    let mut outcome = sample::outbound();
    let hostile = "a\" 200 - \\ \t end";
    outcome.request.as_mut().unwrap().headers = Some(Box::new(sample::headers(&[("user-agent", hostile)])));
    outcome.upstream_failure = Some("first\r\nsecond".into());
    let line = text("\"%REQ(USER-AGENT)%\" %UPSTREAM_TRANSPORT_FAILURE_REASON%\n", &outcome);
    assert_eq!(line, "\"a\\\" 200 - \\\\ \\x09 end\" first\\x0d\\x0asecond\n");
}

#[test]
fn json_keeps_types() {
    let value = json!({
        "code": "%RESPONSE_CODE%", "sent": "%BYTES_SENT%", "agent": "%REQ(USER-AGENT)%", "sni": "%REQUESTED_SERVER_NAME%",
        "both": "%PROTOCOL% %ROUTE_NAME%", "fixed": 1, "nested": {"flags": ["%RESPONSE_FLAGS%"]},
    });
    let format = Format::new(&LogFormat::Json(Arc::new(value))).unwrap();
    let mut line = Vec::new();
    format.render(&sample::outbound(), &mut line);
    assert_eq!(line.pop(), Some(b'\n'));
    let got: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(
        got,
        json!({
            "code": 200, "sent": 295, "agent": "curl/8.5.0", "sni": null, "both": "HTTP/1.1 default", "fixed": 1,
            "nested": {"flags": ["-"]},
        })
    );
}

#[test]
fn operators_say_what_they_say_in_envoy() {
    let mut outcome = sample::inbound();
    outcome.grpc_status = Some(14);
    outcome.attempts = 2;
    let mut route = Route::new(Action::Forward(Box::new(Forward::to_cluster("x"))));
    route.origin = Some(Origin { config: "/a/reviews".into(), rule: "canary".into() });
    outcome.route = Some(Arc::new(route));
    for (format, want) in [
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%", "10.0.0.9 41000"),
        ("%DOWNSTREAM_LOCAL_PORT% %UPSTREAM_REMOTE_ADDRESS%", "9080 10.1.2.3:9080"),
        ("%DOWNSTREAM_PEER_URI_SAN%", "spiffe://cluster.local/ns/shop/sa/productpage"),
        ("%DOWNSTREAM_LOCAL_URI_SAN%", "spiffe://cluster.local/ns/default/sa/reviews"),
        ("%DOWNSTREAM_TLS_VERSION% %CONNECTION_ID%", "TLSv1.3 7"),
        ("%GRPC_STATUS% %GRPC_STATUS_NUMBER% %GRPC_STATUS(NUMBER)%", "Unavailable 14 14"),
        ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "2"),
        ("%REQ(USER-AGENT):4%|%REQ(x-missing?user-agent)%", "curl|curl/8.5.0"),
        ("%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%", "/reviews/0"),
        ("%RESP(:STATUS)% 100%%", "200 100%"),
        ("%DYNAMIC_METADATA(istio:x)% %FILTER_STATE(x)%", "- -"),
        ("%METADATA(ROUTE:istio:config)% %METADATA(ROUTE:istio:rule):2%", "/a/reviews ca"),
        ("%METADATA(CLUSTER:istio:config)% %CLUSTER_METADATA(istio:subset)%", "- -"),
        ("%METADATA(ROUTE:other:config)% %METADATA(ROUTE:istio:else)%", "- -"),
        ("%START_TIME(%Y)%", "2"),
    ] {
        let line = text(format, &outcome);
        assert!(line == want || (format.starts_with("%START") && line.len() == 4), "{format}: {line}");
    }
}

#[test]
fn formats_that_envoy_would_not_know_are_refused() {
    for (format, why) in [
        ("%NONSENSE%", "access log format: operator %NONSENSE% is not supported; remove it"),
        ("%REQ(%", "access log format \"%REQ(%\" has a lone %; write %% for a percent sign"),
        ("100%", "access log format \"100%\" has a lone %; write %% for a percent sign"),
        ("%START_TIME(%Q)%", "access log format: operator %START_TIME(%Q)% is not supported; remove it"),
    ] {
        let error = Format::new(&LogFormat::Text(format.into())).unwrap_err();
        assert_eq!(error.to_string(), why);
    }
}

#[test]
fn lines_reach_their_file() {
    let directory = tempfile::tempdir().unwrap();
    let path: Arc<str> = directory.path().join("log").to_str().unwrap().into();
    let observe = Observe::new(LocalWorkload::default(), "", StatsFilter::default());
    let log = AccessLog { path: path.clone(), format: LogFormat::Text("%RESPONSE_CODE%\n".into()) };
    let mut formats = LogFormats::new(observe.clone());
    for _ in 0..5000 {
        formats.write(std::slice::from_ref(&log), &sample::outbound());
    }
    formats.flush();
    observe.flush_logs();
    assert_eq!(std::fs::read_to_string(&*path).unwrap(), "200\n".repeat(5000));
    assert_eq!(observe.writers.lines(), (5000, 0));
}

#[test]
fn a_file_that_cannot_be_written_costs_lines_only() {
    let observe = Observe::new(LocalWorkload::default(), "", StatsFilter::default());
    let log = AccessLog { path: "/nonexistent/log".into(), format: LogFormat::Text("x\n".into()) };
    let mut formats = LogFormats::new(observe.clone());
    formats.write(&[log], &sample::outbound());
    formats.flush();
    observe.flush_logs();
    assert_eq!(observe.writers.lines(), (0, 1));
}
