//! Delta discovery, as a proxy meets it.

use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::google::rpc;
use prost::Message as _;
use std::time::Duration;
use tonic::Code;
use xds::ResourceType::{Cluster, Endpoints, Secret};

use crate::pages;
use crate::stage::{Proxy, Stage, ask, gateway, names, node, service, slice};

const A: &str = "outbound|80||a.shop.svc.cluster.local";
const BB: &str = "outbound|80||bb.shop.svc.cluster.local";

async fn connected(stage: &Stage) -> Proxy {
    let mut proxy = Proxy::connect(stage.plaintext().await, None, node("web-1", "shop")).await.unwrap();
    let clusters = proxy.next().await.unwrap();
    assert!(names(&clusters).contains(&A), "{:?}", names(&clusters));
    assert!(clusters.control_plane.unwrap().identifier.contains("istiod"));
    proxy
}

#[tokio::test]
async fn a_file_changes_and_the_proxy_follows() {
    let stage = Stage::new().await;
    let mut proxy = connected(&stage).await;
    proxy.send(ask(Endpoints, &[A])).await;
    assert_eq!(names(&proxy.next().await.unwrap()), [A]);

    stage.write("a-eps", &slice("a", "10.1.0.2"));
    let endpoints = proxy.next().await.unwrap();
    let body = &endpoints.resources[0].resource.as_ref().unwrap().value;
    assert!(format!("{:?}", ClusterLoadAssignment::decode(body.as_slice()).unwrap()).contains("10.1.0.2"));

    stage.write("bb", &service("bb"));
    assert_eq!(names(&proxy.next().await.unwrap()), [BB], "only the new cluster");
    stage.remove("bb");
    let gone = proxy.next().await.unwrap();
    assert_eq!(gone.removed_resources, [BB]);
    stage.running.stop().await;
}

#[tokio::test]
async fn a_broken_file_changes_nothing() {
    let stage = Stage::new().await;
    let mut proxy = connected(&stage).await;
    stage.write("a", "apiVersion: [");
    proxy.is_quiet().await;
    stage.write("a", &service("a"));
    proxy.is_quiet().await;
    stage.remove("a");
    assert_eq!(proxy.next().await.unwrap().removed_resources, [A]);
}

#[tokio::test]
async fn who_reconnects_with_versions_is_sent_nothing_twice() {
    let stage = Stage::new().await;
    let mut first = Proxy::connect(stage.plaintext().await, None, node("web-1", "shop")).await.unwrap();
    let held = first.next().await.unwrap();
    drop(first);
    let mut again = Proxy::connect(stage.plaintext().await, None, node("web-2", "shop")).await.unwrap();
    let fresh = again.next().await.unwrap();
    let versions = |response: &envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse| {
        response
            .resources
            .iter()
            .map(|one| (one.name.clone(), one.version.clone()))
            .collect::<std::collections::HashMap<_, _>>()
    };
    assert_eq!(versions(&held), versions(&fresh), "versions are those of the content");
}

#[tokio::test]
async fn a_rejected_resource_is_counted_and_not_sent_again() {
    let stage = Stage::new().await;
    let mut proxy = Proxy::connect(stage.plaintext().await, None, node("web-1", "shop")).await.unwrap();
    let clusters = proxy.receive().await.unwrap();
    let error_detail = Some(rpc::Status { code: 3, message: "a: unknown filter".into(), details: vec![] });
    let nonce = clusters.nonce.clone();
    let nack = DeltaDiscoveryRequest { response_nonce: nonce, error_detail, ..ask(Cluster, &[]) };
    proxy.send(nack).await;
    proxy.is_quiet().await;
    let metrics = pages::get(stage.running.addresses.monitoring, "/metrics").await.1;
    assert!(metrics.contains("pilot_total_xds_rejects{type=\"cds\"} 1"), "{metrics}");
    let syncz = pages::get(stage.running.addresses.monitoring, "/debug/syncz").await.1;
    assert!(syncz.contains("a: unknown filter"), "{syncz}");
}

#[tokio::test]
async fn over_tls_a_token_opens_a_stream_for_its_own_namespace_only() {
    let stage = Stage::new().await;
    let own = Proxy::connect(stage.secure(None).await, Some("web-token"), node("web-1", "shop")).await;
    assert!(names(&own.unwrap().next().await.unwrap()).contains(&A));
    for (token, code) in [
        (None, Code::Unauthenticated),
        (Some("forged"), Code::Unauthenticated),
        (Some("old-token"), Code::Unauthenticated),
        (Some("vault-token"), Code::Unauthenticated),
        (Some("other-token"), Code::PermissionDenied),
    ] {
        let outcome = match Proxy::connect(stage.secure(None).await, token, node("web-1", "shop")).await {
            Ok(mut proxy) => proxy.next().await.map(drop),
            Err(status) => Err(status),
        };
        assert_eq!(outcome.unwrap_err().code(), code, "{token:?}");
    }
}

#[tokio::test]
async fn a_first_request_without_a_node_is_refused() {
    let stage = Stage::new().await;
    for bad in ["", "nonsense", "sidecar~1.2.3.4~x~y"] {
        let node = envoy_types::pb::envoy::config::core::v3::Node { id: bad.into(), ..node("x", "shop") };
        let mut proxy = Proxy::connect(stage.plaintext().await, None, node).await.unwrap();
        assert_eq!(proxy.next().await.unwrap_err().code(), Code::InvalidArgument, "{bad:?}");
    }
}

#[tokio::test]
async fn stopping_ends_the_streams() {
    let stage = Stage::new().await;
    let mut proxy = connected(&stage).await;
    let stopped = tokio::time::timeout(Duration::from_secs(3), stage.running.stop());
    stopped.await.expect("an open stream does not hold it up");
    assert!(proxy.receive().await.is_err());
}

const GATEWAY: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: shop}
spec:
  selector: {istio: ingress}
  servers:
  - hosts: [shop.example]
    port: {number: 443, name: https, protocol: HTTPS}
    tls: {mode: SIMPLE, credentialName: cred}
---
apiVersion: v1
kind: Secret
metadata: {name: cred, namespace: shop}
stringData: {tls.crt: the certificate, tls.key: the key}
";

#[tokio::test]
async fn keys_leave_only_to_an_authenticated_gateway_of_their_namespace() {
    let stage = Stage::new().await;
    stage.write("gateway", GATEWAY);
    let ready = async {
        while !pages::get(stage.running.addresses.monitoring, "/metrics").await.1.contains("Gateway") {}
    };
    tokio::time::timeout(Duration::from_secs(5), ready).await.unwrap();
    let name = "kubernetes://cred";
    let secret = async |channel, token, node| {
        let mut proxy = Proxy::connect(channel, token, node).await.unwrap();
        proxy.send(ask(Secret, &[name])).await;
        loop {
            let response = proxy.next().await.unwrap();
            if response.type_url == Secret.url() {
                return response;
            }
        }
    };
    let given = secret(stage.secure(None).await, Some("web-token"), gateway("gw-1", "shop")).await;
    assert_eq!(names(&given), [name]);
    assert!(
        String::from_utf8_lossy(&given.resources[0].resource.as_ref().unwrap().value).contains("the key")
    );
    for (why, refused) in [
        ("plaintext", secret(stage.plaintext().await, None, gateway("gw-1", "shop")).await),
        ("sidecar", secret(stage.secure(None).await, Some("web-token"), node("web-1", "shop")).await),
        ("namespace", secret(stage.secure(None).await, Some("other-token"), gateway("gw-1", "bank")).await),
    ] {
        assert_eq!(refused.removed_resources, [name], "{why}");
    }
    let dump = pages::get(stage.running.addresses.monitoring, "/debug/config_dump?proxyID=gw-1.shop").await.1;
    assert!(!dump.contains("the key") && !dump.contains("dGhlIGtleQ"), "keys are not shown");
}
