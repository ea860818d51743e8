//! What one replica tells another, and nobody else.

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::{Request, StatusCode};
use tonic::transport::Channel;
use tower::ServiceExt as _;

use crate::certificates::identity_of;
use crate::stage::Stage;

/// A question about an object that the folder's mesh knows no generation of.
const QUESTION: &str = r#"[{"kind": "VirtualService", "namespace": "shop", "name": "a", "generation": 1}]"#;

async fn ask(channel: Channel, question: &str) -> (StatusCode, String) {
    let request = Request::post("http://istiod/trysail.status/Progress")
        .header("content-type", "application/json")
        .body(tonic::body::Body::new(Body::from(question.to_owned())))
        .unwrap();
    let response = channel.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn replicas_are_answered_and_workloads_are_not() {
    let stage = Stage::new().await;
    let replica = identity_of(&stage, "istio-system", "istiod", 600).await;
    let workload = identity_of(&stage, "shop", "web", 600).await;
    let answer = ask(stage.secure(Some(replica.clone())).await, QUESTION).await;
    assert_eq!(answer, (StatusCode::OK, "[null]".to_owned()), "not in force here");
    let unknown = QUESTION.replace("VirtualService", "Pigeon");
    let answer = ask(stage.secure(Some(replica)).await, &unknown).await;
    assert_eq!(answer, (StatusCode::OK, "[null]".to_owned()), "a kind of a newer replica");
    for channel in [stage.secure(Some(workload)).await, stage.secure(None).await, stage.plaintext().await] {
        assert_eq!(ask(channel, QUESTION).await.0, StatusCode::FORBIDDEN);
    }
}
