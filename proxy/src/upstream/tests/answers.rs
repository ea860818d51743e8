//! What endpoints see of requests, and what becomes of their answers.

use super::*;

#[test]
fn requests_share_a_connection_one_after_another() {
    run(async {
        let server = Server::answering(OK).await;
        let world = world(server.address, |_| {});
        for _ in 0..5 {
            assert_eq!(world.fetch(get("/")).await.unwrap(), (200, "hello".into()));
        }
        assert_eq!(server.connections.get(), 1);
        assert_eq!((world.used(Resource::Connections), world.used(Resource::Requests)), (1, 0));
        assert_eq!(world.endpoint.state.active(), 0);
        assert_eq!(world.cluster.state.stats.upstream_rq_2xx.get(), 5);
    });
}

#[test]
fn a_request_looks_as_the_endpoint_expects() {
    run(async {
        let seen: Rc<RefCell<Vec<String>>> = Rc::default();
        let log = seen.clone();
        let server = Server::new(move |mut stream, _| {
            let log = log.clone();
            async move {
                while let Some(mut text) = read_head(&mut stream).await {
                    while text.contains("chunked") && !text.ends_with("0\r\n\r\n") {
                        let mut more = [0; 100];
                        let count = stream.read(&mut more).await.unwrap();
                        text.push_str(std::str::from_utf8(&more[..count]).unwrap());
                    }
                    log.borrow_mut().push(text);
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        let world = world(server.address, |_| {});
        let full = Request::post("http://app:80/a?b").header("cookie", "a=1").header("cookie", "b=2");
        world.fetch(full.body(RequestBody::full("body")).unwrap()).await.unwrap();
        world.fetch(Request::put("http://app/").body(RequestBody::empty()).unwrap()).await.unwrap();
        let seen = seen.borrow();
        assert_eq!(
            seen[0],
            "POST /a?b HTTP/1.1\r\nhost: app:80\r\ncookie: a=1; b=2\r\ncontent-length: 4\r\n\r\nbody"
        );
        assert_eq!(seen[1], "PUT / HTTP/1.1\r\nhost: app\r\ncontent-length: 0\r\n\r\n");
    });
}

#[test]
fn answers_of_every_shape_are_read_to_their_end() {
    let keep = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let cases = [
        (OK, 200, "hello", 1),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
            204,
            "",
            1,
        ),
        (keep, 200, "abcde", 1),
        ("HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno", 503, "no", 3),
    ];
    for (answer, status, body, connections) in cases {
        run(async move {
            let server = Server::answering(answer).await;
            let world = world(server.address, |_| {});
            for _ in 0..3 {
                assert_eq!(world.fetch(get("/")).await.unwrap(), (status, body.into()), "{answer:?}");
            }
            assert_eq!(server.connections.get(), connections, "{answer:?}");
        });
    }
    run(async {
        let server = Server::new(|mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await.unwrap();
        })
        .await;
        let world = world(server.address, |_| {});
        assert_eq!(world.fetch(get("/")).await.unwrap(), (200, "until the end".into()));
    });
}

#[test]
fn trailers_come_after_the_body() {
    run(async {
        let server = Server::answering(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 7\r\n\r\n",
        )
        .await;
        let world = world(server.address, |_| {});
        let collected = world.send(get("/")).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()[HeaderName::from_static("x-sum")], "7");
    });
}

#[test]
fn broken_answers_are_told_apart() {
    let broken = [
        ("", "upstream_reset_before_response_started{connection_termination}", "UC"),
        ("HTTP/1.1 200", "upstream_reset_before_response_started{protocol_error}", "UPE"),
        ("nonsense\r\n\r\n", "upstream_reset_before_response_started{protocol_error}", "UPE"),
    ];
    for (answer, details, flag) in broken {
        run(async move {
            let server = Server::new(move |mut stream, _| async move {
                read_head(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            })
            .await;
            let world = world(server.address, |_| {});
            let error = world.send(get("/")).await.unwrap_err();
            assert_eq!(
                (error.details().as_str(), error.flag().to_string().as_str()),
                (details, flag),
                "{answer:?}"
            );
            assert!(!error.stale, "the connection was new");
            assert_eq!(world.used(Resource::Connections), 0);
        });
    }
    run(async {
        let server = Server::new(|mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
        })
        .await;
        let world = world(server.address, |_| {});
        let error = world.send(get("/")).await.unwrap().into_body().collect().await.unwrap_err();
        assert_eq!(error.details(), "upstream_reset_after_response_started{connection_termination}");
    });
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_said_so() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let world = world(address, |config| config.outlier = Some(OutlierDetection::default()));
        let error = world.send(get("/")).await.unwrap_err();
        assert_eq!(error.failure, Failure::Connect);
        assert_eq!(error.flag().to_string(), "UF");
        assert_eq!(
            error.details(),
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
        );
        assert_eq!((world.used(Resource::Connections), world.used(Resource::Pending)), (0, 0));
        let client = Announced { source: address, destination: address };
        let error = world.upstreams.connect(&world.cluster, &world.endpoint, client).await.unwrap_err();
        assert_eq!(error.failure, Failure::Connect);
    });
}

#[test]
fn a_connection_that_died_idle_is_not_used() {
    run(async {
        let server = Server::new(|mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
        })
        .await;
        let world = world(server.address, |_| {});
        for _ in 0..3 {
            assert_eq!(world.fetch(get("/")).await.unwrap().0, 200);
            // The end of the connection arrives.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(server.connections.get(), 3);
    });
}

#[test]
fn a_connection_that_ends_under_the_request_is_stale() {
    run(async {
        let server = Server::new(|mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            read_head(&mut stream).await;
        })
        .await;
        let world = world(server.address, |_| {});
        world.fetch(get("/")).await.unwrap();
        let error = world.send(get("/")).await.unwrap_err();
        assert!(error.stale);
        assert_eq!(error.failure, Failure::Reset { sent: true });
    });
}

#[test]
fn an_upgrade_takes_the_connection_over() {
    run(async {
        let server = Server::new(|mut stream, _| async move {
            read_head(&mut stream).await;
            let answer =
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhi";
            stream.write_all(answer).await.unwrap();
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        })
        .await;
        let world = world(server.address, |_| {});
        let request = Request::get("http://app/").header("connection", "upgrade").header("upgrade", "echo");
        let response = world.send(request.body(RequestBody::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 101);
        let mut stream = response.into_body().into_upgraded().unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hiping");
        drop(stream);
        assert_eq!((world.used(Resource::Connections), world.used(Resource::Requests)), (0, 0));
    });
}

#[test]
fn original_destinations_are_endpoints_of_their_own() {
    let cluster = Cluster::new(
        "PassthroughCluster",
        ClusterConfig::new(Discovery::OriginalDst(crate::snapshot::cluster::OriginalDst::default())),
        Arc::default(),
        &Registry::new(),
    );
    let upstreams = Upstreams::new(Secrets::new(), None);
    let pick = |text: &str| {
        let want = Pick { destination: Some(text.parse().unwrap()), ..Pick::default() };
        upstreams.pick(&cluster, &want).unwrap()
    };
    let first = pick("10.0.0.1:80");
    assert_eq!(first.address(), "10.0.0.1:80".parse().unwrap());
    assert!(Arc::ptr_eq(&first, &pick("10.0.0.1:80")));
    for port in 1..100 {
        pick(&format!("10.0.0.2:{port}"));
    }
    assert!(Arc::ptr_eq(&first.state, &pick("10.0.0.1:80").state), "held by us");
    assert!(upstreams.pick(&cluster, &Pick::default()).is_none());
    let _ = HttpOptions::default();
}
