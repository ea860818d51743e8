//! Two data planes with mutual TLS between them, as two sidecars have.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use proxy::{
    identity::Secrets,
    runtime::Settings,
    snapshot::{
        cluster::{Transport as UpstreamTransport, Transports, UpstreamTls},
        http::{CertDetails, ForwardClientCert, HttpConnectionManager},
        listener::{
            ChainMatch, ClientCertificate, DownstreamTls, FilterChain, Inspector, Network, TlsVersion,
            Transport,
        },
        tcp::TcpProxy,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::rig::{Backend, Rig, body, chain, header, listener, manager, read_answer, status, to};

/// Gives a data plane the identity of a service account.
fn identify(ca: &pki::Ca, secrets: &Secrets, account: &str, lifetime: Duration) {
    let id = format!("spiffe://cluster.local/ns/default/sa/{account}").parse().unwrap();
    let (key, csr) = pki::new_csr(&id).unwrap();
    let now = SystemTime::now();
    let signed = ca.sign(&csr, &id, Some(lifetime), now).unwrap().concat();
    let cert = pki::WorkloadCert::from_pem(signed.as_bytes(), key.to_pem().as_bytes(), now).unwrap();
    secrets.set_certificate("default", Arc::new(cert));
    secrets.set_roots("ROOTCA", Arc::new(ca.bundle().clone()));
}

fn ca() -> pki::Ca {
    pki::Ca::self_signed("cluster.local", SystemTime::now()).unwrap().0
}

fn inbound_tls() -> Arc<DownstreamTls> {
    Arc::new(DownstreamTls {
        client_certificate: ClientCertificate::Required,
        certificates: vec!["default".into()],
        roots: Some("ROOTCA".into()),
        subject_alt_names: Vec::new(),
        fingerprints: Vec::new(),
        alpn: vec![b"h2"[..].into(), b"http/1.1"[..].into()],
        min_version: TlsVersion::V1_2,
        max_version: TlsVersion::V1_3,
        cipher_suites: Vec::new(),
    })
}

/// The chains of a PERMISSIVE port, or without `plaintext` of a STRICT one.
fn inbound(network: &Network, plaintext: bool) -> Vec<FilterChain> {
    let matching = |transport| ChainMatch { transport_protocol: Some(transport), ..ChainMatch::default() };
    let mut tls = chain("tls", matching(Transport::Tls), network.clone());
    tls.tls = Some(inbound_tls());
    let mut chains = vec![tls];
    if plaintext {
        chains.push(chain("plaintext", matching(Transport::RawBuffer), network.clone()));
    }
    chains
}

fn inbound_manager() -> HttpConnectionManager {
    let mut manager = manager(vec![to("app")]);
    manager.forward_client_cert = ForwardClientCert::AppendForward;
    manager.cert_details = CertDetails { subject: true, uri: true, dns: true, ..CertDetails::default() };
    manager
}

/// The server's sidecar in front of `app`.
async fn server(ca: &pki::Ca, app: SocketAddr, network: Network, plaintext: bool) -> Rig {
    server_with(Settings::default(), ca, app, network, plaintext).await
}

async fn server_with(
    settings: Settings,
    ca: &pki::Ca,
    app: SocketAddr,
    network: Network,
    plaintext: bool,
) -> Rig {
    let rig = Rig::start_with(settings);
    identify(ca, &rig.shared.secrets, "server", Duration::from_hours(1));
    rig.clusters(&[("app", &[app])], |_| {});
    let mut listener = listener(rig.address, inbound(&network, plaintext));
    listener.tls_inspector = Some(Inspector::default());
    rig.listen(listener).await;
    rig
}

/// The client's sidecar, whose cluster `peer` is the server's.
fn client(ca: &pki::Ca, peer: SocketAddr, names: &[&str]) -> Rig {
    let rig = Rig::start();
    identify(ca, &rig.shared.secrets, "client", Duration::from_hours(1));
    let tls = UpstreamTls {
        sni: Some("outbound_.80_._.server.default.svc.cluster.local".into()),
        alpn: vec![b"istio"[..].into()],
        certificate: Some("default".into()),
        roots: Some("ROOTCA".into()),
        subject_alt_names: names.iter().map(ToString::to_string).collect(),
        min_version: TlsVersion::V1_2,
        max_version: TlsVersion::V1_3,
    };
    rig.clusters(&[("peer", &[peer])], |config| {
        config.transports =
            Transports { default: UpstreamTransport::Tls(tls.clone().into()), ..Transports::default() };
    });
    rig
}

const SERVER: &str = "spiffe://cluster.local/ns/default/sa/server";

#[tokio::test]
async fn http1_travels_in_http2_between_sidecars_and_nobody_notices() {
    let (ca, app) = (ca(), Backend::describing("app").await);
    let server = server(&ca, app.address, Network::Http(inbound_manager().into()), true).await;
    let client = client(&ca, server.address, &[SERVER]);
    client.serve(manager(vec![to("peer")])).await;
    let before = server.shared.drain.connections();
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(TcpStream::connect(client.address).await.unwrap());
    }
    for stream in &mut streams {
        stream.write_all(b"GET /x HTTP/1.1\r\nhost: server\r\n\r\n").await.unwrap();
    }
    for stream in &mut streams {
        let answer = read_answer(stream).await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(answer.starts_with("HTTP/1.1"), "{answer}");
        assert_eq!(header(&answer, "server"), "istio-envoy");
        let seen = body(&answer);
        assert!(
            seen.contains("GET /x HTTP/1.1\nhost=server\n") || seen.contains("GET /x HTTP/1.1\n"),
            "{seen}"
        );
        assert!(
            seen.contains("x-forwarded-client-cert=By=spiffe://cluster.local/ns/default/sa/server;Hash="),
            "{seen}"
        );
        assert!(seen.contains(";URI=spiffe://cluster.local/ns/default/sa/client\n"), "{seen}");
    }
    assert_eq!(server.shared.drain.connections() - before, 1, "all of them share one connection");
}

#[tokio::test]
async fn strict_refuses_plaintext_and_permissive_takes_it() {
    let (ca, app) = (ca(), Backend::describing("app").await);
    let network = Network::Http(inbound_manager().into());
    let permissive = server(&ca, app.address, network.clone(), true).await;
    let answer = permissive.get_with("/", "x-forwarded-client-cert: forged\r\n").await;
    assert_eq!(status(&answer), 200);
    assert!(!answer.contains("x-forwarded-client-cert"), "{answer}");
    let strict = server(&ca, app.address, network, false).await;
    assert_eq!(strict.get("/").await, "");
}

#[tokio::test]
async fn a_peer_that_is_not_who_it_should_be_gets_no_request() {
    let (ca, app) = (ca(), Backend::describing("app").await);
    let server = server(&ca, app.address, Network::Http(inbound_manager().into()), true).await;
    let wrong_name = client(&ca, server.address, &["spiffe://cluster.local/ns/default/sa/other"]);
    wrong_name.serve(manager(vec![to("peer")])).await;
    let other_ca = self::ca();
    let wrong_root = client(&other_ca, server.address, &[]);
    wrong_root.serve(manager(vec![to("peer")])).await;
    for client in [wrong_name, wrong_root] {
        let answer = client.get("/").await;
        assert_eq!(status(&answer), 503);
        assert!(body(&answer).contains("remote connection failure"), "{answer}");
    }
    assert_eq!(app.requests(), 0);
}

/// A ClientHello.
pub(crate) fn hello() -> Vec<u8> {
    let identity = pki::Identity::roots_only(ca().bundle().clone());
    let config = pki::tls::client_config(identity, pki::tls::PeerNames::ServerName, &[]).unwrap();
    let mut session = rustls::ClientConnection::new(config, pki::tls::sni("server.test").unwrap()).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn a_handshake_that_stops_or_dawdles_ends() {
    let (ca, app) = (ca(), Backend::describing("app").await);
    let patience = Duration::from_millis(400);
    let settings = || Settings { handshake: patience, ..Settings::default() };
    let network = Network::Http(inbound_manager().into());
    let hello = hello();
    for plaintext in [true, false] {
        let server = server_with(settings(), &ca, app.address, network.clone(), plaintext).await;
        let started = Instant::now();
        let open = async |sent: &[u8], slowly: &[u8]| {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(sent).await.unwrap();
            for byte in slowly {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            // A reset is an end, too.
            let end = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut Vec::new())).await;
            assert!(end.is_ok(), "still open: {} bytes, then {}", sent.len(), slowly.len());
            assert!(started.elapsed() >= patience, "closed at once: {} bytes", sent.len());
        };
        tokio::join!(
            open(&hello[..3], b""),
            open(&hello[..hello.len() / 2], b""),
            open(&hello[..5], &hello[5..30]),
            open(&hello, b""),
        );
    }
}

#[tokio::test]
async fn alpn_that_istio_offers_is_never_refused() {
    let (ca, app) = (ca(), Backend::describing("app").await);
    let server = server(&ca, app.address, Network::Http(inbound_manager().into()), false).await;
    let secrets = Secrets::new();
    identify(&ca, &secrets, "envoy", Duration::from_hours(1));
    for (offers, expected) in [
        (&[&b"istio-http/1.1"[..], b"istio"][..], None),
        (&[b"istio-peer-exchange", b"istio"], None),
        (&[b"http/1.1"], Some(&b"http/1.1"[..])),
        (&[], None),
    ] {
        let names = pki::tls::PeerNames::OneOf(vec![SERVER.to_owned()].into());
        let config = pki::tls::client_config(secrets.workload(), names, offers).unwrap();
        let stream = TcpStream::connect(server.address).await.unwrap();
        let name = pki::tls::sni("server.default").unwrap();
        let mut stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), expected, "{offers:?}");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(status(&String::from_utf8_lossy(&answer)), 200, "{offers:?}");
    }
}

#[tokio::test]
async fn tcp_passes_through_both_sidecars_even_if_the_server_speaks_first() {
    let ca = ca();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            stream.write_all(b"hello").await.unwrap();
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    });
    let network = Network::Tcp(TcpProxy::to_cluster("app").into());
    let server = server(&ca, app, network, true).await;
    let client = client(&ca, server.address, &[SERVER]);
    let tcp = chain("tcp", ChainMatch::default(), Network::Tcp(TcpProxy::to_cluster("peer").into()));
    client.listen(listener(client.address, vec![tcp])).await;
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
    stream.write_all(b"echo").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "echo");
}

#[tokio::test]
async fn plaintext_of_a_server_first_protocol_passes_a_permissive_port_and_a_late_handshake_too() {
    let ca = ca();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            tokio::spawn(async move {
                // Speaks first, but only after a while.
                tokio::time::sleep(Duration::from_millis(600)).await;
                let _ = stream.write_all(b"hello").await;
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
            });
        }
    });
    let server = server(&ca, app, Network::Tcp(TcpProxy::to_cluster("app").into()), true).await;
    let mut hello = [0; 5];
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");

    let secrets = Secrets::new();
    identify(&ca, &secrets, "client", Duration::from_hours(1));
    let config = pki::tls::client_config(secrets.workload(), pki::tls::PeerNames::Any, &[b"istio"]).unwrap();
    let stream = TcpStream::connect(server.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let name = pki::tls::sni("server.default").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.unwrap();
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
}

#[tokio::test]
async fn certificates_rotate_without_a_failed_request() {
    let (ca, app) = (ca(), Backend::describing("app").await);
    let server = server(&ca, app.address, Network::Http(inbound_manager().into()), false).await;
    let client = client(&ca, server.address, &[SERVER]);
    client.serve(manager(vec![to("peer")])).await;
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    for round in 0..60 {
        if round % 20 == 10 {
            identify(&ca, &server.shared.secrets, "server", Duration::from_hours(1));
            identify(&ca, &client.shared.secrets, "client", Duration::from_hours(1));
        }
        stream.write_all(b"GET / HTTP/1.1\r\nhost: server\r\n\r\n").await.unwrap();
        assert_eq!(status(&read_answer(&mut stream).await), 200, "round {round}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(app.requests.load(Ordering::Relaxed), 60);
}
