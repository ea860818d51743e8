//! The CA service: a good caller, and all the others.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pki::api::{IstioCertificateRequest, IstioCertificateServiceClient};
use pki::{Identity, SpiffeId, TrustBundle, WorkloadCert, new_csr};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::stage::{Proxy, Stage, names, node};

fn id(namespace: &str, account: &str) -> SpiffeId {
    SpiffeId::for_service_account("cluster.local", namespace, account).unwrap()
}

async fn request(
    channel: Channel,
    token: Option<&str>,
    csr: &str,
    seconds: i64,
) -> Result<Vec<String>, Status> {
    let message = IstioCertificateRequest { csr: csr.into(), validity_duration: seconds, metadata: None };
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let response = IstioCertificateServiceClient::new(channel).create_certificate(request).await?;
    Ok(response.into_inner().cert_chain)
}

/// A certificate for `shop/web` with its roots.
async fn identity(stage: &Stage, seconds: i64) -> Arc<Identity> {
    identity_of(stage, "shop", "web", seconds).await
}

/// A certificate for a service account with its roots; its token is `<account>-token`.
pub(crate) async fn identity_of(
    stage: &Stage,
    namespace: &str,
    account: &str,
    seconds: i64,
) -> Arc<Identity> {
    let (key, csr) = new_csr(&id(namespace, account)).unwrap();
    let token = format!("{account}-token");
    let chain = request(stage.secure(None).await, Some(&token), &csr, seconds).await.unwrap();
    let root = TrustBundle::from_pem(chain.last().unwrap().as_bytes()).unwrap();
    let cert = WorkloadCert::from_pem(chain.concat().as_bytes(), key.to_pem().as_bytes(), SystemTime::now())
        .unwrap();
    Identity::new(cert, root)
}

#[tokio::test]
async fn a_good_token_gets_a_certificate_for_its_own_identity() {
    let stage = Stage::new().await;
    let identity = identity(&stage, 60).await;
    let cert = identity.cert().unwrap();
    assert_eq!(cert.id(), Some(&id("shop", "web")));
    assert!(cert.not_after() <= SystemTime::now() + Duration::from_mins(1));
    assert_eq!(identity.bundle().to_pem(), stage.running.root_pem());
}

#[tokio::test]
async fn a_certificate_opens_a_stream_and_renews_itself_without_a_token() {
    let stage = Stage::new().await;
    let identity = identity(&stage, 3600).await;
    let mut proxy = Proxy::connect(stage.secure(Some(identity.clone())).await, None, node("web-1", "shop"))
        .await
        .unwrap();
    assert!(!names(&proxy.next().await.unwrap()).is_empty());
    let (_, csr) = new_csr(&id("shop", "web")).unwrap();
    assert!(request(stage.secure(Some(identity)).await, None, &csr, 0).await.is_ok());
}

#[tokio::test]
async fn everything_else_is_refused_with_a_reason() {
    let stage = Stage::new().await;
    let (_, own) = new_csr(&id("shop", "web")).unwrap();
    let (_, foreign) = new_csr(&id("bank", "teller")).unwrap();
    let huge = "x".repeat(300 << 10);
    let year = 366 * 24 * 3600;
    let cases = [
        (None, own.as_str(), 0, Code::Unauthenticated, "no credentials"),
        (Some("forged"), &own, 0, Code::Unauthenticated, "not known"),
        (Some("old-token"), &own, 0, Code::Unauthenticated, "expired"),
        (Some("vault-token"), &own, 0, Code::Unauthenticated, "audience"),
        (Some("web-token"), &foreign, 0, Code::PermissionDenied, "spiffe://cluster.local/ns/bank/sa/teller"),
        (Some("web-token"), "garbage", 0, Code::InvalidArgument, "CSR"),
        (Some("web-token"), &own, year, Code::InvalidArgument, "validity_duration"),
        (Some("web-token"), &own, -1, Code::InvalidArgument, "negative"),
        (Some("web-token"), &huge, 0, Code::OutOfRange, ""),
    ];
    for (token, csr, seconds, code, reason) in cases {
        let status = request(stage.secure(None).await, token, csr, seconds).await.unwrap_err();
        assert_eq!(status.code(), code, "{token:?}: {status}");
        assert!(status.message().contains(reason), "{reason} in {status}");
    }
    let plain = request(stage.plaintext().await, None, &own, 0).await.unwrap_err();
    assert_eq!(plain.code(), Code::Unauthenticated, "plaintext proves nothing");
}

#[tokio::test]
async fn a_certificate_of_another_mesh_does_not_even_connect() {
    let stage = Stage::new().await;
    let (other, _) = pki::Ca::self_signed("cluster.local", SystemTime::now()).unwrap();
    let cert = other.issue_workload(&id("shop", "web"), Duration::from_hours(1), SystemTime::now()).unwrap();
    let identity = Identity::new(cert, TrustBundle::from_pem(stage.running.root_pem().as_bytes()).unwrap());
    let outcome = match stage.try_secure(Some(identity)).await {
        Ok(channel) => {
            Proxy::connect(channel, Some("web-token"), node("web-1", "shop")).await.map(drop).map_err(drop)
        }
        Err(_) => Err(()),
    };
    assert!(outcome.is_err());
}
