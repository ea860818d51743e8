//! Clusters of the workload itself: one per port, to wherever the connection was going.

use std::net::IpAddr;
use std::sync::Arc;

use crds::mesh_config::InboundMode;
use crds::networking::{ConnectionPoolSettings, IstioIngressListener};
use model::Protocol;
use prost::Message;
use serde_json::json;
use xds::names::ClusterName;

use super::{Upstream, as_downstream, http2, of_type, pool, set_http_options};
use crate::context::Context;
use crate::listener::InboundPort;
use crate::policy::Policy;
use crate::proto::{address, cluster, core, duration, endpoint, uint32};
use crate::resource::Resource;
use crate::wire;
use cluster::cluster::{DiscoveryType, LbPolicy};

/// Connections to the app come from this address, so that redirection can tell them from the app's own.
pub(super) const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 6));
/// Likewise for IPv6.
const SOURCE_V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));

/// Where a port's connections go.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// To the address that the client wanted, perhaps on another port.
    Original(Option<u16>),
    /// To this address.
    Address(IpAddr, u16),
    /// To this socket.
    Socket(String),
}

/// The cluster of one of the workload's ports.
pub(crate) fn inbound(context: &Context<'_>, port: &InboundPort) -> Arc<Resource> {
    let name = ClusterName::inbound(port.number).to_string();
    let settings = &context.mesh.settings;
    let mut cluster =
        cluster::Cluster { name: name.clone(), alt_stat_name: format!("{name};"), ..Default::default() };
    let localhost = settings
        .config
        .inbound_traffic_policy
        .as_ref()
        .and_then(|policy| policy.mode)
        .is_some_and(|mode| mode == InboundMode::Localhost);
    match target(port, context.view.ipv6, localhost) {
        Target::Original(other_port) => {
            original_destination(&mut cluster, context.view.ipv6);
            cluster.lb_config = other_port.map(|port| {
                cluster::cluster::LbConfig::OriginalDstLbConfig(cluster::cluster::OriginalDstLbConfig {
                    upstream_port_override: uint32(port.into()),
                    ..Default::default()
                })
            });
        }
        Target::Address(ip, port) => fixed(&mut cluster, address(ip, port)),
        Target::Socket(path) => fixed(&mut cluster, crate::proto::pipe(&path)),
    }
    let mut options = Upstream::default();
    if port.protocol.is_http2() {
        http2(&mut options);
    } else if port.protocol == Protocol::Auto {
        as_downstream(&mut options);
    }
    let policy = Policy { pool: pool_of(context, port.ingress.as_ref()), ..Policy::default() };
    pool::apply(settings, &policy, &mut cluster, &mut options);
    set_http_options(&mut cluster, options);
    let services: Vec<_> = port
        .services
        .iter()
        .map(|target| {
            json!({"host": &*target.host, "name": &*target.service, "namespace": &*target.namespace})
        })
        .collect();
    let mut body = cluster.encode_to_vec();
    wire::append(&mut body, 25, &wire::metadata(&[("istio", json!({"services": services}))]));
    Resource::new(&name, body)
}

/// Limits of inbound connections: the listener's own, else the Sidecar's.
fn pool_of<'a>(
    context: &Context<'a>,
    ingress: Option<&'a IstioIngressListener>,
) -> Option<&'a ConnectionPoolSettings> {
    let own = ingress.and_then(|ingress| ingress.connection_pool.as_ref());
    own.or_else(|| context.scope.sidecar()?.inbound_pool.as_ref())
}

fn target(port: &InboundPort, ipv6: bool, localhost: bool) -> Target {
    let loopback =
        if ipv6 { IpAddr::from(std::net::Ipv6Addr::LOCALHOST) } else { std::net::Ipv4Addr::LOCALHOST.into() };
    let default = if localhost { Target::Address(loopback, port.number) } else { Target::Original(None) };
    let Some(written) = port.ingress.as_ref().and_then(|ingress| ingress.default_endpoint.as_deref()) else {
        return default;
    };
    if let Some(path) = written.strip_prefix("unix://") {
        return Target::Socket(path.to_owned());
    }
    match written.parse::<std::net::SocketAddr>() {
        // `0.0.0.0` stands for the pod's own address, which is where the connection was going.
        Ok(socket) if socket.ip().is_unspecified() => {
            Target::Original(Some(socket.port()).filter(|other| *other != port.number))
        }
        Ok(socket) => Target::Address(socket.ip(), socket.port()),
        Err(_) => default,
    }
}

/// To wherever the connection was going, from an address that is not redirected again.
pub(super) fn original_destination(cluster: &mut cluster::Cluster, ipv6: bool) {
    cluster.cluster_discovery_type = of_type(DiscoveryType::OriginalDst);
    cluster.lb_policy = LbPolicy::ClusterProvided.into();
    cluster.cleanup_interval = duration(std::time::Duration::from_mins(1));
    let source = if ipv6 { SOURCE_V6 } else { SOURCE };
    cluster.upstream_bind_config = Some(core::BindConfig {
        source_address: Some(core::SocketAddress {
            address: source.to_string(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(0)),
            ..Default::default()
        }),
        ..Default::default()
    });
}

fn fixed(cluster: &mut cluster::Cluster, address: core::Address) {
    cluster.cluster_discovery_type = of_type(DiscoveryType::Static);
    let host = endpoint::Endpoint { address: Some(address), ..Default::default() };
    let one = endpoint::LbEndpoint {
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(host)),
        ..Default::default()
    };
    cluster.load_assignment = Some(endpoint::ClusterLoadAssignment {
        cluster_name: cluster.name.clone(),
        endpoints: vec![endpoint::LocalityLbEndpoints { lb_endpoints: vec![one], ..Default::default() }],
        ..Default::default()
    });
}
