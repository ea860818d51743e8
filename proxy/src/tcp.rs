//! Connections that are carried byte by byte.
//!
//! `listen` hands over a connection and what its chain does with it; this picks a cluster and an endpoint, connects,
//! and copies both ways until both have closed, or until nothing moves for too long.

mod copy;

use std::{rc::Rc, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

pub use self::copy::both_ways;
use crate::{
    drain::Signal,
    listen::{
        lifetime::{Kind, Lifetime, Limits},
        stream::Stream,
    },
    observe::TcpFlow,
    proxy_protocol::Announced,
    request::outcome::{Connection, Flags, Outcome, Protocol},
    runtime::Worker,
    snapshot::{Cluster, listener::Listener, tcp::TcpProxy},
    stage::hash,
    upstream::{Connected, Endpoint, Pick},
};

/// Carries one connection to its end.
pub async fn serve(
    worker: Rc<Worker>,
    proxy: Arc<TcpProxy>,
    facts: Rc<Connection>,
    client: Stream,
    signal: Rc<Signal>,
) {
    let mut outcome = Outcome::new(facts, Protocol::Tcp, Instant::now());
    if let Some(open) = open(&worker, &proxy, &mut outcome).await {
        let flow = carry(&worker, &proxy, client, open, signal, &mut outcome).await;
        over(&worker, &proxy, flow, outcome);
    } else {
        over(&worker, &proxy, None, outcome);
    }
}

/// A client that was silent when no server could be reached may only be slow: a busy one, or a Java virtual machine that
/// makes its first ClientHello. It is given so long to say something.
const SLOW: Duration = Duration::from_secs(2);

/// Carries a connection whose client has been silent, if the server speaks first. If the client does after all, its
/// connection is given back, since what it says may choose another chain.
pub async fn serve_silent(
    worker: &Rc<Worker>,
    proxy: &Arc<TcpProxy>,
    facts: Rc<Connection>,
    client: TcpStream,
    signal: Rc<Signal>,
) -> Option<TcpStream> {
    let mut outcome = Outcome::new(facts, Protocol::Tcp, Instant::now());
    let Some(mut open) = open(worker, proxy, &mut outcome).await else {
        if tokio::time::timeout(SLOW, client.readable()).await.is_ok() {
            return Some(client);
        }
        over(worker, proxy, None, outcome);
        return None;
    };
    tokio::select! {
        biased;
        read = open.upstream.read_buf(&mut open.greeting) => if read.is_err() {
            over(worker, proxy, None, outcome);
            return None;
        },
        _ = client.readable() => return Some(client),
    }
    let client = Stream::plain(client, Bytes::new());
    let flow = carry(worker, proxy, client, open, signal, &mut outcome).await;
    over(worker, proxy, flow, outcome);
    None
}

/// A connection to an endpoint, and what it has said already.
struct Open {
    upstream: Connected,
    greeting: BytesMut,
}

/// Picks a cluster and connects to one of its endpoints.
async fn open(worker: &Rc<Worker>, proxy: &TcpProxy, outcome: &mut Outcome) -> Option<Open> {
    let name = proxy.clusters.pick(|| worker.random());
    let Some(cluster) = worker.snapshot().cluster(name).cloned() else {
        outcome.fail(Flags::NO_CLUSTER, "cluster_not_found");
        return None;
    };
    outcome.cluster = Some(cluster.clone());
    let upstream = connect(worker, proxy, &cluster, outcome).await?;
    Some(Open { upstream, greeting: BytesMut::new() })
}

async fn carry(
    worker: &Rc<Worker>,
    proxy: &TcpProxy,
    mut client: Stream,
    open: Open,
    signal: Rc<Signal>,
    outcome: &mut Outcome,
) -> Option<TcpFlow> {
    let flow = worker.recorder.tcp_opened(proxy, outcome);
    let greeted = open.greeting.len() as u64;
    if client.write_all(&open.greeting).await.is_err() {
        return flow;
    }
    let limits = Limits { idle: proxy.idle_timeout, head: None, age: proxy.max_duration };
    let lifetime = Lifetime::new(signal, limits, Kind::Tcp);
    worker.lifetimes.add(&lifetime);
    let carried = both_ways(client, open.upstream, &lifetime, |carried| {
        if let Some(flow) = &flow {
            flow.progress(greeted + carried.from_upstream, carried.from_client);
        }
    })
    .await;
    outcome.bytes_received = carried.from_client;
    outcome.bytes_sent = greeted + carried.from_upstream;
    if carried.ended_by_us {
        outcome.details = "idle_timeout".into();
    }
    flow
}

fn over(worker: &Worker, proxy: &TcpProxy, flow: Option<TcpFlow>, mut outcome: Outcome) {
    outcome.duration = outcome.started.elapsed();
    worker.recorder.tcp_closed(proxy, flow, &outcome);
}

/// Connects to an endpoint of the cluster, trying others if that is allowed.
async fn connect(
    worker: &Rc<Worker>,
    proxy: &TcpProxy,
    cluster: &Arc<Cluster>,
    outcome: &mut Outcome,
) -> Option<Connected> {
    let mut tried: Vec<Arc<Endpoint>> = Vec::new();
    let hash = proxy.hash_source_ip.then(|| hash::of_address(outcome.client));
    loop {
        let want = Pick {
            hash,
            tried: &tried,
            again: 3,
            other_priorities: false,
            destination: Some(outcome.connection.local),
        };
        let Some(endpoint) = worker.upstreams.pick(cluster, &want) else {
            outcome.fail(Flags::NO_HEALTHY_UPSTREAM, "no_healthy_upstream");
            return None;
        };
        outcome.attempts += 1;
        outcome.endpoint = Some(endpoint.clone());
        let client = Announced { source: outcome.client, destination: outcome.connection.local };
        match worker.upstreams.connect(cluster, &endpoint, client).await {
            Ok(connected) => {
                outcome.upstream_local = Some(connected.link().local);
                outcome.link = Some(connected.link().clone());
                return Some(connected);
            }
            Err(error) => {
                outcome.upstream_failure.clone_from(&error.transport);
                if outcome.attempts >= proxy.connect_attempts {
                    outcome.fail(error.flag(), error.details());
                    return None;
                }
                tried.push(endpoint);
            }
        }
    }
}

/// Notes a connection that no filter chain takes.
pub fn refused(worker: &Worker, facts: Rc<Connection>, listener: &Listener) {
    let mut outcome = Outcome::new(facts, Protocol::Tcp, Instant::now());
    outcome.fail(Flags::NO_ROUTE, "filter_chain_not_found");
    outcome.duration = outcome.started.elapsed();
    worker.recorder.refused(&listener.access_logs, &outcome);
}
