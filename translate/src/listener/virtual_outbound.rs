//! The listener that all redirected outbound connections come to. It hands each to the listener of its destination,
//! and keeps those that none is for.

use std::sync::Arc;

use xds::names;

use super::{access_log, forward, match_all, single};
use crate::context::Context;
use crate::proto::{address, boolean, core, listener, uint32};
use crate::resource::Resource;

/// The listener.
pub(crate) fn virtual_outbound(context: &Context<'_>) -> Arc<Resource> {
    let port = context.mesh.settings.outbound_port();
    let transparent = context.view.settings.interception == crate::node::Interception::Transparent;
    // Connections made to the port itself would be passed through to itself.
    let loops = listener::FilterChain {
        filter_chain_match: Some(listener::FilterChainMatch {
            destination_port: uint32(port.into()),
            ..Default::default()
        }),
        ..match_all("virtualOutbound-blackhole", vec![forward(context, single(names::BLACK_HOLE_CLUSTER))])
    };
    let rest =
        match_all("virtualOutbound-catchall-tcp", vec![forward(context, single(&context.unknown_cluster()))]);
    let listener = listener::Listener {
        name: names::VIRTUAL_OUTBOUND.to_owned(),
        address: Some(address(context.wildcard(), port)),
        filter_chains: vec![loops, rest],
        use_original_dst: boolean(true),
        transparent: if transparent { boolean(true) } else { None },
        traffic_direction: core::TrafficDirection::Outbound.into(),
        access_log: access_log::of_listener(context),
        ..Default::default()
    };
    Resource::of(names::VIRTUAL_OUTBOUND, &listener)
}
