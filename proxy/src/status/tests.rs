use super::*;
use crate::drain::{Drain, Phase};
use crate::identity::{Health, Secrets};
use crate::observe::{LocalWorkload, Observe, StatsFilter};
use crate::snapshot::Live;
use crate::subscribe::Progress;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

struct Bench {
    drain: Drain,
    status: Arc<Status>,
    ports: Vec<Listening>,
}

fn bench(scrape: Option<&str>) -> Bench {
    let drain = Drain::default();
    let (identity, progress) = (Arc::new(Health::default()), Progress::new());
    let live = Live::new(Default::default());
    let readiness = Readiness::new(identity.clone(), progress.clone(), live.clone(), drain.clone());
    let own = OwnMetrics {
        observe: Observe::new(LocalWorkload::default(), "node", StatsFilter::default()),
        live,
        identity,
        secrets: Secrets::new(),
        progress,
        names: None,
        started: std::time::Instant::now(),
    };
    let status = Arc::new(Status {
        readiness: Arc::new(readiness),
        probes: Probes::default(),
        own: Arc::new(own),
        scrape: Scrape::parse(scrape).unwrap(),
        lifecycle: Arc::new(Lifecycle::new(drain.clone())),
    });
    let any = crate::bootstrap::Ports { admin: 0, status: 0, health: 0, metrics: 0 };
    let ports = start(status.clone(), any).unwrap();
    Bench { drain, status, ports }
}

/// Sends bytes to a port and returns everything that comes back.
async fn exchange(port: u16, request: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "no end of {:?}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get(port: u16, path: &str) -> String {
    exchange(port, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let bench = bench(None);
    let [status, health, _] = &bench.ports[..] else { panic!() };
    for port in [status.address.port(), health.address.port()] {
        let answer = get(port, "/healthz/ready").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("no workload certificate yet: waiting for the CA"), "{answer}");
    }
    bench.drain.advance(Phase::Draining);
    assert_eq!(bench.status.readiness.check().unwrap_err(), "the proxy is draining");
    assert!(get(health.address.port(), "/stats/prometheus").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn metrics_of_the_application_come_after_ours() {
    let router = Router::new().route("/m", axum::routing::get(|| async { "app_requests 7\n# EOF\n" }));
    let app = serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), router).unwrap();
    let annotations = format!(r#"{{"scrape":"true","path":"/m","port":"{}"}}"#, app.address.port());
    let bench = bench(Some(&annotations));
    let merged = get(bench.ports[0].address.port(), "/stats/prometheus").await;
    assert!(merged.contains("envoy_control_plane_connected_state 0\n"), "{merged}");
    assert!(merged.ends_with("app_requests 7\n"), "{merged}");
    let own = get(bench.ports[2].address.port(), "/stats/prometheus").await;
    assert!(own.contains("envoy_server_uptime") && !own.contains("app_requests"), "{own}");
    drop(app);
    let without = get(bench.ports[0].address.port(), "/metrics").await;
    assert!(without.starts_with("HTTP/1.1 200") && without.contains("envoy_server_uptime"), "{without}");
}

#[tokio::test]
async fn quitting_and_draining_are_asked_for_by_post_from_within_the_pod() {
    let bench = bench(None);
    let port = bench.ports[0].address.port();
    assert!(get(port, "/quitquitquit").await.starts_with("HTTP/1.1 405"));
    for path in ["/quitquitquit", "/drain"] {
        let post =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        assert!(exchange(port, post.as_bytes()).await.starts_with("HTTP/1.1 200"));
    }
    bench.status.lifecycle.asked_to_quit().await;
    assert_eq!(bench.drain.phase(), Phase::Draining);
    let outside = only_from_here(SocketAddr::from(([10, 0, 0, 9], 1))).unwrap();
    assert_eq!(outside.status(), StatusCode::FORBIDDEN);
    assert!(only_from_here("[::ffff:127.0.0.1]:1".parse().unwrap()).is_none());
}

#[tokio::test]
async fn garbage_and_oversized_heads_are_answered_and_closed() {
    let bench = bench(None);
    let port = bench.ports[0].address.port();
    assert!(exchange(port, b"\x16\x03\x01\x02\x00\x01garbage\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    let long = format!("GET /healthz/ready HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(64 << 10));
    let answer = exchange(port, long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(get(port, "/healthz/ready").await.starts_with("HTTP/1.1 503"));
}
