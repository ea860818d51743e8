//! What is told about requests and connections: Istio's metrics, Envoy's cluster statistics, access logs.
//!
//! [`Observe`] is the process's; each worker has a [`Recorder`], which the request path and `tcp` tell of what is over.
//! Series and log formats are resolved when they are first met and cached by the worker, so that a request costs a few
//! additions. The status server asks [`Observe::render`] for the text that Prometheus reads, which sums over workers.
//!
//! ```text
//! request, tcp -> Recorder -> metrics (labels, series)  -> Observe::render
//!                          -> log (format, writer)      -> file
//!                 Recorder <- exchange: who the peer is, from headers
//! ```

mod clusters;
mod exchange;
mod filter;
mod intern;
mod labels;
pub mod log;
mod metrics;
mod render;
mod routes;
#[cfg(test)]
mod sample;
mod series;
mod workload;

use std::{cell::RefCell, rc::Rc, sync::Arc};

use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;

pub use self::{
    exchange::PEER_METADATA_HEADERS,
    filter::{BadStatsRegex, StatsFilter},
    metrics::TcpFlow,
    workload::{LocalWorkload, Peer},
};
use self::{
    exchange::{Exchange, Introduction},
    log::{LogFormats, Writers},
    metrics::Metrics,
    routes::{RouteCounters, RouteStats},
    series::Shard,
};
use crate::{
    request::outcome::Outcome,
    snapshot::{
        Cluster, Live,
        http::{AccessLog, HttpConnectionManager},
        listener::Direction,
        tcp::TcpProxy,
    },
};

/// What the process tells of itself.
#[derive(Debug)]
pub struct Observe {
    /// Who we are.
    pub local: LocalWorkload,
    /// Which of Envoy's statistics are told.
    pub filter: StatsFilter,
    writers: Writers,
    shards: Mutex<Vec<Arc<Shard>>>,
    introduction: Introduction,
    routes: RouteStats,
}

impl Observe {
    /// Begins with nothing counted. `node` is our node id.
    pub fn new(local: LocalWorkload, node: &str, filter: StatsFilter) -> Arc<Self> {
        let introduction = Introduction::new(&local, node);
        let routes = RouteStats::default();
        Arc::new(Self {
            local,
            filter,
            writers: Writers::default(),
            shards: Mutex::default(),
            introduction,
            routes,
        })
    }

    /// A recorder for one worker.
    pub fn recorder(self: &Arc<Self>) -> Rc<Recorder> {
        let shard = Arc::new(Shard::default());
        self.shards.lock().push(shard.clone());
        Rc::new(Recorder {
            metrics: RefCell::new(Metrics::new(self.clone(), shard)),
            exchange: RefCell::default(),
            logs: RefCell::new(LogFormats::new(self.clone())),
            routes: RouteCounters::default(),
            shared: self.clone(),
        })
    }

    /// Writes everything as Prometheus reads it. `live` gives the clusters.
    pub fn render(&self, live: &Live, out: &mut String) {
        render::istio(self, &self.shards.lock(), out);
        clusters::render(&live.load(), &self.filter, out);
        render::own(&self.writers, out);
    }

    /// Statistics of routes that are counted for themselves, under Envoy's names.
    pub fn route_stats(&self) -> Vec<(String, u64)> {
        self.routes.each()
    }

    /// Writes out what logs hold. For the end of the process; blocks until it is done.
    pub fn flush_logs(&self) {
        self.writers.flush();
    }
}

/// One worker's way to tell.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Observe>,
    metrics: RefCell<Metrics>,
    exchange: RefCell<Exchange>,
    logs: RefCell<LogFormats>,
    routes: RouteCounters,
}

impl Recorder {
    /// Who sent a request, from the headers that its proxy added; these go no further.
    /// For listeners towards the workload.
    pub fn identify(&self, headers: &mut HeaderMap) -> Option<Rc<Peer>> {
        self.exchange.borrow_mut().take(headers)
    }

    /// Tells the endpoint's proxy who we are. For listeners away from the workload.
    pub fn introduce_to_endpoint(&self, cluster: &Cluster, headers: &mut HeaderMap) {
        if exchange::stays_in_mesh(cluster) {
            self.shared.introduction.insert(headers);
        } else {
            exchange::remove(headers);
        }
    }

    /// Tells the client's proxy who we are, if it has told us who it is.
    pub fn introduce_to_client(&self, known: bool, headers: &mut HeaderMap) {
        if known {
            self.shared.introduction.insert(headers);
        } else {
            exchange::remove(headers);
        }
    }

    /// The endpoint that a request was sent to, as its metadata tells.
    pub fn known_endpoint(&self, outcome: &Outcome) -> Option<Rc<Peer>> {
        self.exchange.borrow_mut().of_endpoint(outcome.endpoint.as_deref()?)
    }

    /// A request is over.
    pub fn request(&self, manager: &HttpConnectionManager, outcome: &Outcome) {
        if manager.filters.istio_stats {
            self.metrics.borrow_mut().request(outcome, &mut self.exchange.borrow_mut());
        }
        self.routes.count(&self.shared.routes, outcome);
        self.log(&manager.access_logs, outcome);
    }

    /// A TCP connection has found its endpoint. `None` if these connections aren't counted.
    pub fn tcp_opened(&self, proxy: &TcpProxy, outcome: &Outcome) -> Option<TcpFlow> {
        proxy
            .istio_stats
            .then(|| self.metrics.borrow_mut().tcp_opened(outcome, &mut self.exchange.borrow_mut()))
    }

    /// A TCP connection is over. One that failed before it was opened counts as opened too, as in Istio.
    pub fn tcp_closed(&self, proxy: &TcpProxy, flow: Option<TcpFlow>, outcome: &Outcome) {
        if let Some(flow) = flow.or_else(|| self.tcp_opened(proxy, outcome)) {
            flow.close(outcome.bytes_sent, outcome.bytes_received);
        }
        self.log(&proxy.access_logs, outcome);
    }

    /// A connection that no filter chain takes is over.
    pub fn refused(&self, logs: &[AccessLog], outcome: &Outcome) {
        self.log(logs, outcome);
    }

    fn log(&self, logs: &[AccessLog], outcome: &Outcome) {
        if !logs.is_empty() {
            self.logs.borrow_mut().write(logs, outcome);
        }
    }

    /// Hands log lines on that wait in this worker. To be called about every second, and when the worker ends.
    pub fn flush(&self) {
        self.logs.borrow_mut().flush();
    }
}

/// Whether a listener's requests are told by the destination.
fn at_destination(direction: Direction) -> bool {
    direction == Direction::Inbound
}

/// A header's value as text, or nothing.
fn text(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
