//! Requests that fail, on purpose or not.

use super::*;

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
    let tried = HeaderMatch {
        source: HeaderSource::Header(HeaderName::from_static("x-try")),
        value: HeaderValueMatch::Present,
        invert: false,
        missing_is_empty: false,
    };
    second.conditions = Some(Box::new(Conditions { headers: vec![tried], ..Conditions::default() }));
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
