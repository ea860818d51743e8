//! A data plane with a configuration built by hand, the backends behind it, and a client that sees every byte.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proxy::{
    drain::Phase,
    identity::Secrets,
    observe::{LocalWorkload, Observe, StatsFilter},
    runtime::{self, Settings, Shared, Workers},
    snapshot::{
        Cluster, Listener, Listeners, Live, RouteTable, Snapshot,
        cluster::{ClusterConfig, Discovery, Endpoint, Endpoints, Registry},
        http::{HttpConnectionManager, RouteSource},
        listener::{ChainMatch, Direction, FilterChain, FilterChains, Network},
        route::{Action, Forward, Route, VirtualHost},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// An address that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// A running data plane.
pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    pub(crate) registry: Arc<Registry>,
    workers: Option<Workers>,
}

impl Rig {
    /// Starts one worker without configuration.
    pub(crate) fn start() -> Self {
        Self::start_with(Settings::default())
    }

    /// The same, with settings.
    pub(crate) fn start_with(settings: Settings) -> Self {
        let settings = Settings { workers: 1, hostname: "rig".into(), ..settings };
        let observe = Observe::new(LocalWorkload::default(), "rig", StatsFilter::default());
        let shared = Shared::new(Live::new(Snapshot::default()), Secrets::new(), observe, settings);
        let workers = runtime::start(&shared).unwrap();
        Self { address: free_address(), shared, registry: Registry::new(), workers: Some(workers) }
    }

    /// Serves `routes` in plaintext HTTP; cluster names are those of `clusters`.
    pub(crate) async fn http(routes: Vec<Route>, clusters: &[(&str, &[SocketAddr])]) -> Self {
        let rig = Self::start();
        rig.clusters(clusters, |_| {});
        rig.serve(manager(routes)).await;
        rig
    }

    /// Puts clusters into the configuration.
    pub(crate) fn clusters(&self, clusters: &[(&str, &[SocketAddr])], change: impl Fn(&mut ClusterConfig)) {
        let made: Vec<_> = clusters
            .iter()
            .map(|(name, addresses)| {
                let mut config = ClusterConfig::new(Discovery::Static);
                config.connect_timeout = Duration::from_secs(1);
                change(&mut config);
                let state = self.registry.cluster(&(*name).into());
                let endpoints =
                    addresses.iter().map(|address| Arc::new(Endpoint::new(state.endpoint(*address))));
                let endpoints = Arc::new(Endpoints::flat(endpoints.collect()));
                Arc::new(Cluster::new(*name, config, endpoints, &self.registry))
            })
            .collect();
        self.shared.live.update(|now| now.with_clusters(made.clone(), &[]));
    }

    /// Listens at the rig's address.
    pub(crate) async fn serve(&self, manager: HttpConnectionManager) {
        let chain = chain("http", ChainMatch::default(), Network::Http(Arc::new(manager)));
        self.listen(listener(self.address, vec![chain])).await;
    }

    /// Puts a listener into the configuration and waits until it listens.
    pub(crate) async fn listen(&self, listener: Listener) {
        let listener = Arc::new(listener);
        self.shared.live.update(|now| now.with_listeners(Listeners::new(vec![listener.clone()])));
        for _ in 0..200 {
            if TcpStream::connect(self.address).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nobody listens at {}", self.address);
    }

    /// Sends bytes on a connection of its own and reads until the other end closes.
    pub(crate) async fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_ref()).await.unwrap();
        read_all(&mut stream).await
    }

    /// Asks for a path, without keep-alive.
    pub(crate) async fn get(&self, path: &str) -> String {
        self.get_with(path, "").await
    }

    /// The same with more headers, each with its line break.
    pub(crate) async fn get_with(&self, path: &str, headers: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n{headers}connection: close\r\n\r\n")).await
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.shared.drain.advance(Phase::Closing);
        if let Some(workers) = self.workers.take() {
            workers.join();
        }
    }
}

/// Reads until the other end closes, for ten seconds at most.
pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes))
        .await
        .unwrap_or_else(|_| panic!("still open after {:?}", String::from_utf8_lossy(&bytes)));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one answer with a `content-length`, or without a body.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await;
        let read = read.unwrap_or_else(|_| panic!("no end after {text:?}")).unwrap();
        assert!(read > 0, "closed after {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length: usize = header(head, "content-length").parse().unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
    }
}

/// A header's value in the text of an answer; empty if it isn't there.
pub(crate) fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    answer
        .lines()
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)))
        .map_or("", |(_, value)| value.trim())
}

/// The body in the text of an answer.
pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// The status in the text of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// A manager for all hosts with these routes.
pub(crate) fn manager(routes: Vec<Route>) -> HttpConnectionManager {
    let routes = routes.into_iter().map(Arc::new).collect();
    let host = VirtualHost::new("all", vec!["*".into()], routes).unwrap();
    manager_of(host)
}

/// A manager for one virtual host.
pub(crate) fn manager_of(host: VirtualHost) -> HttpConnectionManager {
    let table = RouteTable::new("rig", [Arc::new(host)]).unwrap();
    HttpConnectionManager::new("rig", RouteSource::Inline(Arc::new(table)))
}

/// A route for everything to one cluster.
pub(crate) fn to(cluster: &str) -> Route {
    route(Forward::to_cluster(cluster))
}

/// A route for everything.
pub(crate) fn route(forward: Forward) -> Route {
    Route::new(Action::Forward(Box::new(forward)))
}

/// A plaintext chain.
pub(crate) fn chain(name: &str, matcher: ChainMatch, network: Network) -> FilterChain {
    FilterChain { name: name.into(), matcher, tls: None, transport_timeout: None, network, fingerprint: 0 }
}

/// A listener of its own address.
pub(crate) fn listener(address: SocketAddr, chains: Vec<FilterChain>) -> Listener {
    Listener {
        name: "rig".into(),
        addresses: vec![address],
        bind: true,
        original_destination: false,
        hand_off: false,
        direction: Direction::Inbound,
        tls_inspector: None,
        http_inspector: None,
        detection_timeout: None,
        continue_on_timeout: true,
        proxy_protocol: false,
        chains: FilterChains::new(chains.into_iter().map(Arc::new).collect(), None),
        access_logs: Vec::new(),
    }
}

/// An HTTP server that says what it got.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<AtomicUsize>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Backend {
    /// A server that describes every request in its answer: method, path, headers, and then the body.
    pub(crate) async fn describing(name: &'static str) -> Self {
        Self::serving(move |request| async move { describe(name, request).await }).await
    }

    /// A server with a behaviour of its own.
    pub(crate) async fn serving<F, R>(serve: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<BoxBody<Bytes, hyper::Error>>> + Send + 'static,
    {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (requests, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let backend = Self { address, requests: requests.clone(), connections: connections.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let (serve, requests) = (serve.clone(), requests.clone());
                let service = service_fn(move |request| {
                    requests.fetch_add(1, Ordering::Relaxed);
                    let answer = serve(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                tokio::spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
                });
            }
        });
        backend
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// A whole body.
pub(crate) fn full(bytes: impl Into<Bytes>) -> BoxBody<Bytes, hyper::Error> {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

async fn describe(name: &str, request: Request<Incoming>) -> Response<BoxBody<Bytes, hyper::Error>> {
    let mut text = format!("{name}\n{} {} {:?}\n", request.method(), request.uri(), request.version());
    let headers: BTreeMap<_, _> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    for (name, value) in headers {
        text.push_str(&format!("{name}={value}\n"));
    }
    let trailers;
    let body = match request.into_body().collect().await {
        Ok(collected) => {
            trailers = collected.trailers().cloned();
            collected.to_bytes()
        }
        Err(error) => return Response::new(full(format!("broken body: {error}"))),
    };
    text.push_str(&format!("body={} bytes\n", body.len()));
    if body.len() < 100 {
        text.push_str(&String::from_utf8_lossy(&body));
    }
    if let Some(trailers) = trailers {
        text.push_str(&format!("trailers={trailers:?}"));
    }
    Response::builder().header("server", "backend").header("x-served-by", name).body(full(text)).unwrap()
}
