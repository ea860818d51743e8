//! Route configurations: for a stock Envoy whole, for a proxy of ours only the frame.

use std::sync::Arc;

use envoy_types::pb::google::protobuf::UInt32Value;
use model::config::OutboundMode;
use prost::Message;
use xds::names;

use super::{encode_virtual_host, everything, no_timeout};
use crate::context::Context;
use crate::proto::{ads, boolean, route};
use crate::resource::Resource;
use crate::wire;

/// Field number of `RouteConfiguration.virtual_hosts`.
const VIRTUAL_HOSTS: u32 = 2;

/// A route configuration around virtual hosts that are resources of their own.
pub(crate) fn configuration<'a>(
    context: &Context<'_>,
    name: &str,
    virtual_hosts: impl Iterator<Item = &'a Arc<Resource>>,
) -> Arc<Resource> {
    let frame = route::RouteConfiguration {
        name: name.to_owned(),
        validate_clusters: boolean(false),
        // Envoy's 4 KiB are too little for the error pages that people write.
        max_direct_response_body_size_bytes: Some(UInt32Value { value: 1 << 20 }),
        ignore_port_in_host_matching: true,
        vhds: (!context.is_envoy()).then(|| route::Vhds { config_source: Some(ads()) }),
        ..Default::default()
    };
    let mut body = frame.encode_to_vec();
    if context.is_envoy() {
        for virtual_host in virtual_hosts {
            wire::append(&mut body, VIRTUAL_HOSTS, &virtual_host.body);
        }
    }
    Resource::new(name, body)
}

/// The virtual host of hosts that nothing declares: passed through, or refused with 502.
pub(crate) fn catch_all(context: &Context<'_>, route_name: &str) -> Arc<Resource> {
    let (name, action) = match context.scope.outbound_mode() {
        OutboundMode::AllowAny => (
            "allow_any",
            route::route::Action::Route(route::RouteAction {
                cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(
                    context.unknown_cluster(),
                )),
                timeout: no_timeout(),
                ..Default::default()
            }),
        ),
        OutboundMode::RegistryOnly => (
            "block_all",
            route::route::Action::DirectResponse(route::DirectResponseAction {
                status: 502,
                ..Default::default()
            }),
        ),
    };
    let frame = route::VirtualHost {
        name: name.to_owned(),
        domains: vec!["*".to_owned()],
        include_request_attempt_count: true,
        routes: vec![route::Route {
            name: name.to_owned(),
            r#match: Some(everything()),
            action: Some(action),
            ..Default::default()
        }],
        ..Default::default()
    };
    let resource = names::virtual_host_resource(route_name, name);
    Resource::new(&resource, encode_virtual_host(&frame, &[]))
}
