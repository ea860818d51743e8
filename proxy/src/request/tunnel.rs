//! A request that has become a tunnel: WebSocket and other upgrades.
//!
//! The answer's head goes to the client first; then bytes are copied both ways until both ends have closed.

use std::sync::Arc;

use http::{Response, response::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::{
    Exchange,
    attempt::{self, Answered, Plan},
    record::Record,
    reply::Reply,
    response::ClientBody,
};
use crate::{
    proxy_protocol::Announced,
    snapshot::Cluster,
    tcp,
    upstream::{Connected, ResponseBody},
};

/// Ends a `CONNECT` here: its bytes go to an endpoint as they are.
pub(super) async fn connect(
    exchange: &mut Exchange,
    cluster: &Arc<Cluster>,
    plan: &Plan,
) -> Result<Answered, Box<Reply>> {
    let endpoint = attempt::pick(exchange, cluster, plan, &[])?;
    let worker = exchange.connection.worker.clone();
    let connection = &exchange.connection.facts;
    let client = Announced { source: connection.remote, destination: connection.local };
    let connected = worker.upstreams.connect(cluster, &endpoint, client).await;
    match connected {
        Ok(connected) => {
            let response = Response::new(ResponseBody::default());
            Ok(Answered { response, deadline: None, tunnel: Some(connected) })
        }
        Err(error) => Err(Reply::upstream_failed(&error, false)),
    }
}

/// Sends the head that agrees to the upgrade and goes on with the tunnel in a task of its own.
pub(super) fn start(exchange: Exchange, head: Parts, upstream: Option<Connected>) -> Response<ClientBody> {
    if let (Some(client), Some(upstream)) = (exchange.upgrade, upstream) {
        tokio::task::spawn_local(carry(client, upstream, exchange.record));
    }
    Response::from_parts(head, ClientBody::unrecorded())
}

async fn carry(client: OnUpgrade, upstream: Connected, mut record: Record) {
    let connection = record.connection().clone();
    let _counted = connection.worker.shared.drain.count();
    let Ok(client) = client.await else { return };
    let carried = tcp::both_ways(TokioIo::new(client), upstream, &connection.lifetime, |_| {}).await;
    record.tunnelled(carried.from_client);
    record.bytes_sent = carried.from_upstream;
    record.finish();
}
