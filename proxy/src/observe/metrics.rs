//! Finds the series of a request or connection and counts there.
//!
//! The key of a series is made of small numbers; the text of its labels is made once. There are at most
//! [`MAX_SERIES`] per worker: what comes after counts in one series whose labels are `unknown`.

use std::{cell::Cell, rc::Rc, sync::Arc};

use super::{
    Observe, at_destination,
    exchange::Exchange,
    intern::{FastMap, Interner},
    labels::{self, Answer, Principals},
    series::{RequestSeries, Shard, TcpSeries},
    workload::Peer,
};
use crate::request::outcome::Outcome;

/// Series of each kind, per worker.
const MAX_SERIES: usize = 5000;
/// Host names that clients may add as services.
const MAX_HOSTS: usize = 1000;
/// SPIFFE identities.
const MAX_PRINCIPALS: usize = 10_000;

/// What makes two requests count in the same series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    at_destination: bool,
    /// The cluster's state, or nothing.
    cluster: u64,
    peer: usize,
    principal: u32,
    local_principal: u32,
    host: u32,
    route: RouteKind,
    answer: Answer,
}

/// Routes that stand for a service of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RouteKind {
    Usual,
    BlockAll,
    AllowAny,
}

/// One worker's series.
#[derive(Debug)]
pub(super) struct Metrics {
    observe: Arc<Observe>,
    shard: Arc<Shard>,
    requests: FastMap<Key, Arc<RequestSeries>>,
    tcp: FastMap<Key, Arc<TcpSeries>>,
    principals: Interner,
    hosts: Interner,
    /// Peers that keys point to are kept, so that their addresses stay theirs.
    peers: FastMap<usize, Rc<Peer>>,
}

impl Metrics {
    pub(super) fn new(observe: Arc<Observe>, shard: Arc<Shard>) -> Self {
        Self {
            observe,
            shard,
            requests: FastMap::default(),
            tcp: FastMap::default(),
            principals: Interner::new(MAX_PRINCIPALS),
            hosts: Interner::new(MAX_HOSTS),
            peers: FastMap::default(),
        }
    }

    /// Counts a request.
    pub(super) fn request(&mut self, outcome: &Outcome, exchange: &mut Exchange) {
        let peer = peer_of(outcome, exchange);
        let peer = peer.as_ref();
        let grpc = outcome.request.as_ref().is_some_and(|request| request.grpc);
        let answer = Answer {
            code: outcome.status.map_or(0, |status| status.as_u16()),
            grpc_status: outcome.grpc_status.filter(|_| grpc).map_or(0, |status| status.min(99) + 1),
            grpc,
            flags: outcome.flags,
        };
        let key = self.key(outcome, peer, answer);
        let series = match self.requests.get(&key) {
            Some(series) => series,
            None => {
                let series = self.new_request_series(outcome, peer, key);
                self.requests.entry(key).or_insert(series)
            }
        };
        series.requests.add(1);
        series.duration.record(outcome.duration.as_millis() as u64);
        series.request_bytes.record(outcome.request_head_bytes + outcome.bytes_received);
        series.response_bytes.record(outcome.response_head_bytes + outcome.bytes_sent);
        if grpc {
            series.request_messages.add(outcome.request_messages);
            series.response_messages.add(outcome.response_messages);
        }
    }

    fn new_request_series(
        &mut self,
        outcome: &Outcome,
        peer: Option<&Rc<Peer>>,
        key: Key,
    ) -> Arc<RequestSeries> {
        self.remember(peer);
        let mut all = self.shard.requests.lock();
        if all.len() >= MAX_SERIES {
            self.shard.overflow.add(1);
            let labels =
                labels::of_overflow(key.at_destination, Some(Answer { grpc_status: 0, ..key.answer }));
            if let Some(series) = all.iter().find(|series| *series.labels == *labels) {
                return series.clone();
            }
            // One for each status and flag: few.
            let series = Arc::new(RequestSeries::new(labels.into(), key.answer.grpc));
            all.push(series.clone());
            return series;
        }
        let host = known_host(outcome, key);
        let labels = labels::of(&self.observe, outcome, peer.map(|peer| &**peer), host, Some(key.answer));
        // Different keys may come to the same labels: clusters come and go, their names stay.
        all.iter().find(|series| *series.labels == *labels).cloned().unwrap_or_else(|| {
            let series = Arc::new(RequestSeries::new(labels.into(), key.answer.grpc));
            all.push(series.clone());
            series
        })
    }

    /// Counts the opening of a connection.
    pub(super) fn tcp_opened(&mut self, outcome: &Outcome, exchange: &mut Exchange) -> TcpFlow {
        let peer = peer_of(outcome, exchange);
        let peer = peer.as_ref();
        let answer = Answer { code: 0, grpc_status: 0, grpc: false, flags: outcome.flags };
        let key = self.key(outcome, peer, answer);
        let series = match self.tcp.get(&key) {
            Some(series) => series.clone(),
            None => {
                let series = self.new_tcp_series(outcome, peer, key);
                self.tcp.insert(key, series.clone());
                series
            }
        };
        series.opened.add(1);
        TcpFlow { series, sent: Cell::new(0), received: Cell::new(0) }
    }

    fn new_tcp_series(&mut self, outcome: &Outcome, peer: Option<&Rc<Peer>>, key: Key) -> Arc<TcpSeries> {
        self.remember(peer);
        let mut all = self.shard.tcp.lock();
        let labels = if all.len() >= MAX_SERIES {
            self.shard.overflow.add(1);
            labels::of_overflow(key.at_destination, None)
        } else {
            let host = known_host(outcome, key);
            labels::of(&self.observe, outcome, peer.map(|peer| &**peer), host, None)
        };
        all.iter().find(|series| *series.labels == *labels).cloned().unwrap_or_else(|| {
            let series = Arc::new(TcpSeries::new(labels.into()));
            all.push(series.clone());
            series
        })
    }

    fn key(&mut self, outcome: &Outcome, peer: Option<&Rc<Peer>>, answer: Answer) -> Key {
        let principals = Principals::of(outcome);
        // Keys die with their number: what was cached for those that don't come again is let go.
        if self.requests.len() + self.tcp.len() > 4 * MAX_SERIES {
            self.requests.clear();
            self.tcp.clear();
            self.peers.clear();
        }
        Key {
            at_destination: at_destination(outcome.connection.direction),
            cluster: outcome.cluster.as_ref().map_or(u64::MAX, |cluster| cluster.state.id),
            peer: peer.map_or(0, |peer| Rc::as_ptr(peer) as usize),
            principal: self.principals.number(principals.peer),
            local_principal: self.principals.number(principals.local),
            host: labels::fallback_host(outcome).map_or(0, |host| self.hosts.number(host)),
            route: match outcome.route.as_ref().map(|route| &*route.name) {
                Some("block_all") => RouteKind::BlockAll,
                Some("allow_any") => RouteKind::AllowAny,
                _ => RouteKind::Usual,
            },
            answer,
        }
    }

    fn remember(&mut self, peer: Option<&Rc<Peer>>) {
        if let Some(peer) = peer {
            self.peers.insert(Rc::as_ptr(peer) as usize, peer.clone());
        }
    }
}

/// The host that stands for the service, unless there were too many.
fn known_host(outcome: &Outcome, key: Key) -> &str {
    labels::fallback_host(outcome).filter(|_| key.host > 0).unwrap_or_default()
}

/// The workload at the other end: as it said itself, else as the control plane says of the endpoint.
fn peer_of(outcome: &Outcome, exchange: &mut Exchange) -> Option<Rc<Peer>> {
    if let Some(peer) = &outcome.peer {
        return Some(peer.clone());
    }
    if at_destination(outcome.connection.direction) {
        return None;
    }
    exchange.of_endpoint(outcome.endpoint.as_deref()?)
}

/// A TCP connection that is counted.
#[derive(Debug)]
pub struct TcpFlow {
    series: Arc<TcpSeries>,
    sent: Cell<u64>,
    received: Cell<u64>,
}

impl TcpFlow {
    /// So many bytes in all have gone to the client and come from it until now.
    pub fn progress(&self, sent: u64, received: u64) {
        self.series.sent.add(sent.saturating_sub(self.sent.replace(sent)));
        self.series.received.add(received.saturating_sub(self.received.replace(received)));
    }

    pub(super) fn close(self, sent: u64, received: u64) {
        self.progress(sent, received);
        self.series.closed.add(1);
    }
}
