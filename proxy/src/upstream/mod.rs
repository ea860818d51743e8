//! From a cluster's name to bytes on an endpoint's socket.
//!
//! A worker has one [`Upstreams`]. The request path asks it to [`pick`](Upstreams::pick) an endpoint and to
//! [`send`](Upstreams::send) a request there, `tcp` to [`connect`](Upstreams::connect). Pools belong to the worker and
//! need no locks; limits, health and counters are the cluster's and shared by all workers ([`state`]).
//!
//! ```text
//! pick:     local -> balance (hashing)                              -> Endpoint
//! send:     local -> pool -> connect (tls) -> http1 | http2 -> body -> Response
//! connect:  connect (tls)                                           -> Connected
//! ```
//! On the control thread, [`control`] resolves the names of DNS clusters and ends ejections.

mod balance;
mod body;
mod connect;
pub mod control;
mod dns;
pub mod error;
mod hashing;
mod http1;
mod http2;
pub mod io;
pub mod limits;
mod local;
pub mod outlier;
mod pool;
pub mod random;
pub mod state;
pub mod stats;
pub mod tls;

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use tokio::time::{Instant, MissedTickBehavior};

pub use self::{
    balance::Pick,
    body::ResponseBody,
    error::{BodyError, ResetReason, SendError},
    io::{Connected, Link},
    random::Random,
};
pub use crate::snapshot::cluster::Endpoint;

use self::{
    body::Underway,
    connect::{Connector, Fresh, Target},
    io::Counted,
    limits::{Permit, Resource},
    local::{ById, LocalCluster},
    outlier::Observation,
    pool::{Leased, Pool},
    tls::{ClientConfigs, Wire},
};
use crate::{
    identity::Secrets,
    proxy_protocol::Announced,
    request::body::RequestBody,
    snapshot::{
        Reader,
        cluster::{Cluster, UpstreamProtocol},
    },
    stage::retry::Failure,
};

/// Between looks at what is idle, dead or not configured any more.
const SWEEP: Duration = Duration::from_secs(1);

/// One worker's way to all clusters.
#[derive(Debug)]
pub struct Upstreams {
    connector: Rc<Connector>,
    clusters: RefCell<ById<u64, Rc<LocalCluster>>>,
    random: Random,
    secrets: Arc<Secrets>,
}

impl Upstreams {
    /// Connects with certificates from `secrets`, and with `mark` on its packets.
    pub fn new(secrets: Arc<Secrets>, mark: Option<u32>) -> Rc<Self> {
        let connector = Rc::new(Connector { configs: ClientConfigs::new(secrets.clone()), mark });
        Rc::new(Self { connector, clusters: RefCell::default(), random: Random::from_entropy(), secrets })
    }

    /// Keeps the pools in order for as long as the worker runs: closes connections that are idle for too long, dead,
    /// made with an old certificate, or to endpoints and clusters that are gone. To be run in the worker's `LocalSet`.
    pub async fn run(self: Rc<Self>, mut configuration: Reader) {
        let mut secrets = self.secrets.watch();
        let mut ticks = tokio::time::interval(SWEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if secrets.has_changed().unwrap_or(false) {
                secrets.mark_unchanged();
                self.drain_tls();
            }
            self.sweep(&mut configuration, Instant::now());
        }
    }

    fn sweep(&self, configuration: &mut Reader, now: Instant) {
        let snapshot = configuration.current().clone();
        let mut clusters = self.clusters.borrow_mut();
        clusters.retain(|_, local| !local.sweep(snapshot.cluster(local.name()), now));
    }

    fn drain_tls(&self) {
        for local in self.clusters.borrow().values() {
            local.drain(|pool| pool.target.is_tls());
        }
        self.connector.configs.clear();
    }

    fn local(&self, cluster: &Cluster) -> Rc<LocalCluster> {
        let mut clusters = self.clusters.borrow_mut();
        clusters.entry(cluster.state.id).or_insert_with(|| LocalCluster::new(cluster, &self.random)).clone()
    }

    /// The endpoint for a request. `None` if there is no healthy one: `UH`, or no destination is known.
    pub fn pick(&self, cluster: &Cluster, want: &Pick<'_>) -> Option<Arc<Endpoint>> {
        let picked = self.local(cluster).pick(cluster, want, &self.random);
        if picked.is_none() {
            cluster.state.stats.upstream_cx_none_healthy.inc();
        }
        picked
    }

    /// Sends a request to an endpoint and waits for the answer's head. Dropping the future ends the request.
    ///
    /// The request has an absolute URI and no `host`; its version is the client's. The answer to an HTTP/1 request is
    /// an HTTP/1 answer, whatever carried it. After a 101, or a 2xx to `CONNECT`, the body gives the connection
    /// ([`ResponseBody::into_upgraded`]).
    pub async fn send(
        &self,
        cluster: &Arc<Cluster>,
        endpoint: &Arc<Endpoint>,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, SendError> {
        let mut underway = Underway::begin(&cluster.state, &endpoint.state);
        let wire = wire_of(cluster.config.http.protocol, &request);
        let authority = request.uri().authority().map(http::uri::Authority::as_str);
        let pool = self.local(cluster).pool(cluster, endpoint, wire, authority, &self.connector);
        let mut result = exchange(cluster, &pool, request, &mut underway).await;
        underway.answered();
        note(cluster, endpoint, &result);
        match &mut result {
            Ok(_) => {}
            Err(error) if error.failure == Failure::Client => {}
            Err(_) => cluster.state.stats.upstream_rq_rx_reset.inc(),
        }
        result.map(|(response, answer)| response.map(|()| answer.into_body(underway)))
    }

    /// Connects to an endpoint for TCP, for a client that the endpoint may be told of.
    pub async fn connect(
        &self,
        cluster: &Arc<Cluster>,
        endpoint: &Arc<Endpoint>,
        client: Announced,
    ) -> Result<Connected, SendError> {
        let state = &cluster.state;
        let mut underway = Underway::begin(state, &endpoint.state);
        underway.answered();
        let Some(permit) = Permit::take(state, &cluster.config.limits, Resource::Connections) else {
            state.stats.upstream_cx_overflow.inc();
            return Err(SendError::overflow());
        };
        state.stats.upstream_cx_total.inc();
        let target = Target::new(&cluster.config, endpoint, Wire::Tcp, None).announcing(client);
        match self.connector.connect(&target).await {
            Ok(Fresh { io, link, .. }) => {
                outlier::report(cluster, endpoint, Observation::Connected, Instant::now());
                Ok(Connected::new(io, Bytes::new(), link, Counted::Alone { _permit: permit }, underway))
            }
            Err(error) => {
                state.stats.upstream_cx_connect_fail.inc();
                outlier::report(cluster, endpoint, Observation::ConnectFailed, Instant::now());
                Err(error)
            }
        }
    }

    /// Tells that an endpoint was given up because it took too long.
    pub fn timed_out(&self, cluster: &Cluster, endpoint: &Endpoint) {
        outlier::report(cluster, endpoint, Observation::TimedOut, Instant::now());
    }
}

/// The answer's body before it is one.
enum Answer {
    Http1(Box<http1::Http1>),
    Http2(Box<http2::Http2Body>),
    Upgraded(Box<http1::Http1>),
}

impl Answer {
    fn into_body(self, underway: Underway) -> ResponseBody {
        match self {
            Self::Http1(connection) => ResponseBody::http1(connection, underway),
            Self::Http2(body) => ResponseBody::http2(body, underway),
            Self::Upgraded(connection) => ResponseBody::upgraded(connection, underway),
        }
    }
}

async fn exchange(
    cluster: &Arc<Cluster>,
    pool: &Rc<Pool>,
    request: Request<RequestBody>,
    underway: &mut Underway,
) -> Result<(Response<()>, Answer), SendError> {
    let stats = &cluster.state.stats;
    let lease = pool.acquire().await?;
    let Some(permit) = Permit::take(&cluster.state, &cluster.config.limits, Resource::Requests) else {
        stats.upstream_rq_pending_overflow.inc();
        return Err(SendError::overflow());
    };
    underway.admit(permit);
    stats.upstream_rq_total.inc();
    let Some(leased) = lease.take() else { return Err(SendError::overflow()) };
    let connect = request.method() == Method::CONNECT;
    let version = request.version();
    match leased {
        Leased::Http1(connection) => {
            let (response, connection) = connection.exchange(request, &cluster.config.http).await?;
            let status = response.status();
            let upgraded = status == StatusCode::SWITCHING_PROTOCOLS || (connect && status.is_success());
            let answer = if upgraded { Answer::Upgraded(connection) } else { Answer::Http1(connection) };
            Ok((response, answer))
        }
        Leased::Http2(stream) => {
            let (mut response, body) = http2::exchange(stream, request).await?;
            if version != Version::HTTP_2 {
                *response.version_mut() = Version::HTTP_11;
            }
            Ok((response, Answer::Http2(body)))
        }
    }
}

/// Counts what became of a request, and tells the outlier detector.
fn note(cluster: &Cluster, endpoint: &Endpoint, result: &Result<(Response<()>, Answer), SendError>) {
    let stats = &cluster.state.stats;
    let seen = match result {
        Ok((response, _)) => {
            let counter = match response.status().as_u16() {
                200..=299 => &stats.upstream_rq_2xx,
                300..=399 => &stats.upstream_rq_3xx,
                400..=499 => &stats.upstream_rq_4xx,
                _ => &stats.upstream_rq_5xx,
            };
            counter.inc();
            if cluster.config.outlier.is_none() {
                return;
            }
            Observation::Status(status_of(response.status(), response.headers()))
        }
        Err(error) => match error.failure {
            Failure::Connect => Observation::ConnectFailed,
            Failure::RefusedStream | Failure::Reset { .. } => Observation::Reset,
            Failure::Overflow | Failure::TryTimeout | Failure::Client => return,
        },
    };
    outlier::report(cluster, endpoint, seen, Instant::now());
}

/// The status, or what a gRPC status in the head stands for.
fn status_of(status: StatusCode, headers: &HeaderMap) -> u16 {
    let grpc = headers.get("grpc-status").and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    match grpc {
        None => status.as_u16(),
        Some(0) => 200,
        Some(1) => 499,
        Some(3 | 9 | 11) => 400,
        Some(4) => 504,
        Some(5) => 404,
        Some(6 | 10) => 409,
        Some(7) => 403,
        Some(8) => 429,
        Some(12) => 501,
        Some(14) => 503,
        Some(16) => 401,
        Some(_) => 500,
    }
}

/// What a request needs to travel on.
fn wire_of(protocol: UpstreamProtocol, request: &Request<RequestBody>) -> Wire {
    let http2 = request.version() == Version::HTTP_2;
    let speaks_http2 =
        protocol == UpstreamProtocol::Http2 || (protocol == UpstreamProtocol::UseDownstream && http2);
    let upgrades = request.headers().contains_key(header::UPGRADE)
        || request.extensions().get::<hyper::ext::Protocol>().is_some()
        || request.method() == Method::CONNECT;
    if upgrades && !(speaks_http2 && http2) {
        return Wire::Http1Alone;
    }
    match protocol {
        _ if speaks_http2 => Wire::Http2,
        UpstreamProtocol::Auto => Wire::Auto,
        _ => Wire::Http1,
    }
}

#[cfg(test)]
mod tests;
