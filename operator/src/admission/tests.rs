//! The whole edge against an API server in memory: over TLS, as the API server asks.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{fake_api::FakeApi, probe, serve};

const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/trysail-operator";
const SECRET: &str = "/api/v1/namespaces/trysail-system/secrets/trysail-operator-webhook";
const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/trysail-operator";
const HOST: &str = "trysail-operator.trysail-system.svc";

fn chart(api: &FakeApi) {
    let metadata = json!({"name": "trysail-operator", "uid": "u1"});
    api.put(
        ROLE,
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata}),
    );
}

async fn replica(api: &FakeApi) -> Endpoint {
    let options = Options {
        address: ([127, 0, 0, 1], 0).into(),
        namespace: "trysail-system".to_owned(),
        release: Release::default(),
    };
    let metrics = ValidationMetrics::register(&mut Registry::default());
    start(api.client(), options, metrics, CancellationToken::new()).await.unwrap()
}

async fn until_registered(endpoint: &Endpoint) {
    let mut problem = endpoint.problem.clone();
    let waiting = problem.wait_for(Option::is_none);
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok();
    assert!(waited, "{:?}", endpoint.problem());
}

/// The roots that the API server would trust.
fn roots(api: &FakeApi) -> Vec<u8> {
    let bundle = api.get(CONFIGURATION).unwrap()["webhooks"][0]["clientConfig"]["caBundle"].take();
    STANDARD.decode(bundle.as_str().unwrap()).unwrap()
}

/// Asks as the API server does, over HTTP/2; the response of the review.
async fn review(api: &FakeApi, endpoint: &Endpoint, request: Value) -> Value {
    let stream = probe::connect(&endpoint.address().to_string(), HOST, &roots(api)).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let body = Full::<Bytes>::from(review.to_string());
    let request = Request::post(format!("https://{HOST}/validate")).body(body).unwrap();
    let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    answer["response"].clone()
}

fn install(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "mesh.trysail.dev/v1alpha1", "kind": "MeshInstall", "metadata": {"name": name}, "spec": spec,
    })
}

#[tokio::test]
async fn the_first_mesh_install_is_judged_and_so_is_the_second() {
    let api = FakeApi::default();
    chart(&api);
    let endpoint = replica(&api).await;
    until_registered(&endpoint).await;
    let create = |object: Value| json!({"uid": "u", "operation": "CREATE", "object": object});
    let first = install("default", json!({}));
    for (object, words) in [
        (
            install("default", json!({"profil": "demo"})),
            ["spec.profil: unknown field", "did you mean spec.profile?"],
        ),
        (
            install("default", json!({"profile": "gigantic"})),
            ["spec.profile: ", "default, demo, minimal, empty"],
        ),
        (
            install("default", json!({"components": {"pilot": {"k8s": {"replicaCount": -1}}}})),
            ["spec.components.pilot.k8s.replicaCount", "less than 0"],
        ),
    ] {
        let answer = review(&api, &endpoint, create(object)).await;
        assert_eq!(answer["allowed"], false);
        let message = answer["status"]["message"].as_str().unwrap();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    assert_eq!(review(&api, &endpoint, create(first.clone())).await["allowed"], true);

    api.put("/apis/mesh.trysail.dev/v1alpha1/meshinstalls/default", first.clone());
    let again = json!({"uid": "u", "operation": "UPDATE", "object": first.clone(), "oldObject": first});
    assert_eq!(review(&api, &endpoint, again).await["allowed"], true);
    let answer = review(&api, &endpoint, create(install("other", json!({"profile": "minimal"})))).await;
    let message = answer["status"]["message"].as_str().unwrap();
    assert!(message.contains("MeshInstall \"default\" has namespace \"istio-system\""), "{message}");
    let elsewhere = install("other", json!({"profile": "minimal", "namespace": "elsewhere"}));
    assert_eq!(review(&api, &endpoint, create(elsewhere)).await["allowed"], true);
}

#[tokio::test]
async fn the_configuration_harms_nobody_and_goes_with_the_chart() {
    let api = FakeApi::default();
    chart(&api);
    until_registered(&replica(&api).await).await;
    let configuration = api.get(CONFIGURATION).unwrap();
    let owner = json!([{
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "trysail-operator", "uid": "u1",
    }]);
    assert_eq!(configuration["metadata"]["ownerReferences"], owner);
    assert_eq!(api.get(SECRET).unwrap()["metadata"]["ownerReferences"], owner);
    let webhook = &configuration["webhooks"][0];
    assert_eq!((&webhook["failurePolicy"], &webhook["timeoutSeconds"]), (&json!("Ignore"), &json!(5)));
    // A misspelt field would be dropped here.
    let typed: k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration =
        serde_json::from_value(configuration.clone()).unwrap();
    assert_eq!(serde_json::to_value(typed).unwrap(), configuration);
}

#[tokio::test]
async fn replicas_and_those_that_follow_them_are_recognized_by_the_same_root() {
    let api = FakeApi::default();
    chart(&api);
    let (one, two) = (replica(&api).await, replica(&api).await);
    until_registered(&one).await;
    until_registered(&two).await;
    let trusted = roots(&api);
    let three = replica(&api).await;
    until_registered(&three).await;
    assert_eq!(roots(&api), trusted);
    for endpoint in [one, two, three] {
        probe::probe(&endpoint.address().to_string(), HOST, &trusted).await.unwrap();
    }
}

#[tokio::test]
async fn ready_is_who_is_registered() {
    let api = FakeApi::default();
    let endpoint = replica(&api).await;
    let router = serve::router(Arc::new(Registry::default()), endpoint.clone());
    let ask = async || {
        let request = Request::get("/readyz").body(Full::<Bytes>::default()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        (head.status, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
    };
    let mut changes = endpoint.problem.clone();
    changes.changed().await.unwrap();
    let (status, problem) = ask().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(problem.contains("ClusterRole trysail-operator"), "{problem}");
    assert_eq!(api.list(), [""; 0]);
    chart(&api);
    until_registered(&endpoint).await;
    assert!(api.get(CONFIGURATION).is_some());
    assert_eq!(ask().await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_is_removed_or_spoilt_is_made_again() {
    let api = FakeApi::default();
    chart(&api);
    let endpoint = replica(&api).await;
    until_registered(&endpoint).await;
    let identity = Identity::empty();
    let tls = pki::tls::server_config(identity.clone(), ClientAuth::None, &[]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = ValidationMetrics::register(&mut Registry::default());
    let router = webhook::validation_router(Bench::new(api.client(), Release::default()), metrics);
    tokio::spawn(listen::serve(listener, tls, router, CancellationToken::new()));
    let mut registrar = Registrar::new(api.client(), "trysail-system".to_owned(), identity, address);
    registrar.round().await.unwrap();
    let before = (roots(&api), api.get(SECRET).unwrap());

    api.remove(CONFIGURATION);
    registrar.round().await.unwrap();
    assert_eq!(roots(&api), before.0);

    api.remove(SECRET);
    registrar.round().await.unwrap();
    let second = roots(&api);
    assert_ne!(second, before.0);
    probe::probe(&address.to_string(), HOST, &second).await.unwrap();

    api.change(SECRET, &json!({"data": {"tls.key": "bm9uZQ=="}}));
    registrar.round().await.unwrap();
    assert_ne!(roots(&api), second);
    probe::probe(&address.to_string(), HOST, &roots(&api)).await.unwrap();
}

#[tokio::test]
async fn nobody_is_told_to_ask_an_endpoint_that_does_not_answer() {
    let api = FakeApi::default();
    chart(&api);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap();
    drop(listener);
    let mut registrar = Registrar::new(api.client(), "trysail-system".to_owned(), Identity::empty(), silent);
    let problem = registrar.round().await.unwrap_err().to_string();
    assert!(problem.contains("the own webhook: no connection"), "{problem}");
    assert!(api.get(CONFIGURATION).is_none());
}
