//! Requests that pass: their heads and bodies, and the connections that they use.

use super::*;

#[tokio::test]
async fn a_request_passes_with_the_headers_that_envoy_adds() {
    let backend = Backend::describing("b").await;
    let rig = Rig::http(vec![to("b")], &[("b", &[backend.address])]).await;
    let answer = rig.get_with("/x?y=1", "te: trailers, gzip\r\nkeep-alive: 5\r\nx-mine: 1\r\n").await;
    assert_eq!(status(&answer), 200);
    assert_eq!(header(&answer, "server"), "istio-envoy");
    assert_eq!(header(&answer, "x-served-by"), "b");
    assert!(!header(&answer, "x-envoy-upstream-service-time").is_empty(), "{answer}");
    assert!(!header(&answer, "date").is_empty());
    let seen = body(&answer);
    assert!(seen.contains("GET /x?y=1 HTTP/1.1\n"), "{seen}");
    assert!(seen.contains("host=a.test\n"), "{seen}");
    assert!(seen.contains("x-forwarded-proto=http\n"), "{seen}");
    assert!(seen.contains("x-request-id="), "{seen}");
    assert!(seen.contains("te=trailers\n"), "{seen}");
    assert!(!seen.contains("keep-alive"), "{seen}");
    assert!(!seen.contains("x-forwarded-for"), "a sidecar adds none: {seen}");
}

#[tokio::test]
async fn connections_to_upstreams_are_used_again() {
    let backend = Backend::describing("b").await;
    let rig = Rig::http(vec![to("b")], &[("b", &[backend.address])]).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    for _ in 0..10 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert_eq!(status(&read_answer(&mut stream).await), 200);
    }
    assert_eq!(backend.requests(), 10);
    assert_eq!(backend.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_head_gets_no_body_but_its_length() {
    let backend = Backend::serving(|_| async { Response::new(full("0123456789")) }).await;
    let rig = Rig::http(vec![to("b")], &[("b", &[backend.address])]).await;
    let answer = rig.send("HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!((header(&answer, "content-length"), body(&answer)), ("10", ""));
}

#[tokio::test]
async fn bodies_pass_in_both_framings_and_expectations_are_met() {
    let backend = Backend::describing("b").await;
    let rig = Rig::http(vec![to("b")], &[("b", &[backend.address])]).await;
    let length =
        rig.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello").await;
    assert!(body(&length).ends_with("body=5 bytes\nhello"), "{length}");
    assert!(body(&length).contains("content-length=5"), "{length}");
    let chunked = rig
        .send(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
             3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        )
        .await;
    assert!(body(&chunked).ends_with("body=5 bytes\nhello"), "{chunked}");

    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 100 Continue\r\n"));
    stream.write_all(b"ok").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.contains("body=2 bytes\nok"), "{answer}");
    assert!(!answer.contains("expect="), "{answer}");
}

#[tokio::test]
async fn a_small_body_that_nobody_reads_ends_no_connection() {
    let direct = DirectResponse { status: StatusCode::IM_A_TEAPOT, body: Bytes::from_static(b"no") };
    let rig = Rig::http(vec![Route::new(Action::Direct(Box::new(direct)))], &[]).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody").await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 418"), "{answer}");
    }
}

#[tokio::test]
async fn websockets_pass_where_they_are_allowed() {
    let backend = Backend::serving(|mut request| async move {
        assert_eq!(request.headers()["upgrade"], "websocket");
        tokio::spawn(async move {
            let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
            let (mut read, mut write) = tokio::io::split(hyper_util::rt::TokioIo::new(upgraded));
            tokio::io::copy(&mut read, &mut write).await.unwrap();
            write.shutdown().await.unwrap();
        });
        Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .body(full(""))
            .unwrap()
    })
    .await;
    let request = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    let refusing = Rig::http(vec![to("b")], &[("b", &[backend.address])]).await;
    let mut stream = TcpStream::connect(refusing.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(status(&read_answer(&mut stream).await), 403);

    let mut manager = manager(vec![to("b")]);
    manager.upgrades = vec!["websocket".into()];
    let rig = Rig::start();
    rig.clusters(&[("b", &[backend.address])], |_| {});
    rig.serve(manager).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert_eq!((status(&answer), header(&answer, "upgrade")), (101, "websocket"));
    stream.write_all(b"any bytes at all").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_all(&mut stream).await, "any bytes at all");
}

#[tokio::test]
async fn grpc_streams_pass_with_their_trailers() {
    let backend = Backend::serving(|request| async move {
        let bytes = request.into_body().collect().await.unwrap().to_bytes();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("5"));
        let body = http_body_util::Full::new(bytes)
            .with_trailers(async move { Some(Ok(trailers)) })
            .map_err(|never: std::convert::Infallible| match never {})
            .boxed();
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    })
    .await;
    let rig = Rig::start();
    rig.clusters(&[("b", &[backend.address])], |config| {
        config.http.protocol = proxy::snapshot::cluster::UpstreamProtocol::Http2;
    });
    rig.serve(manager(vec![to("b")])).await;
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let (mut send, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = http::Request::post("http://a.test/pkg.Service/Method")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(full("\0\0\0\0\u{2}hi"))
            .unwrap();
        let collected = send.send_request(request).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "5");
        assert_eq!(collected.to_bytes(), "\0\0\0\0\u{2}hi");
    }
}

#[tokio::test]
async fn large_bodies_stream_both_ways() {
    let backend = Backend::serving(|request| async move { Response::new(request.into_body().boxed()) }).await;
    let rig = Rig::http(vec![route(retrying("b", "5xx", 2))], &[("b", &[backend.address])]).await;
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let (mut send, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let chunk = Bytes::from(vec![7; 64 * 1024]);
    let chunks = futures::stream::iter(
        (0..512).map(move |_| Ok::<_, std::io::Error>(http_body::Frame::data(chunk.clone()))),
    );
    let request =
        http::Request::post("/").header("host", "a").body(http_body_util::StreamBody::new(chunks)).unwrap();
    let mut answer = send.send_request(request).await.unwrap().into_body();
    let mut received = 0;
    while let Some(frame) = answer.frame().await {
        received += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(received, 512 * 64 * 1024);
}

#[tokio::test]
async fn a_connect_ends_at_the_route_that_terminates_it() {
    let echo = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = echo.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = echo.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    let mut forward = Forward::to_cluster("b");
    forward.connect = true;
    forward.upgrades = Box::new([("connect".into(), true)]);
    let mut tunnel = route(forward);
    tunnel.path.path = PathMatch::Connect;
    let rig = Rig::http(vec![tunnel], &[("b", &[address])]).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(b"CONNECT somewhere:80 HTTP/1.1\r\nhost: somewhere:80\r\n\r\n").await.unwrap();
    assert_eq!(status(&read_answer(&mut stream).await), 200);
    stream.write_all(b"through").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_all(&mut stream).await, "through");
}
