//! The HTTP edge, request by request.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{StreamExt, stream};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt;
use webhook::{Judge, Metrics, ValidationMetrics, WebhookState, router, validation_router};

use crate::support::{container, injector};

struct Edge {
    state: WebhookState,
    registry: Registry,
}

impl Edge {
    fn new() -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let context = Arc::new(arc_swap::ArcSwap::from_pointee(injector("v1.34.4")));
        Self { state: WebhookState { context, metrics }, registry }
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> (StatusCode, Bytes) {
        let request = Request::post(path).body(body.into()).unwrap();
        let response = router(self.state.clone(), ()).oneshot(request).await.unwrap();
        (response.status(), response.into_body().collect().await.unwrap().to_bytes())
    }

    async fn review(&self, path: &str, request: Value) -> Value {
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let (status, body) = self.post(path, review.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{body:?}");
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer["response"]["uid"], "u1");
        answer["response"].clone()
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

fn pod(annotations: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "web-1-", "annotations": annotations, "managedFields": [{"manager": "x"}]},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    })
}

fn virtual_service(http: Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "reviews", "namespace": "shop"},
        "spec": {"hosts": ["reviews"], "http": http},
    })
}

#[tokio::test]
async fn a_pod_gets_a_patch_that_gives_it_its_proxy() {
    let edge = Edge::new();
    let object = pod(json!({}));
    let response = edge
        .review("/inject", json!({"uid": "u1", "namespace": "shop", "operation": "CREATE", "object": object}))
        .await;
    assert_eq!(response["allowed"], true);
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut patched = object;
    json_patch::patch(&mut patched, &patch).unwrap();
    assert!(container(&patched, "istio-proxy").is_some());
    assert_eq!(patched["metadata"]["managedFields"], json!([{"manager": "x"}]));
    assert_eq!(patched["metadata"].get("namespace"), None);
}

#[tokio::test]
async fn pods_left_alone_pass_and_pods_that_cannot_be_injected_do_not() {
    let edge = Edge::new();
    let request = |namespace: &str, annotations: Value| json!({"uid": "u1", "namespace": namespace, "object": pod(annotations)});
    let skipped = edge.review("/inject", request("kube-system", json!({}))).await;
    assert_eq!((&skipped["allowed"], skipped.get("patch")), (&json!(true), None));
    let refused = edge.review("/inject", request("shop", json!({"sidecar.istio.io/proxyCPU": "x"}))).await;
    assert_eq!(refused["allowed"], false);
    assert!(
        refused["status"]["message"].as_str().unwrap().contains("Pod shop/web-1-*: annotation"),
        "{refused}"
    );
    let metrics = edge.metrics();
    for line in [
        "sidecar_injection_requests_total 2",
        "sidecar_injection_success_total 1",
        "sidecar_injection_skip_total 1",
        "sidecar_injection_failure_total 1",
        "sidecar_injection_time_seconds_count 2",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn objects_are_judged_with_warnings() {
    let edge = Edge::new();
    let request = |object: Value| json!({"uid": "u1", "operation": "CREATE", "object": object});
    let good = json!([{"route": [{"destination": {"host": "reviews"}}]}]);
    let accepted = edge.review("/validate", request(virtual_service(good))).await;
    assert_eq!(accepted["allowed"], true);
    let bad = json!([{"route": [{"destination": {"host": "reviews"}, "weight": -1}]}]);
    let refused = edge.review("/validate", request(virtual_service(bad.clone()))).await;
    assert_eq!(refused["allowed"], false);
    let message = refused["status"]["message"].as_str().unwrap();
    assert!(message.contains("VirtualService shop/reviews") && message.contains("weight"), "{message}");
    let mut leaving = virtual_service(bad);
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(edge.review("/validate", request(leaving)).await["allowed"], true);
    let deleted = edge.review("/validate", json!({"uid": "u1", "operation": "DELETE", "object": null})).await;
    assert_eq!(deleted["allowed"], true);
    let metrics = edge.metrics();
    let kind = r#"group="networking.istio.io",version="v1",resource="virtualservices""#;
    assert!(metrics.contains(&format!("galley_validation_passed{{{kind}}} 1")), "{metrics}");
    assert!(
        metrics.contains(&format!("galley_validation_failed{{{kind},reason=\"invalid_resource\"}} 1")),
        "{metrics}"
    );
}

/// Objects to a name that is taken.
#[derive(Clone)]
struct Taken(&'static str);

impl Judge for Taken {
    async fn objections(&self, object: &Value, old: Option<&Value>) -> Vec<crds::Problem> {
        let taken = old.is_none() && object["metadata"]["name"] == self.0;
        let objection = crds::Problem { field: "metadata.name".into(), message: "is taken".into() };
        taken.then_some(objection).into_iter().collect()
    }
}

#[tokio::test]
async fn whoever_mounts_the_edge_has_the_last_word() {
    let metrics = ValidationMetrics::register(&mut Registry::default());
    let router = validation_router(Taken("b"), metrics);
    let install = |name: &str, spec: Value| json!({"apiVersion": "mesh.trysail.dev/v1alpha1", "kind": "MeshInstall", "metadata": {"name": name}, "spec": spec});
    for (request, refusal) in [
        (json!({"uid": "u", "object": install("a", json!({}))}), None),
        (json!({"uid": "u", "object": install("b", json!({}))}), Some("metadata.name: is taken")),
        (json!({"uid": "u", "object": install("b", json!({})), "oldObject": install("b", json!({}))}), None),
        (
            json!({"uid": "u", "object": install("b", json!({"profil": "demo"}))}),
            Some("did you mean spec.profile?"),
        ),
        (json!({"uid": "u", "operation": "DELETE"}), None),
    ] {
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let request = Request::post("/validate").body(Body::from(review.to_string())).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.to_bytes()).unwrap();
        let message = answer["response"]["status"]["message"].as_str();
        assert_eq!(answer["response"]["allowed"], refusal.is_none(), "{answer}");
        assert_eq!(
            message.is_some_and(|said| said.ends_with(refusal.unwrap())),
            refusal.is_some(),
            "{answer}"
        );
    }
}

/// Each as the API server passes it on, without the fields that it does not know; kubectl's record has them.
#[tokio::test]
async fn what_guides_get_wrong_is_accepted_with_the_right_word() {
    let edge = Edge::new();
    let rule = |policy: Value| json!({"host": "a", "trafficPolicy": policy});
    for (kind, written, arrives, warning) in [
        (
            "DestinationRule",
            rule(json!({"connectionPool": {"tcp": {"maxRetries": 3}}})),
            rule(json!({"connectionPool": {"tcp": {"maxConnections": 1}}})),
            "did you mean spec.trafficPolicy.connectionPool.http.maxRetries?",
        ),
        (
            "DestinationRule",
            rule(json!({"connectionPool": {"http": {"pendingRequests": 3}}})),
            rule(json!({"connectionPool": {"http": {"http2MaxRequests": 1}}})),
            "did you mean spec.trafficPolicy.connectionPool.http.http1MaxPendingRequests?",
        ),
        (
            "DestinationRule",
            rule(json!({"outlierDetection": {"consecutiveErrors": 3}})),
            rule(json!({"outlierDetection": {"consecutiveErrors": 3}})),
            "use consecutive5xxErrors",
        ),
        (
            "DestinationRule",
            rule(json!({"loadBalancer": {"simple": "LEAST_CONN"}})),
            rule(json!({"loadBalancer": {"simple": "LEAST_CONN"}})),
            "LEAST_REQUEST",
        ),
        (
            "DestinationRule",
            json!({"host": "a", "retries": {"attempts": 3}}),
            json!({"host": "a"}),
            "retries belong in the VirtualService: spec.http[].retries",
        ),
        (
            "DestinationRule",
            rule(json!({"loadBalancer": {"simple": "RANDOM"}, "retries": {"attempts": 3}})),
            rule(json!({"loadBalancer": {"simple": "RANDOM"}})),
            "retries belong in the VirtualService: spec.http[].retries",
        ),
        (
            "VirtualService",
            json!({"host": "a", "http": [{"route": [{"destination": {"host": "a"}}]}]}),
            json!({"http": [{"route": [{"destination": {"host": "a"}}]}]}),
            "did you mean spec.hosts?",
        ),
    ] {
        let object = |spec: &Value| json!({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": "a", "namespace": "shop"}, "spec": spec});
        let mut arriving = object(&arrives);
        arriving["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/last-applied-configuration": object(&written).to_string()});
        let answer =
            edge.review("/validate", json!({"uid": "u1", "operation": "CREATE", "object": arriving})).await;
        assert_eq!(answer["allowed"], true, "{written}: {answer}");
        let warnings = answer["warnings"].as_array().unwrap();
        assert!(warnings.iter().any(|said| said.as_str().unwrap().contains(warning)), "{written}: {answer}");
    }
}

/// Knows a mesh that lacks something.
#[derive(Clone)]
struct Lacking(&'static str);

impl Judge for Lacking {
    async fn objections(&self, _: &Value, _: Option<&Value>) -> Vec<crds::Problem> {
        Vec::new()
    }

    fn warnings(&self, _: &Value) -> Vec<String> {
        vec![
            self.0.to_owned(),
            "spec.http[1]: is never reached: http[0] before it takes everything".to_owned(),
        ]
    }
}

#[tokio::test]
async fn whoever_knows_the_mesh_adds_warnings() {
    let edge = Edge::new();
    let rule = json!({"route": [{"destination": {"host": "reviews"}}]});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "u", "operation": "CREATE", "object": virtual_service(json!([rule, rule]))}});
    let request = Request::post("/validate").body(Body::from(review.to_string())).unwrap();
    let response = router(edge.state.clone(), Lacking("no such host")).oneshot(request).await.unwrap();
    let answer = response.into_body().collect().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.to_bytes()).unwrap();
    assert_eq!(
        answer["response"]["warnings"],
        json!(["no such host", "spec.http[1]: is never reached: http[0] before it takes everything"]),
        "each once"
    );
}

#[tokio::test]
async fn what_is_no_review_is_answered_with_what_is_missing() {
    let edge = Edge::new();
    let review = |fields: Value| {
        let mut review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"});
        review.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        review.to_string()
    };
    let cases = [
        ("hello".to_owned(), 400, "is not JSON"),
        (String::new(), 400, "is not JSON"),
        ("[".repeat(10_000), 400, "is not JSON"),
        ("{}".to_owned(), 400, "kind is missing"),
        (review(json!({"kind": "Pod"})), 400, "kind is Pod"),
        (
            review(json!({"apiVersion": "admission.k8s.io/v1beta1"})),
            400,
            "apiVersion is admission.k8s.io/v1beta1",
        ),
        (review(json!({})), 400, "request is missing"),
        (review(json!({"request": 7})), 400, "request can't be read"),
        (review(json!({"request": {}})), 400, "request.uid is missing"),
        (review(json!({"request": {"uid": "u1"}})), 200, "request.object is missing"),
        (review(json!({"request": {"uid": "u1", "object": {}}})), 200, "request.object has no kind"),
    ];
    for path in ["/inject", "/validate"] {
        for (body, status, message) in &cases {
            let (found, answer) = edge.post(path, body.clone()).await;
            let answer = String::from_utf8_lossy(&answer);
            assert_eq!(found.as_u16(), *status, "{path} {message}: {answer}");
            assert!(answer.contains(message), "{path} {message}: {answer}");
            assert!(*status != 200 || answer.contains("\"allowed\":false"), "{answer}");
        }
    }
    for (object, message) in [
        (json!({"kind": "Service", "metadata": {}}), "is a Service"),
        (json!({"kind": "Pod"}), "metadata is missing"),
        (json!({"kind": "Pod", "metadata": {}}), "spec is missing"),
        (json!({"kind": "Pod", "metadata": {}, "spec": []}), "spec"),
    ] {
        let refused = edge.review("/inject", json!({"uid": "u1", "object": object})).await;
        assert!(refused["status"]["message"].as_str().unwrap().contains(message), "{refused}");
    }
}

#[tokio::test]
async fn a_client_that_sends_ten_mebibytes_hears_that_it_is_too_much() {
    let edge = Edge::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let server = tokio::spawn(axum::serve(listener, router(edge.state.clone(), ())).into_future());
    for path in ["/inject", "/validate"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: istiod\r\nContent-Length: {}\r\n\r\n", 10 << 20);
        stream.write_all(head.as_bytes()).await.unwrap();
        // Like many clients, this one listens when it has said everything.
        stream.write_all(&vec![b' '; 10 << 20]).await.unwrap();
        let mut answer = String::new();
        while !answer.contains("larger than 3145728 bytes") {
            let mut some = [0; 1024];
            let count = stream.read(&mut some).await.unwrap();
            assert_ne!(count, 0, "closed after {answer:?}");
            answer.push_str(std::str::from_utf8(&some[..count]).unwrap());
        }
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_not_read_without_end() {
    let edge = Edge::new();
    let chunk = Bytes::from(vec![b' '; 1 << 20]);
    let endless = stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
    let (status, _) = edge.post("/inject", Body::from_stream(endless)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    // What stops coming in the middle is too large all the same.
    let stuck = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 4 << 20]))]);
    let stuck = Body::from_stream(stuck.chain(stream::pending()));
    let (status, _) = edge.post("/inject", stuck).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_not_waited_for() {
    let edge = Edge::new();
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let (status, _) = edge.post("/validate", never).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn a_new_configuration_takes_effect_at_once() {
    let edge = Edge::new();
    let values = r#"{"global": {"hub": "other.io"}}"#;
    edge.state.context.store(Arc::new(webhook::inject::InjectContext::read("", "", values, "").unwrap()));
    let response =
        edge.review("/inject", json!({"uid": "u1", "namespace": "shop", "object": pod(json!({}))})).await;
    let patch = STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    assert!(String::from_utf8_lossy(&patch).contains("other.io/proxyv2"));
}

#[tokio::test]
async fn other_methods_and_paths_are_told_so() {
    let edge = Edge::new();
    for (method, path, expected) in [("GET", "/inject", 405), ("POST", "/", 404)] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = router(edge.state.clone(), ()).oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), expected);
    }
}
