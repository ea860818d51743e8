//! Mutual TLS, and HTTP/1 within HTTP/2.

use super::*;

/// Secrets of one workload, and a server configuration of another, under one CA.
fn meshed(alpn: &[&[u8]]) -> (Arc<Secrets>, TlsAcceptor) {
    let now = SystemTime::now();
    let (ca, _) = pki::Ca::self_signed("test", now).unwrap();
    let certificate = |account: &str| {
        let id = pki::SpiffeId::for_service_account("cluster.local", "default", account).unwrap();
        Arc::new(ca.issue_workload(&id, Duration::from_hours(1), now).unwrap())
    };
    let secrets = Secrets::new();
    secrets.set_certificate("default", certificate("client"));
    secrets.set_roots("ROOTCA", Arc::new(ca.bundle().clone()));
    let identity = pki::Identity::new(certificate("server"), ca.bundle().clone());
    let config = pki::tls::server_config(identity, pki::tls::ClientAuth::Required, alpn).unwrap();
    (secrets, TlsAcceptor::from(config))
}

fn mtls(account: &'static str) -> impl FnOnce(&mut ClusterConfig) {
    move |config| {
        config.transports = Transports {
            announce: None,
            matches: Vec::new(),
            default: Transport::Tls(Arc::new(UpstreamTls {
                sni: Some("outbound_.80_._.app.default.svc.cluster.local".into()),
                alpn: vec![b"istio".to_vec().into()],
                certificate: Some("default".into()),
                roots: Some("ROOTCA".into()),
                subject_alt_names: Arc::new([format!("spiffe://cluster.local/ns/default/sa/{account}")]),
                min_version: TlsVersion::V1_2,
                max_version: TlsVersion::V1_3,
            })),
        };
    }
}

#[test]
fn http1_travels_in_http2_to_a_peer_that_can() {
    run(async {
        let (secrets, acceptor) = meshed(&[tls::TRYSAIL_H2]);
        let server = Server::new(move |stream, _| {
            let acceptor = acceptor.clone();
            async move { serve_http2(acceptor.accept(stream).await.unwrap()).await }
        })
        .await;
        let world = world_with(secrets, server.address, mtls("server"));
        let request = Request::get("http://app/a").header("connection", "keep-alive");
        let response = world.send(request.body(RequestBody::empty()).unwrap()).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_11);
        let link = response.body().link().unwrap().clone();
        assert_eq!(link.peer.as_deref(), Some("spiffe://cluster.local/ns/default/sa/server"));
        assert_eq!(link.alpn.as_deref(), Some(tls::TRYSAIL_H2));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], b"GET http://app/a ");
        let upgrade =
            Request::get("http://app/").header("connection", "upgrade").header("upgrade", "websocket");
        let refused = world.send(upgrade.body(RequestBody::empty()).unwrap()).await.unwrap_err();
        assert!(refused.details().contains("TLS_error"), "this server has no HTTP/1.1: {refused}");
    });
}

#[test]
fn http1_travels_as_it_is_where_connections_are_counted() {
    run(async {
        let (secrets, acceptor) = meshed(&[tls::TRYSAIL_H2, b"istio-http/1.1"]);
        let gate = Rc::new(tokio::sync::Semaphore::new(0));
        let shared = gate.clone();
        let server = Server::new(move |stream, _| {
            let (acceptor, gate) = (acceptor.clone(), shared.clone());
            async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"istio-http/1.1"[..]));
                let mut text = Vec::new();
                while stream.read_buf(&mut text).await.unwrap() > 0 {
                    gate.acquire().await.unwrap().forget();
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        let limits = Limits { max_connections: 2, max_pending_requests: 1, ..Limits::default() };
        let world = Rc::new(world_with(secrets, server.address, |config| {
            mtls("server")(config);
            config.limits = limits;
        }));
        let mut asked = Vec::new();
        for used in [(1, 0), (2, 0), (2, 1)] {
            let asking = world.clone();
            asked.push(spawn_local(async move { asking.fetch(get("/")).await }));
            while (world.used(Resource::Requests), world.used(Resource::Pending)) != used {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let refused = world.fetch(get("/")).await.unwrap_err();
        assert_eq!(refused.failure, Failure::Overflow);
        gate.add_permits(3);
        for one in asked {
            assert_eq!(one.await.unwrap().unwrap().0, 200);
        }
        assert_eq!(server.connections.get(), 2);
    });
}

#[test]
fn a_peer_that_agrees_on_nothing_gets_http1() {
    run(async {
        let (secrets, acceptor) = meshed(&[]);
        let server = Server::new(move |stream, _| {
            let acceptor = acceptor.clone();
            async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                let mut text = Vec::new();
                while stream.read_buf(&mut text).await.unwrap() > 0 {
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        let world = world_with(secrets.clone(), server.address, mtls("server"));
        for _ in 0..3 {
            assert_eq!(world.fetch(get("/")).await.unwrap(), (200, "hello".into()));
        }
        assert_eq!(server.connections.get(), 1);
        world.upstreams.drain_tls();
        assert_eq!(world.used(Resource::Connections), 0);
        assert_eq!(world.fetch(get("/")).await.unwrap().0, 200);
    });
}

#[test]
fn an_endpoint_with_another_identity_is_refused() {
    run(async {
        let (secrets, acceptor) = meshed(&[]);
        let server = Server::new(move |stream, _| {
            let acceptor = acceptor.clone();
            async move { drop(acceptor.accept(stream).await) }
        })
        .await;
        let world = world_with(secrets, server.address, mtls("somebody-else"));
        let error = world.send(get("/")).await.unwrap_err();
        assert_eq!((error.failure, error.flag().to_string().as_str()), (Failure::Connect, "UF"));
        assert!(error.details().contains("TLS_error"), "{}", error.details());
    });
}
