//! Peers that are slow or silent are hung up on in time, at every step of a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use controlplane::Patience;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use http_body_util::StreamBody;
use hyper::body::Frame;
use pki::{Identity, TrustBundle};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tower::ServiceExt as _;

use crate::stage::{NAME, Stage};

/// For the step that a test is about.
const PATIENCE: Duration = Duration::from_secs(1);
/// Earlier, it was not for being slow; later, it may be the default, which is 10 seconds and more.
const IN_TIME: std::ops::Range<Duration> = Duration::from_millis(900)..Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(100);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A HEADERS frame of 64 bytes without END_HEADERS, for stream 1.
const HALF_A_HEAD: &[u8] = b"\0\0\x40\x01\0\0\0\0\x01\x83\x86";

/// Handshakes take their time on a busy machine.
async fn impatient_of_requests() -> Stage {
    let patience = Patience::default();
    Stage::with(Patience { first_request: PATIENCE, whole_request: PATIENCE, ..patience }).await
}

fn local(mut address: SocketAddr) -> SocketAddr {
    address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    address
}

fn trusting(stage: &Stage) -> Arc<rustls::ClientConfig> {
    let bundle = TrustBundle::from_pem(stage.running.root_pem().as_bytes()).unwrap();
    pki::tls::control_plane_client_config(Identity::roots_only(bundle)).unwrap()
}

/// A ClientHello as the mesh's proxies send it.
fn client_hello(stage: &Stage) -> Vec<u8> {
    let mut session = rustls::ClientConnection::new(trusting(stage), pki::tls::sni(NAME).unwrap()).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}

async fn secure(stage: &Stage, address: SocketAddr) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(local(address)).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(trusting(stage));
    connector.connect(pki::tls::sni(NAME).unwrap(), stream).await.unwrap()
}

async fn plain(address: SocketAddr) -> TcpStream {
    TcpStream::connect(local(address)).await.unwrap()
}

/// Sends `start`, then a byte of `rest` now and then, until the other end closes; gives what it said.
async fn hung_up(what: &str, stream: impl AsyncRead + AsyncWrite, start: &[u8], rest: &[u8]) -> Vec<u8> {
    let begun = Instant::now();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let answer = async {
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = reader.read_to_end(&mut answer).await;
        answer
    };
    let sending = async {
        let mut alive = writer.write_all(start).await.and(writer.flush().await).is_ok();
        for byte in rest {
            tokio::time::sleep(PAUSE).await;
            alive = alive && writer.write_all(&[*byte]).await.and(writer.flush().await).is_ok();
        }
        std::future::pending::<()>().await;
    };
    let ended = async {
        tokio::select! {
            answer = answer => answer,
            () = sending => Vec::new(),
        }
    };
    let answer = tokio::time::timeout(IN_TIME.end, ended).await;
    let answer = answer.unwrap_or_else(|_| panic!("{what}: still open after {:?}", IN_TIME.end));
    assert!(begun.elapsed() >= IN_TIME.start, "{what}: closed at once, after {:?}", begun.elapsed());
    answer
}

#[tokio::test]
async fn a_slow_hello_ends() {
    let stage = Stage::with(Patience { handshake: PATIENCE, ..Patience::default() }).await;
    let hello = client_hello(&stage);
    let at = stage.running.addresses;
    let (half, rest) = hello.split_at(hello.len() / 2);
    tokio::join!(
        async { hung_up("discovery, silence", plain(at.secure).await, b"", b"").await },
        async { hung_up("discovery, half a hello", plain(at.secure).await, half, b"").await },
        async { hung_up("discovery, a hello byte by byte", plain(at.secure).await, half, rest).await },
        async { hung_up("discovery, a hello and silence", plain(at.secure).await, &hello, b"").await },
        async { hung_up("webhooks, silence", plain(at.webhook).await, b"", b"").await },
        async { hung_up("webhooks, a hello byte by byte", plain(at.webhook).await, half, rest).await },
        async { hung_up("webhooks, a hello and silence", plain(at.webhook).await, &hello, b"").await },
    );
}

#[tokio::test]
async fn a_slow_head_ends() {
    let stage = impatient_of_requests().await;
    let at = stage.running.addresses;
    let half_a_head = [PREFACE, HALF_A_HEAD].concat();
    let (head, rest) = (b"POST /validate HTTP/1.1\r\nhost: istiod\r\nx: ", [b'x'; 200]);
    let zeros = [0; 60];
    tokio::join!(
        async { hung_up("plaintext, silence", plain(at.plaintext).await, b"", b"").await },
        async { hung_up("plaintext, half a preface", plain(at.plaintext).await, &PREFACE[..9], b"").await },
        async { hung_up("plaintext, a preface", plain(at.plaintext).await, PREFACE, b"").await },
        async { hung_up("plaintext, half a head", plain(at.plaintext).await, &half_a_head, b"").await },
        async { hung_up("discovery, silence", secure(&stage, at.secure).await, b"", b"").await },
        async { hung_up("discovery, a preface", secure(&stage, at.secure).await, PREFACE, b"").await },
        async {
            hung_up("discovery, half a head", secure(&stage, at.secure).await, &half_a_head, &zeros).await
        },
        async { hung_up("webhooks, silence", secure(&stage, at.webhook).await, b"", b"").await },
        async { hung_up("webhooks, a preface", secure(&stage, at.webhook).await, PREFACE, b"").await },
        async {
            hung_up("webhooks, a head byte by byte", secure(&stage, at.webhook).await, head, &rest).await
        },
        async { hung_up("monitoring, a head byte by byte", plain(at.monitoring).await, head, &rest).await },
        async { hung_up("readiness, a head byte by byte", plain(at.http).await, head, &rest).await },
    );
}

#[tokio::test]
async fn a_slow_body_ends() {
    let stage = impatient_of_requests().await;
    let at = stage.running.addresses;
    let slowly = async |path: &str| {
        let head = format!("POST {path} HTTP/1.1\r\nhost: istiod\r\ncontent-length: 500\r\n\r\n{{\"kind\": ");
        let stream = secure(&stage, at.webhook).await;
        let answer = hung_up(path, stream, head.as_bytes(), &[b' '; 200]).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{path}: {answer:?}");
    };
    tokio::join!(slowly("/inject"), slowly("/validate"));
}

#[tokio::test]
async fn a_certificate_request_that_never_ends_is_not_waited_for() {
    let stage = impatient_of_requests().await;
    for channel in [stage.secure(None).await, stage.plaintext().await] {
        let begun = Instant::now();
        // The length of a message, and half of it: nobody can have been asked who this is.
        let start = Bytes::from_static(b"\0\0\0\0\x10\x0a\x0e");
        let frames = futures::stream::iter([Ok::<_, Status>(Frame::data(start))]);
        let body = StreamBody::new(futures::StreamExt::chain(frames, futures::stream::pending()));
        let request =
            hyper::Request::post("http://istiod/istio.v1.auth.IstioCertificateService/CreateCertificate")
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(tonic::body::Body::new(body))
                .unwrap();
        let response = tokio::time::timeout(IN_TIME.end, channel.oneshot(request)).await;
        let response = response.expect("an answer should come").unwrap();
        assert!(begun.elapsed() >= IN_TIME.start, "{response:?}");
        assert_eq!(Status::from_header_map(response.headers()).unwrap().code(), Code::DeadlineExceeded);
    }
}

#[tokio::test]
async fn a_stream_without_a_first_message_ends() {
    let stage = impatient_of_requests().await;
    let call = async |channel: Channel, token: Option<&str>| {
        let begun = Instant::now();
        let mut request = Request::new(futures::stream::pending::<DeltaDiscoveryRequest>());
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let mut responses = AggregatedDiscoveryServiceClient::new(channel)
            .delta_aggregated_resources(request)
            .await
            .unwrap()
            .into_inner();
        let end = tokio::time::timeout(IN_TIME.end, responses.message()).await;
        let status = end.expect("the stream should end").unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        assert!(begun.elapsed() >= IN_TIME.start, "{status}");
    };
    call(stage.plaintext().await, None).await;
    call(stage.secure(None).await, Some("web-token")).await;
}

#[tokio::test]
async fn whoever_has_made_a_request_is_not_hurried() {
    use crate::stage::{Proxy, names, node, service, slice};
    let stage = impatient_of_requests().await;
    let mut proxy =
        Proxy::connect(stage.secure(None).await, Some("web-token"), node("web-1", "shop")).await.unwrap();
    proxy.next().await.unwrap();
    tokio::time::sleep(PATIENCE * 3).await;
    stage.write("late", &service("late"));
    stage.write("late-eps", &slice("late", "10.1.0.7"));
    let found = async {
        while !names(&proxy.next().await.unwrap()).contains(&"outbound|80||late.shop.svc.cluster.local") {}
    };
    tokio::time::timeout(IN_TIME.end, found).await.unwrap();
}
