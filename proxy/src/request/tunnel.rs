//! A request that has become a tunnel: WebSocket and other upgrades.
//!
//! The 101 goes to the client first; then bytes are copied both ways until both ends have closed.

use http::{Response, response::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::{Exchange, record::Record, response::ClientBody};
use crate::{
    tcp,
    upstream::{Connected, ResponseBody},
};

/// Sends the 101 and goes on with the tunnel in a task of its own.
pub(super) fn start(exchange: Exchange, head: Parts, body: ResponseBody) -> Response<ClientBody> {
    if let (Some(client), Some(upstream)) = (exchange.upgrade, body.into_upgraded()) {
        tokio::task::spawn_local(carry(client, upstream, exchange.record));
    }
    Response::from_parts(head, ClientBody::unrecorded())
}

async fn carry(client: OnUpgrade, upstream: Connected, mut record: Record) {
    let connection = record.connection().clone();
    let _counted = connection.worker.shared.drain.count();
    let Ok(client) = client.await else { return };
    let carried = tcp::both_ways(TokioIo::new(client), upstream, &connection.lifetime).await;
    record.tunnelled(carried.from_client);
    record.bytes_sent = carried.from_upstream;
    record.finish();
}
