//! Requests over real sockets: what upstreams and clients get to see.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use proxy::snapshot::{
    headers::{Append, Edits, HeaderWrite, Value},
    http::{HttpConnectionManager, HttpFilters},
    matcher::StringMatch,
    path::{PathCondition, PathMatch},
    route::{
        Abort, Action, Cors, Destination, DirectResponse, Fault, Forward, Fraction, Mirror, PathRewrite,
        Redirect, RetryOn, RetryPolicy, Route, Target, VirtualHost, Weighted,
    },
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::rig::{
    Backend, Rig, body, free_address, full, header, manager, manager_of, read_all, read_answer, route,
    status, to,
};

fn prefix(text: &str) -> PathCondition {
    PathCondition { path: PathMatch::Prefix(text.into()), ignore_case: false }
}

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
async fn failures_are_answered_as_envoy_answers_them() {
    let nobody = free_address();
    let mut edges = route(Forward::to_cluster("missing"));
    edges.path = prefix("/missing");
    let mut empty = to("empty");
    empty.path = prefix("/empty");
    let mut dead = to("dead");
    dead.path = prefix("/dead");
    let rig = Rig::http(vec![edges, empty, dead], &[("empty", &[]), ("dead", &[nobody])]).await;
    for (path, expected, text) in [
        ("/none", 404, ""),
        ("/missing", 503, ""),
        ("/empty", 503, "no healthy upstream"),
        (
            "/dead",
            503,
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
        ),
    ] {
        let answer = rig.get(path).await;
        assert_eq!((status(&answer), body(&answer)), (expected, text), "{path}");
        assert_eq!(header(&answer, "server"), "istio-envoy", "{path}");
    }
    let grpc = rig.get_with("/empty", "content-type: application/grpc\r\n").await;
    assert_eq!(status(&grpc), 200);
    assert_eq!(header(&grpc, "grpc-status"), "14");
    assert_eq!(header(&grpc, "grpc-message"), "no healthy upstream");
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
async fn weights_split_requests() {
    let (one, two) = (Backend::describing("one").await, Backend::describing("two").await);
    let targets = vec![(80, Target::new("one")), (20, Target::new("two"))];
    let forward = Forward::to(Destination::Clusters(Weighted::new(targets).unwrap()));
    let rig = Rig::http(vec![route(forward)], &[("one", &[one.address]), ("two", &[two.address])]).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    for _ in 0..500 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        read_answer(&mut stream).await;
    }
    assert!((350..450).contains(&one.requests()), "{}", one.requests());
    assert_eq!(one.requests() + two.requests(), 500);
}

#[tokio::test]
async fn headers_paths_and_hosts_are_rewritten() {
    let backend = Backend::describing("b").await;
    let write = |name: &'static str, value: &str, append| HeaderWrite {
        name: HeaderName::from_static(name),
        value: Value::parse(value).unwrap(),
        append,
        keep_empty: false,
    };
    let mut forward = Forward::to_cluster("b");
    forward.rewrite = Some(PathRewrite::Prefix("/v2".into()));
    forward.host_rewrite =
        Some(proxy::snapshot::route::HostRewrite::Literal(HeaderValue::from_static("inner.test")));
    let mut rewriting = route(forward);
    rewriting.path = prefix("/v1");
    rewriting.request_headers = Edits {
        remove: Box::new([HeaderName::from_static("x-secret")]),
        write: Box::new([
            write("x-from", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% by %PROTOCOL%", Append::Overwrite),
            write("x-list", "b", Append::Append),
            write("x-copy", "%REQ(x-list)%", Append::Overwrite),
        ]),
        authority: None,
    }
    .into();
    rewriting.response_headers = Edits {
        remove: Box::new([HeaderName::from_static("x-served-by")]),
        write: Box::new([write("x-code", "%RESPONSE_CODE%", Append::Overwrite)]),
        authority: None,
    }
    .into();
    let rig = Rig::http(vec![rewriting], &[("b", &[backend.address])]).await;
    let answer = rig.get_with("/v1/items?q=1", "x-secret: s\r\nx-list: a\r\n").await;
    let seen = body(&answer);
    assert!(seen.contains("GET /v2/items?q=1 "), "{seen}");
    assert!(seen.contains("host=inner.test\n"), "{seen}");
    assert!(seen.contains("x-envoy-original-path=/v1/items?q=1\n"), "{seen}");
    assert!(seen.contains("x-from=127.0.0.1 by HTTP/1.1\n"), "{seen}");
    assert!(!seen.contains("x-secret"), "{seen}");
    assert_eq!(header(&answer, "x-code"), "200");
    assert_eq!(header(&answer, "x-served-by"), "");
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
async fn routes_answer_themselves() {
    let redirect = Redirect {
        status: StatusCode::FOUND,
        scheme: Some("https".into()),
        host: Some("b.test".into()),
        port: None,
        path: Some(PathRewrite::Prefix("/new".into())),
        strip_query: false,
    };
    let mut moved = Route::new(Action::Redirect(Box::new(redirect)));
    moved.path = prefix("/old");
    let direct =
        DirectResponse { status: StatusCode::IM_A_TEAPOT, body: Bytes::from_static(b"short and stout") };
    let rig = Rig::http(vec![moved, Route::new(Action::Direct(Box::new(direct)))], &[]).await;
    let answer = rig.get("/old/x?y").await;
    assert_eq!((status(&answer), header(&answer, "location")), (302, "https://b.test/new/x?y"));
    let answer = rig.get("/tea").await;
    assert_eq!((status(&answer), body(&answer)), (418, "short and stout"));
}

fn retrying(cluster: &str, on: &str, retries: u32) -> Forward {
    let mut forward = Forward::to_cluster(cluster);
    let policy = RetryPolicy { retries, host_selection_attempts: 5, ..RetryPolicy::new(RetryOn::parse(on)) };
    forward.retry = Some(policy.into());
    forward
}

#[tokio::test]
async fn a_refused_connection_is_retried_elsewhere_with_the_whole_body() {
    let backend = Backend::describing("b").await;
    let addresses = [free_address(), free_address(), backend.address];
    let rig = Rig::http(vec![route(retrying("b", "connect-failure", 5))], &[("b", &addresses)]).await;
    for _ in 0..10 {
        let answer = rig
            .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
            .await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(body(&answer).ends_with("body=5 bytes\nhello"), "{answer}");
    }
}

#[tokio::test]
async fn bad_answers_are_retried_until_the_attempts_are_used() {
    let failing =
        Backend::serving(|_| async { Response::builder().status(503).body(full("down")).unwrap() }).await;
    let routes = vec![route(retrying("b", "5xx", 2)).into()];
    let mut host = VirtualHost::new("all", vec!["*".into()], routes).unwrap();
    host.attempt_count_in_response = true;
    let rig = Rig::start();
    rig.clusters(&[("b", &[failing.address])], |_| {});
    rig.serve(manager_of(host)).await;
    let answer = rig.get("/").await;
    assert_eq!((status(&answer), body(&answer)), (503, "down"));
    assert_eq!(header(&answer, "x-envoy-attempt-count"), "3");
    assert_eq!(failing.requests(), 3);
}

#[tokio::test]
async fn slow_upstreams_run_into_timeouts() {
    let slow = Backend::serving(|request| async move {
        let wait = if request.uri().path() == "/slow" { 5 } else { 0 };
        tokio::time::sleep(Duration::from_secs(wait)).await;
        Response::new(full("late"))
    })
    .await;
    let mut whole = Forward::to_cluster("b");
    whole.timeout = Some(Duration::from_millis(200));
    let mut each = retrying("b", "5xx", 1);
    each.retry = each.retry.map(|policy| {
        RetryPolicy { per_try_timeout: Some(Duration::from_millis(100)), ..(*policy).clone() }.into()
    });
    let mut second = route(each);
    second.path = PathCondition { path: PathMatch::Regex("/slow".into()), ignore_case: false };
    second.conditions.headers = vec![proxy::snapshot::matcher::HeaderMatch {
        source: proxy::snapshot::matcher::HeaderSource::Header(HeaderName::from_static("x-try")),
        value: proxy::snapshot::matcher::HeaderValueMatch::Present,
        invert: false,
        missing_is_empty: false,
    }];
    let rig = Rig::http(vec![second, route(whole)], &[("b", &[slow.address])]).await;
    let answer = rig.get("/slow").await;
    assert_eq!((status(&answer), body(&answer)), (504, "upstream request timeout"));
    let answer = rig.get_with("/slow", "x-try: 1\r\n").await;
    assert_eq!((status(&answer), body(&answer)), (504, "upstream request timeout"));
    assert_eq!(slow.requests(), 3);
    assert_eq!(status(&rig.get("/fast").await), 200);
}

#[tokio::test]
async fn faults_are_injected() {
    let backend = Backend::describing("b").await;
    let mut faulty = to("b");
    faulty.fault = Some(
        Fault {
            delay: Some((Fraction::ALL, Duration::from_millis(150))),
            abort: Some((Fraction::ALL, Abort::Http(StatusCode::IM_A_TEAPOT))),
            headers: Vec::new(),
            upstream_cluster: None,
            downstream_nodes: Vec::new(),
            max_active: None,
        }
        .into(),
    );
    let mut manager = manager(vec![faulty]);
    manager.filters = HttpFilters { fault: Some(None), ..HttpFilters::default() };
    let rig = Rig::start();
    rig.clusters(&[("b", &[backend.address])], |_| {});
    rig.serve(manager).await;
    let before = std::time::Instant::now();
    let answer = rig.get("/").await;
    assert!(before.elapsed() >= Duration::from_millis(150));
    assert_eq!((status(&answer), body(&answer)), (418, "fault filter abort"));
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn preflights_are_answered_and_answers_marked() {
    let backend = Backend::describing("b").await;
    let mut route = to("b");
    route.cors = Some(
        Cors {
            allow_origins: vec![StringMatch::exact("https://good.test", false)],
            allow_methods: Some(HeaderValue::from_static("GET")),
            forward_unmatched_preflights: true,
            ..Cors::default()
        }
        .into(),
    );
    let mut manager = manager(vec![route]);
    manager.filters.cors = true;
    let rig = Rig::start();
    rig.clusters(&[("b", &[backend.address])], |_| {});
    rig.serve(manager).await;
    let answer = rig
        .send(
            "OPTIONS / HTTP/1.1\r\nhost: a\r\norigin: https://good.test\r\n\
             access-control-request-method: GET\r\nconnection: close\r\n\r\n",
        )
        .await;
    assert_eq!((status(&answer), header(&answer, "access-control-allow-methods")), (200, "GET"));
    assert_eq!(backend.requests(), 0);
    let answer = rig.get_with("/", "origin: https://good.test\r\n").await;
    assert_eq!(header(&answer, "access-control-allow-origin"), "https://good.test");
    assert_eq!(
        header(&rig.get_with("/", "origin: https://bad.test\r\n").await, "access-control-allow-origin"),
        ""
    );
}

#[tokio::test]
async fn mirrors_get_a_copy() {
    let (backend, mirror) = (Backend::describing("b").await, Backend::describing("m").await);
    let mut forward = Forward::to_cluster("b");
    forward.mirrors = vec![Mirror { cluster: "m".into(), share: Fraction::ALL, keep_host: true }];
    let rig = Rig::http(vec![route(forward)], &[("b", &[backend.address]), ("m", &[mirror.address])]).await;
    let answer =
        rig.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello").await;
    assert_eq!(header(&answer, "x-served-by"), "b");
    for _ in 0..100 {
        if mirror.requests() == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the mirror got nothing");
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
async fn nonsense_is_refused_and_harms_nobody() {
    let backend = Backend::describing("b").await;
    let rig = Rig::http(vec![to("b")], &[("b", &[backend.address])]).await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(100_000));
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    for (bytes, expected) in [
        (b"\0\x01\x02\x03\x04garbage\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n".to_vec(), 400),
        (b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(), 404),
        (long.into_bytes(), 431),
        (large.into_bytes(), 431),
    ] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        // The other end may close before it has read everything.
        let _ = stream.write_all(&bytes).await;
        let answer = read_all(&mut stream).await;
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        assert_eq!(status(&answer), expected, "{start:?}: {answer}");
    }
    assert_eq!(status(&rig.get("/").await), 200);
    assert_eq!(backend.requests(), 1);
}

#[tokio::test]
async fn a_drained_connection_says_so_with_its_next_answer() {
    let backend = Backend::describing("b").await;
    let rig = Rig::http(vec![to("b")], &[("b", &[backend.address])]).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    assert_eq!(header(&read_answer(&mut stream).await, "connection"), "");
    rig.shared.drain.advance(proxy::drain::Phase::Draining);
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.write_all(request).await.unwrap();
    assert_eq!(header(&read_all(&mut stream).await, "connection"), "close");
    // New connections are still served: not everybody knows yet.
    assert_eq!(status(&rig.get("/").await), 200);
}

#[tokio::test]
async fn a_changed_route_is_used_by_the_next_request_of_the_same_connection() {
    let (one, two) = (Backend::describing("one").await, Backend::describing("two").await);
    let rig = Rig::start();
    rig.clusters(&[("one", &[one.address]), ("two", &[two.address])], |_| {});
    let table = |cluster: &str| {
        let host = VirtualHost::new("all", vec!["*".into()], vec![to(cluster).into()]).unwrap();
        std::sync::Arc::new(proxy::snapshot::RouteTable::new("80", [std::sync::Arc::new(host)]).unwrap())
    };
    let mut manager = manager(Vec::new());
    manager.routes = proxy::snapshot::http::RouteSource::Named("80".into());
    rig.serve(manager).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    for (cluster, expected) in [(None, 404), (Some("one"), 200), (Some("two"), 200)] {
        if let Some(cluster) = cluster {
            rig.shared.live.update(|now| now.with_routes([table(cluster)], &[]));
        }
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert_eq!(
            (status(&answer), header(&answer, "x-served-by")),
            (expected, cluster.unwrap_or_default())
        );
    }
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
    forward.upgrades = vec![("connect".into(), true)];
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

#[tokio::test]
async fn the_listeners_own_limits_of_time_hold() {
    let slow = Backend::serving(|request| async move {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        Response::new(full("ok"))
    })
    .await;
    let limit = Some(Duration::from_millis(200));
    for (change, expected, text) in [
        (
            &(|m: &mut HttpConnectionManager| m.stream_idle_timeout = Some(Duration::from_millis(200)))
                as &dyn Fn(&mut _),
            504,
            "stream timeout",
        ),
        (&|m: &mut HttpConnectionManager| m.max_stream_duration = limit, 408, "downstream duration timeout"),
    ] {
        let mut manager = manager(vec![to("b")]);
        change(&mut manager);
        let rig = Rig::start();
        rig.clusters(&[("b", &[slow.address])], |_| {});
        rig.serve(manager).await;
        let answer = rig.get("/slow").await;
        assert_eq!((status(&answer), body(&answer)), (expected, text));
        assert_eq!(status(&rig.get("/").await), 200);
    }
    let mut manager = manager(vec![to("b")]);
    manager.request_timeout = limit;
    let rig = Rig::start();
    rig.clusters(&[("b", &[slow.address])], |_| {});
    rig.serve(manager).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream
        .write_all(b"POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhal")
        .await
        .unwrap();
    let answer = read_all(&mut stream).await;
    assert_eq!((status(&answer), body(&answer)), (408, "request timeout"));
}
