//! Pools against real sockets.

mod answers;
mod http2;
mod lifetime;
mod limits;
mod meshed;

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
