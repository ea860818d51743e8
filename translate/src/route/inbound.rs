//! The one route of a workload's port: to the app.

use model::Protocol;

use super::{everything, no_timeout, retry};
use crate::proto::{boolean, route};

/// The routes of an inbound port. They are part of its listener: nothing about them changes without it.
pub(crate) fn inbound(
    cluster: &str,
    protocol: Protocol,
    operation: &str,
    port: u16,
) -> route::RouteConfiguration {
    let action = route::RouteAction {
        cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(cluster.to_owned())),
        timeout: no_timeout(),
        max_stream_duration: Some(route::route_action::MaxStreamDuration {
            max_stream_duration: no_timeout(),
            grpc_timeout_header_max: no_timeout(),
            ..Default::default()
        }),
        // A reset looks like the end of a stream to gRPC.
        retry_policy: (!matches!(protocol, Protocol::Grpc | Protocol::GrpcWeb)).then(retry::inbound),
        ..Default::default()
    };
    let only = route::Route {
        name: "default".to_owned(),
        r#match: Some(everything()),
        action: Some(route::route::Action::Route(action)),
        decorator: Some(route::Decorator { operation: operation.to_owned(), ..Default::default() }),
        ..Default::default()
    };
    route::RouteConfiguration {
        name: cluster.to_owned(),
        virtual_hosts: vec![route::VirtualHost {
            name: format!("inbound|http|{port}"),
            domains: vec!["*".to_owned()],
            routes: vec![only],
            ..Default::default()
        }],
        validate_clusters: boolean(false),
        ..Default::default()
    }
}
