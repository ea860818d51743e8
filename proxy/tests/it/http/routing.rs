//! What routes do to requests.

use super::*;

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
    forward.rewrite = Some(Box::new(PathRewrite::Prefix("/v2".into())));
    forward.host_rewrite = Some(Box::new(HostRewrite::Literal(HeaderValue::from_static("inner.test"))));
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
    forward.mirrors = Box::new([Mirror { cluster: "m".into(), share: Fraction::ALL, keep_host: true }]);
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
