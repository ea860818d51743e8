use super::*;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use std::net::Ipv4Addr;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn probes(json: &str) -> Result<Probes, ProbeError> {
    Probes::parse(Some(json), HERE, false)
}

async fn status_of(probe: String) -> (StatusCode, String) {
    let probes = probes(&format!(r#"{{"/app-health/app/readyz": {probe}}}"#)).unwrap();
    let headers = HeaderMap::from_iter([(header::USER_AGENT, "kube-probe/1.34".parse().unwrap())]);
    match probes.run("/app-health/app/readyz", &headers).await.unwrap() {
        Ok(response) => {
            let status = response.status();
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            (status, String::from_utf8_lossy(&body).into_owned())
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn application() -> u16 {
    let echo = |headers: HeaderMap| async move {
        let text = |name: &str| headers.get(name).map_or("-", |v| v.to_str().unwrap()).to_owned();
        format!("{} {} {}", text("host"), text("user-agent"), text("x-probe"))
    };
    let router = Router::new()
        .route("/echo", get(echo))
        .route("/bad", get(|| async { StatusCode::IM_A_TEAPOT }))
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_mins(1)).await }))
        .route("/here", get(|| async { (StatusCode::FOUND, [("location", "/echo")]) }))
        .route("/round", get(|| async { (StatusCode::FOUND, [("location", "/round")]) }))
        .route("/away", get(|| async { (StatusCode::FOUND, [("location", "http://example.com/")]) }))
        .route("/large", get(|| async { "x".repeat(100_000) }));
    let listening = crate::status::serve(SocketAddr::new(HERE, 0), router).unwrap();
    let port = listening.address.port();
    std::mem::forget(listening);
    port
}

#[tokio::test]
async fn http_probes_answer_what_the_application_answers() {
    let port = application();
    let http = |path: &str, more: &str| {
        format!(r#"{{"httpGet":{{"path":"{path}","port":{port}{more}}},"timeoutSeconds":1}}"#)
    };
    let (status, body) = status_of(http(
        "/echo",
        r#","httpHeaders":[{"name":"X-Probe","value":"1"},{"name":"Host","value":"app.example"}]"#,
    ))
    .await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "app.example kube-probe/1.34 1"));
    assert_eq!(status_of(http("/bad", "")).await.0, StatusCode::IM_A_TEAPOT);
    assert_eq!(status_of(http("/nowhere", "")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(status_of(http("/here", "")).await.1, format!("127.0.0.1:{port} kube-probe/1.34 -"));
    assert_eq!(status_of(http("/away", "")).await.0, StatusCode::FOUND);
    assert_eq!(status_of(http("/large", "")).await.1.len(), 10 << 10);
    assert!(status_of(http("/round", "")).await.1.contains("10 redirects"));
    assert!(status_of(http("/slow", "")).await.1.contains("within 1s"));
    // plaintext spoken to as HTTPS
    assert!(status_of(http("/echo", r#","scheme":"HTTPS""#)).await.1.contains("TLS failed"));
}

#[tokio::test]
async fn https_probes_verify_nothing_and_speak_what_alpn_says() {
    let now = std::time::SystemTime::now();
    let (ca, _) = pki::Ca::self_signed("x", now).unwrap();
    for alpn in [Some("h2"), Some("http/1.1"), None] {
        let offered: Vec<&[u8]> = alpn.iter().map(|name| name.as_bytes()).collect();
        let cert = ca.issue_server(&["somebody.else".to_owned()], Duration::from_hours(1), now).unwrap();
        let identity = pki::Identity::new(cert, ca.bundle().clone());
        let config = pki::tls::server_config(identity, pki::tls::ClientAuth::None, &offered).unwrap();
        let listener = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = tokio_rustls::TlsAcceptor::from(config).accept(stream).await.unwrap();
            let service =
                hyper::service::service_fn(async |request: hyper::Request<hyper::body::Incoming>| {
                    Ok::<_, std::convert::Infallible>(hyper::Response::new(format!(
                        "{:?}",
                        request.version()
                    )))
                });
            let io = hyper_util::rt::TokioIo::new(stream);
            if alpn == Some("h2") {
                let executor = hyper_util::rt::TokioExecutor::new();
                let _ =
                    hyper::server::conn::http2::Builder::new(executor).serve_connection(io, service).await;
            } else {
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
            }
        });
        let (status, body) =
            status_of(format!(r#"{{"httpGet":{{"path":"/","port":{port},"scheme":"HTTPS"}}}}"#)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let expected = if alpn == Some("h2") { "HTTP/2.0" } else { "HTTP/1.1" };
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn tcp_probes_connect() {
    let port = application();
    assert_eq!(status_of(format!(r#"{{"tcpSocket":{{"port":{port}}}}}"#)).await.0, StatusCode::OK);
    let free = std::net::TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap().port();
    let (status, body) = status_of(format!(r#"{{"tcpSocket":{{"port":{free}}}}}"#)).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.contains("cannot connect"), "{body}");
}

/// A gRPC server that says it serves the empty service only.
async fn grpc_application() -> u16 {
    use http_body_util::{BodyExt as _, StreamBody};
    use hyper::body::Frame;
    use prost::Message as _;
    let listener = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = async |request: hyper::Request<hyper::body::Incoming>| {
        let bytes = request.into_body().collect().await.unwrap().to_bytes();
        let asked = grpc::HealthCheckRequest::decode(&bytes[5..]).unwrap();
        let status = if asked.service.is_empty() { 1 } else { 2 };
        let message = grpc::HealthCheckResponse { status }.encode_to_vec();
        let mut framed = vec![0, 0, 0, 0, message.len() as u8];
        framed.extend(message);
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let frames = [
            Ok::<_, std::convert::Infallible>(Frame::data(bytes::Bytes::from(framed))),
            Ok(Frame::trailers(trailers)),
        ];
        let body = StreamBody::new(futures::stream::iter(frames));
        Ok::<_, std::convert::Infallible>(
            hyper::Response::builder().header("content-type", "application/grpc").body(body).unwrap(),
        )
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let io = hyper_util::rt::TokioIo::new(stream);
            let builder = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
            tokio::spawn(
                async move { builder.serve_connection(io, hyper::service::service_fn(answer)).await },
            );
        }
    });
    port
}

#[tokio::test]
async fn grpc_probes_ask_the_health_service() {
    let port = grpc_application().await;
    assert_eq!(status_of(format!(r#"{{"grpc":{{"port":{port}}}}}"#)).await.0, StatusCode::OK);
    let (_, body) = status_of(format!(r#"{{"grpc":{{"port":{port},"service":"shop.Reviews"}}}}"#)).await;
    assert_eq!(body, "probe failed: the service is not serving (status 2)");
}

#[tokio::test]
async fn a_path_without_a_probe_is_not_known() {
    assert!(Probes::default().run("/app-health/app/livez", &HeaderMap::new()).await.is_none());
}

#[test]
fn probes_that_cannot_be_run_are_refused() {
    let cases = [
        (r#"{"/app-health/a/readyz": {}}"#, "must have exactly one of"),
        (
            r#"{"/app-health/a/readyz": {"tcpSocket":{"port":1},"grpc":{"port":1}}}"#,
            "must have exactly one of",
        ),
        (r#"{"/app-health/a/readyz": {"tcpSocket":{"port":"http"}}}"#, "the port must be a number"),
        (r#"{"/app-health/a/readyz": {"tcpSocket":{"port":70000}}}"#, "the port must be a number"),
        (r#"{"/app-health/a/other": {"tcpSocket":{"port":1}}}"#, "is not of the form"),
        (r#"{"/app-health//livez": {"tcpSocket":{"port":1}}}"#, "is not of the form"),
        (r#"{"/healthz": {"tcpSocket":{"port":1}}}"#, "is not of the form"),
        ("[]", "the injector writes a map"),
    ];
    for (json, message) in cases {
        let error = probes(json).unwrap_err().to_string();
        assert!(error.contains(message), "{json}: {error}");
    }
    assert!(probes(r#"{"/app-lifecycle/a/prestopz": {"httpGet":{"port":"8080"}}}"#).is_ok());
}
