//! Certificates from a real CA over real TLS: obtained, renewed, refused; and given on to a stock Envoy by SDS.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{Secret, secret};
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use prost::Message as _;
use proxy::bootstrap::Authority;
use proxy::identity::{self, Health, Renewal, Secrets};
use tokio_stream::StreamExt as _;

use crate::authority::{self, PodFiles};

const ID: &str = "spiffe://cluster.local/ns/shop/sa/reviews";

fn settings(address: &str, files: &PodFiles) -> Authority {
    Authority {
        address: address.to_owned(),
        root_file: files.roots(),
        token_file: files.token(),
        ttl: Duration::from_hours(24),
        plaintext: false,
        server_name: Some("istiod.istio-system.svc".into()),
    }
}

struct Obtaining {
    secrets: Arc<Secrets>,
    health: Arc<Health>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Obtaining {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn obtain(settings: Authority, id: &str) -> Obtaining {
    let (secrets, health) = (Secrets::new(), Arc::new(Health::default()));
    let renewal = Renewal::from_authority(settings, id, None, secrets.clone(), health.clone()).unwrap();
    Obtaining { secrets, health, task: tokio::spawn(identity::run(renewal)) }
}

async fn eventually(what: &str, mut reached: impl FnMut() -> bool) {
    for _ in 0..500 {
        if reached() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not happen within 10 s");
}

#[tokio::test]
async fn a_certificate_is_obtained_and_renewed_at_half_of_its_life() {
    let (authority, address, files) = authority::start(Duration::from_secs(4)).await;
    let obtaining = obtain(settings(&address, &files), ID);
    eventually("the first certificate", || obtaining.secrets.certificate("default").is_some()).await;
    let first = obtaining.secrets.certificate("default").unwrap();
    assert_eq!(first.id().unwrap().as_str(), ID);
    assert_eq!(obtaining.secrets.roots("ROOTCA").unwrap().roots().len(), 1);
    assert!(obtaining.health.problem(SystemTime::now()).is_none());
    let workload = obtaining.secrets.workload();
    eventually("the renewal", || workload.cert().unwrap().serial() != first.serial()).await;
    assert!(!first.is_expired(SystemTime::now()), "the old one was still good");
    assert!(authority.requests.lock().len() >= 2);
}

#[tokio::test]
async fn the_token_is_read_again_for_each_request() {
    let (authority, address, files) = authority::start(Duration::from_hours(1)).await;
    *authority.token.lock() = "second".into();
    let obtaining = obtain(settings(&address, &files), ID);
    eventually("the refusal", || obtaining.health.report().failures > 0).await;
    let problem = obtaining.health.problem(SystemTime::now()).unwrap();
    assert!(
        problem.contains("Unauthenticated: the token is not known; check the projected token"),
        "{problem}"
    );
    std::fs::write(files.token(), "second\n").unwrap();
    eventually("the certificate", || obtaining.secrets.certificate("default").is_some()).await;
    assert_eq!(authority.requests.lock().last().unwrap(), "Bearer second");
}

#[tokio::test]
async fn a_ca_that_cannot_prove_itself_gets_no_token() {
    let (authority, address, files) = authority::start(Duration::from_hours(1)).await;
    let (other, _) = pki::Ca::self_signed("elsewhere", SystemTime::now()).unwrap();
    std::fs::write(files.roots(), other.bundle().to_pem()).unwrap();
    let obtaining = obtain(settings(&address, &files), ID);
    eventually("the failure", || obtaining.health.report().failures > 0).await;
    let problem = obtaining.health.report().last_error.unwrap();
    assert!(problem.contains("TLS to") && problem.contains("UnknownIssuer"), "{problem}");
    assert!(authority.requests.lock().is_empty());
}

#[tokio::test]
async fn a_certificate_for_somebody_else_is_not_used() {
    let (_authority, address, files) = authority::start(Duration::from_hours(1)).await;
    let obtaining = obtain(settings(&address, &files), "spiffe://cluster.local/ns/shop/sa/ratings");
    eventually("the refusal", || obtaining.health.report().failures > 0).await;
    assert!(obtaining.secrets.certificate("default").is_none());
}

#[tokio::test]
async fn nobody_there_is_said_with_what_to_look_at() {
    let (_authority, _, files) = authority::start(Duration::from_hours(1)).await;
    let nobody = crate::rig::free_address().to_string();
    let obtaining = obtain(settings(&nobody, &files), ID);
    eventually("the failure", || obtaining.health.report().failures > 0).await;
    let problem = obtaining.health.problem(SystemTime::now()).unwrap();
    assert!(
        problem.contains("is the control plane running, and does a NetworkPolicy forbid it?"),
        "{problem}"
    );
}

/// The agent, and a client that talks to it as Envoy does.
async fn envoy(address: &str, files: &PodFiles) -> SecretDiscoveryServiceClient<tonic::transport::Channel> {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        flags: proxy::agent::AgentFlags,
    }
    let socket = files.folder().join("uds").join("socket");
    let words = [
        "agent",
        "--sds-socket",
        socket.to_str().unwrap(),
        "--ca-address",
        address,
        "--token-file",
        files.token().to_str().unwrap(),
        "--root-file",
        files.roots().to_str().unwrap(),
        "--ca-server-name",
        "istiod.istio-system.svc",
        "--namespace",
        "shop",
        "--service-account",
        "reviews",
    ]
    .map(str::to_owned);
    let flags = <Cli as clap::Parser>::try_parse_from(words).unwrap().flags;
    tokio::spawn(async move { proxy::agent::run(&flags, std::future::pending()).await.unwrap() });
    eventually("the socket", || socket.exists()).await;
    let connect = tower::service_fn(move |_: http::Uri| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
    });
    let endpoint = tonic::transport::Endpoint::from_static("http://sds");
    SecretDiscoveryServiceClient::new(endpoint.connect_with_connector(connect).await.unwrap())
}

fn chain(bytes: &[u8]) -> (String, Vec<u8>) {
    let secret = Secret::decode(bytes).unwrap();
    let Some(secret::Type::TlsCertificate(cert)) = secret.r#type else { panic!("{secret:?}") };
    (secret.name, cert.certificate_chain.unwrap().encode_to_vec())
}

#[tokio::test]
async fn a_stock_envoy_gets_its_secrets_and_their_renewals() {
    let (_authority, address, files) = authority::start(Duration::from_secs(3)).await;
    let mut client = envoy(&address, &files).await;
    let ask = |name: &str| DiscoveryRequest { resource_names: vec![name.to_owned()], ..Default::default() };

    let requests = tokio_stream::iter([ask("default")]).chain(tokio_stream::pending());
    let mut answers = client.stream_secrets(requests).await.unwrap().into_inner();
    let first = answers.next().await.unwrap().unwrap();
    let renewed = answers.next().await.unwrap().unwrap();
    let (name, before) = chain(&first.resources[0].value);
    assert_eq!(name, "default");
    assert_ne!(before, chain(&renewed.resources[0].value).1);
    assert_ne!(first.nonce, renewed.nonce);

    let subscribe = DeltaDiscoveryRequest {
        resource_names_subscribe: vec!["ROOTCA".to_owned(), "unknown".to_owned()],
        ..Default::default()
    };
    let requests = tokio_stream::iter([subscribe]).chain(tokio_stream::pending());
    let mut answers = client.delta_secrets(requests).await.unwrap().into_inner();
    let roots = answers.next().await.unwrap().unwrap();
    assert_eq!(roots.resources.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["ROOTCA"]);
    // the roots have not changed: nothing more comes, though the certificate is renewed meanwhile
    assert!(tokio::time::timeout(Duration::from_secs(2), answers.next()).await.is_err());
}
