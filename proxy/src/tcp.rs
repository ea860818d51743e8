//! Connections that are carried byte by byte.
//!
//! `listen` hands over a connection and what its chain does with it; this picks a cluster and an endpoint, connects,
//! and copies both ways until both have closed, or until nothing moves for too long.

mod copy;

use std::{rc::Rc, sync::Arc};

use tokio::time::Instant;

pub use self::copy::both_ways;
use crate::{
    drain::Signal,
    listen::{
        lifetime::{Kind, Lifetime, Limits},
        stream::Stream,
    },
    request::outcome::{Connection, Flags, Outcome, Protocol},
    observe::TcpFlow,
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
    let flow = carry(&worker, &proxy, client, signal, &mut outcome).await;
    outcome.duration = outcome.started.elapsed();
    worker.recorder.tcp_closed(&proxy, flow, &outcome);
}

async fn carry(
    worker: &Rc<Worker>,
    proxy: &TcpProxy,
    client: Stream,
    signal: Rc<Signal>,
    outcome: &mut Outcome,
) -> Option<TcpFlow> {
    let name = proxy.clusters.pick(|| worker.random());
    let Some(cluster) = worker.snapshot().cluster(name).cloned() else {
        outcome.fail(Flags::NO_CLUSTER, "cluster_not_found");
        return None;
    };
    outcome.cluster = Some(cluster.clone());
    let upstream = connect(worker, proxy, &cluster, outcome).await?;
    let flow = worker.recorder.tcp_opened(proxy, outcome);
    let limits = Limits { idle: proxy.idle_timeout, head: None, age: proxy.max_duration };
    let lifetime = Lifetime::new(signal, limits, Kind::Tcp);
    worker.lifetimes.add(&lifetime);
    let carried = both_ways(client, upstream, &lifetime, |carried| {
        if let Some(flow) = &flow {
            flow.progress(carried.from_upstream, carried.from_client);
        }
    })
    .await;
    outcome.bytes_received = carried.from_client;
    outcome.bytes_sent = carried.from_upstream;
    if carried.ended_by_us {
        outcome.details = "idle_timeout".into();
    }
    flow
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
        match worker.upstreams.connect(cluster, &endpoint).await {
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
