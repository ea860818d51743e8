//! Pools against real sockets.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    net::SocketAddr,
    time::SystemTime,
};

use http::HeaderName;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{LocalSet, spawn_local},
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::snapshot::{
    Live, Snapshot,
    cluster::{
        ClusterConfig, Discovery, Endpoints, HttpOptions, Limits, OutlierDetection, Registry, Transport,
        Transports, UpstreamTls,
    },
    listener::TlsVersion,
};

/// Runs a test as a worker would.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async {
        tokio::time::timeout(Duration::from_secs(20), test).await.expect("in time");
    };
    LocalSet::new().block_on(&runtime, limited);
}

struct Server {
    address: SocketAddr,
    connections: Rc<Cell<u32>>,
}

impl Server {
    /// A server that hands each connection, with its number, to `serve`.
    async fn new<F: Future<Output = ()> + 'static>(serve: impl Fn(TcpStream, u32) -> F + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Rc::new(Cell::new(0));
        let count = connections.clone();
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.set(count.get() + 1);
                spawn_local(serve(stream, count.get()));
            }
        });
        Self { address, connections }
    }

    /// A server that gives each request on each connection this answer.
    async fn answering(answer: &'static str) -> Self {
        Self::new(move |mut stream, _| async move {
            while read_head(&mut stream).await.is_some() {
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await
    }
}

/// Reads a request's head (and whatever came with it).
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    while !text.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut text).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    Some(String::from_utf8(text).unwrap())
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

struct World {
    upstreams: Rc<Upstreams>,
    cluster: Arc<Cluster>,
    endpoint: Arc<Endpoint>,
}

fn world(address: SocketAddr, change: impl FnOnce(&mut ClusterConfig)) -> World {
    world_with(Secrets::new(), address, change)
}

fn world_with(secrets: Arc<Secrets>, address: SocketAddr, change: impl FnOnce(&mut ClusterConfig)) -> World {
    let mut config = ClusterConfig::new(Discovery::Static);
    change(&mut config);
    let cluster = Cluster::new("c", config, Arc::default(), &Registry::new());
    let endpoint = Arc::new(Endpoint::new(cluster.state.endpoint(address)));
    let cluster = cluster.with_endpoints(Arc::new(Endpoints::flat(vec![endpoint.clone()])));
    World { upstreams: Upstreams::new(secrets, None), cluster: Arc::new(cluster), endpoint }
}

fn get(path: &str) -> Request<RequestBody> {
    Request::get(format!("http://app{path}")).body(RequestBody::empty()).unwrap()
}

impl World {
    async fn send(&self, request: Request<RequestBody>) -> Result<Response<ResponseBody>, SendError> {
        self.upstreams.send(&self.cluster, &self.endpoint, request).await
    }

    /// The whole answer: status and body.
    async fn fetch(&self, request: Request<RequestBody>) -> Result<(u16, String), SendError> {
        let response = self.send(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        Ok((status, String::from_utf8(body.to_vec()).unwrap()))
    }

    fn sweep(&self) {
        let snapshot = Snapshot::default().with_clusters([self.cluster.clone()], &[]);
        self.upstreams.sweep(&mut Live::new(snapshot).reader(), Instant::now());
    }

    fn used(&self, resource: Resource) -> u32 {
        self.cluster.state.usage.of(resource)
    }
}

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

/// A server whose answers wait until they are let go.
async fn slow_server() -> (Server, Rc<tokio::sync::Semaphore>) {
    let gate = Rc::new(tokio::sync::Semaphore::new(0));
    let shared = gate.clone();
    let server = Server::new(move |mut stream, _| {
        let gate = shared.clone();
        async move {
            while read_head(&mut stream).await.is_some() {
                gate.acquire().await.unwrap().forget();
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    (server, gate)
}

#[test]
fn limits_are_exact_to_the_request() {
    run(async {
        let (server, gate) = slow_server().await;
        let limits = Limits { max_connections: 1, max_pending_requests: 1, ..Limits::default() };
        let world = Rc::new(world(server.address, |config| config.limits = limits));
        let ask = || {
            let world = world.clone();
            spawn_local(async move { world.fetch(get("/")).await })
        };
        let first = ask();
        while world.used(Resource::Requests) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let second = ask();
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(world.used(Resource::Pending), 1);
        let third = ask().await.unwrap().unwrap_err();
        assert_eq!((third.flag().to_string().as_str(), third.failure), ("UO", Failure::Overflow));
        gate.add_permits(2);
        assert_eq!(first.await.unwrap().unwrap().0, 200);
        assert_eq!(second.await.unwrap().unwrap().0, 200);
        assert_eq!(server.connections.get(), 1);
        assert_eq!(world.cluster.state.stats.upstream_rq_pending_overflow.get(), 1);
    });
}

#[test]
fn requests_over_the_limit_overflow() {
    run(async {
        let (server, gate) = slow_server().await;
        let limits = Limits { max_requests: 2, ..Limits::default() };
        let world = Rc::new(world(server.address, |config| config.limits = limits));
        let asked: Vec<_> = (0..5)
            .map(|_| {
                let world = world.clone();
                spawn_local(async move { world.fetch(get("/")).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        gate.add_permits(5);
        let mut good = 0;
        for one in asked {
            match one.await.unwrap() {
                Ok(_) => good += 1,
                Err(error) => assert_eq!(error.failure, Failure::Overflow),
            }
        }
        assert_eq!(good, 2);
        assert_eq!(world.used(Resource::Requests), 0);
    });
}

#[test]
fn who_waits_gets_another_connection_when_one_breaks() {
    run(async {
        let server = Server::new(|mut stream, number| async move {
            read_head(&mut stream).await;
            if number > 1 {
                stream.write_all(OK.as_bytes()).await.unwrap();
            } else {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        })
        .await;
        let limits = Limits { max_connections: 1, ..Limits::default() };
        let world = Rc::new(world(server.address, |config| config.limits = limits));
        let first = spawn_local({
            let world = world.clone();
            async move { world.fetch(get("/")).await }
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        let second = world.fetch(get("/")).await;
        assert!(first.await.unwrap().is_err());
        assert_eq!(second.unwrap().0, 200);
    });
}

#[test]
fn connections_end_after_their_requests_and_when_idle() {
    run(async {
        let server = Server::answering(OK).await;
        let two = world(server.address, |config| {
            config.http.max_requests_per_connection = std::num::NonZeroU32::new(2);
        });
        for _ in 0..5 {
            two.fetch(get("/")).await.unwrap();
        }
        assert_eq!(server.connections.get(), 3);
        let idle = world(server.address, |config| config.http.idle_timeout = Some(Duration::from_millis(30)));
        idle.fetch(get("/")).await.unwrap();
        idle.sweep();
        assert_eq!(idle.used(Resource::Connections), 1);
        tokio::time::sleep(Duration::from_millis(40)).await;
        idle.sweep();
        assert_eq!(idle.used(Resource::Connections), 0);
        idle.sweep();
        idle.sweep();
        assert!(idle.upstreams.clusters.borrow().is_empty(), "nothing is kept for an unused cluster");
    });
}

#[test]
fn a_new_configuration_uses_new_connections_only_if_it_must() {
    run(async {
        let server = Server::answering(OK).await;
        let mut world = world(server.address, |_| {});
        world.fetch(get("/")).await.unwrap();
        let same = Cluster { config: Arc::new((*world.cluster.config).clone()), ..(*world.cluster).clone() };
        world.cluster = Arc::new(same);
        world.fetch(get("/")).await.unwrap();
        assert_eq!(server.connections.get(), 1);
        let mut config = (*world.cluster.config).clone();
        config.http.idle_timeout = None;
        world.cluster = Arc::new(Cluster { config: Arc::new(config), ..(*world.cluster).clone() });
        world.fetch(get("/")).await.unwrap();
        assert_eq!(server.connections.get(), 2);
        assert_eq!(world.used(Resource::Connections), 1);
    });
}

#[test]
fn connections_to_endpoints_that_are_gone_are_closed() {
    run(async {
        let server = Server::answering(OK).await;
        let mut world = world(server.address, |_| {});
        world.fetch(get("/")).await.unwrap();
        world.cluster = Arc::new(world.cluster.with_endpoints(Arc::default()));
        world.sweep();
        assert_eq!(world.used(Resource::Connections), 0);
    });
}

#[test]
fn http2_connections_give_back_what_they_used_when_nobody_needs_them() {
    run(async {
        let server = Server::new(|stream, _| serve_http2(stream)).await;
        let mut world = world(server.address, http2);
        let left = async |world: &World, most: u32| {
            while world.used(Resource::Connections) > most {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        world.fetch(get("/")).await.unwrap();
        let mut config = (*world.cluster.config).clone();
        config.http.idle_timeout = None;
        let all = world.cluster.endpoints.clone();
        world.cluster = Arc::new(Cluster { config: Arc::new(config), ..(*world.cluster).clone() });
        world.fetch(get("/")).await.unwrap();
        left(&world, 1).await;
        world.cluster = Arc::new(world.cluster.with_endpoints(Arc::default()));
        world.sweep();
        left(&world, 0).await;
        world.cluster = Arc::new(world.cluster.with_endpoints(all));
        world.fetch(get("/")).await.unwrap();
        assert_eq!(server.connections.get(), 3);
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

/// Serves HTTP/2 with `answer`: each request's path and body come back.
async fn serve_http2(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        spawn_local(async move {
            let (parts, mut body) = request.into_parts();
            if parts.uri.path() == "/refuse" {
                return respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
            if parts.uri.path() == "/reset" {
                return respond.send_reset(h2::Reason::INTERNAL_ERROR);
            }
            let mut text = format!("{} {} ", parts.method, parts.uri).into_bytes();
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                text.extend_from_slice(&data);
            }
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            send.send_data(text.into(), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            send.send_trailers(trailers).unwrap();
        });
    }
}

fn http2(config: &mut ClusterConfig) {
    config.http.protocol = UpstreamProtocol::Http2;
}

#[test]
fn http2_requests_share_a_connection_at_the_same_time() {
    run(async {
        let server = Server::new(|stream, _| serve_http2(stream)).await;
        let world = Rc::new(world(server.address, http2));
        let large = "x".repeat(300_000);
        let asked: Vec<_> = (0..20)
            .map(|number| {
                let (world, large) = (world.clone(), large.clone());
                spawn_local(async move {
                    let request = Request::post(format!("http://app/{number}")).version(Version::HTTP_2);
                    world.fetch(request.body(RequestBody::full(large)).unwrap()).await.unwrap()
                })
            })
            .collect();
        for (number, one) in asked.into_iter().enumerate() {
            assert_eq!(one.await.unwrap(), (200, format!("POST http://app/{number} {large}")));
        }
        assert_eq!(server.connections.get(), 1);
        assert_eq!(world.used(Resource::Requests), 0);
    });
}

#[test]
fn http2_opens_another_connection_when_streams_run_out() {
    run(async {
        let server = Server::new(|stream, _| serve_http2(stream)).await;
        let few = |config: &mut ClusterConfig| {
            http2(config);
            config.http.max_concurrent_streams = std::num::NonZeroU32::new(2);
        };
        let world = world(server.address, few);
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(world.send(get("/")).await.unwrap());
        }
        assert_eq!(server.connections.get(), 3);
        drop(held);
        assert_eq!(world.used(Resource::Requests), 0);
    });
}

#[test]
fn http2_resets_are_told_apart() {
    run(async {
        let server = Server::new(|stream, _| serve_http2(stream)).await;
        let world = world(server.address, http2);
        let refused = world.send(get("/refuse")).await.unwrap_err();
        assert_eq!(refused.failure, Failure::RefusedStream);
        let reset = world.send(get("/reset")).await.unwrap_err();
        assert_eq!((reset.failure, reset.flag().to_string().as_str()), (Failure::Reset { sent: true }, "UR"));
        assert_eq!(world.fetch(get("/fine")).await.unwrap().0, 200);
        assert_eq!(server.connections.get(), 1);
    });
}

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

#[test]
fn a_client_that_goes_leaves_nothing_behind() {
    run(async {
        let (server, _gate) = slow_server().await;
        let world = world(server.address, |_| {});
        let slow = tokio::time::timeout(Duration::from_millis(30), world.send(get("/"))).await;
        assert!(slow.is_err());
        assert_eq!((world.used(Resource::Connections), world.used(Resource::Requests)), (0, 0));
        assert_eq!(world.endpoint.state.active(), 0);
        assert_eq!(world.cluster.state.stats.upstream_rq_cancelled.get(), 1);
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
