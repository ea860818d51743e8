//! Virtual hosts of a sidecar's outbound traffic.

use std::sync::Arc;

use model::config::VirtualService;
use model::{Service, Text};
use xds::ResourceType;
use xds::names::{self, ClusterName};

use super::{Binding, Encoded, default_route, domains, encode_virtual_host, hash, other, rule, rules};
use crate::context::Context;
use crate::proto::route;
use crate::resource::Resource;

/// Whom a virtual host is for.
#[derive(Clone, Copy)]
pub(crate) enum Host<'a> {
    /// A service.
    Service(&'a Arc<Service>),
    /// A host that no service declares on this port, but a VirtualService speaks for.
    Other(&'a Text),
}

impl Host<'_> {
    fn name(&self) -> &Text {
        match self {
            Self::Service(service) => &service.key.host,
            Self::Other(host) => host,
        }
    }
}

/// The gateways of a sidecar, in lists of them.
pub(super) fn mesh() -> [String; 1] {
    ["mesh".to_owned()]
}

/// The virtual host of a host on a port, within a route configuration. None if nothing speaks for it.
///
/// In the routes of one service whose protocol is detected, the only virtual host takes every name.
pub(crate) fn virtual_host(
    context: &Context<'_>,
    route_name: &str,
    host: Host<'_>,
    port: u16,
) -> Option<Arc<Resource>> {
    let candidates: Vec<&Arc<VirtualService>> = match host {
        Host::Service(service) => {
            context.mesh.virtual_services_for(&service.key.host, context.scope).collect()
        }
        Host::Other(host) => other::listing(context, host, port).collect(),
    };
    if candidates.is_empty() && matches!(host, Host::Other(_)) {
        return None;
    }
    let detected = route_name.contains(':');
    let mut inputs = context.inputs();
    inputs.text(host.name()).word(port.into()).word(detected.into());
    inputs.text(&context.view.namespace).text(&context.view.dns_domain);
    for service in &candidates {
        rule::depends(context, service, &mut inputs);
    }
    let domains = match host {
        Host::Service(_) if detected => vec!["*".to_owned()],
        Host::Service(service) => domains::domains(context, service, port),
        Host::Other(host) => vec![host.to_string()],
    };
    // Which names are free depends on other services, so the names themselves are part of the key.
    for domain in &domains {
        inputs.text(&model::intern(domain));
    }
    if let Host::Service(service) = host {
        inputs.object(service).optional(context.rule(service));
    }
    let routes = || {
        let binding = Binding { port, tls: false, gateways: &mesh() };
        let first = candidates.iter().map(|service| rules(context, service, &binding));
        first.into_iter().find(|routes| !routes.is_empty())
    };
    if let Host::Other(_) = host
        && routes().is_none()
    {
        return None;
    }
    Some(context.memo.resource(ResourceType::VirtualHost, inputs, || {
        let name = names::virtual_host(host.name(), port);
        let resource_name = names::virtual_host_resource(route_name, &name);
        let routes = routes().unwrap_or_else(|| match host {
            Host::Service(service) => vec![default(context, service, port)],
            Host::Other(_) => Vec::new(),
        });
        let frame =
            route::VirtualHost { name, domains, include_request_attempt_count: true, ..Default::default() };
        Resource::new(&resource_name, encode_virtual_host(&frame, &routes))
    }))
}

fn default(context: &Context<'_>, service: &Service, port: u16) -> Encoded {
    let key = &service.key;
    let cluster = ClusterName::outbound(port, "", &key.host).to_string();
    let hash = hash::http(context, &key.host, &key.namespace, "", port);
    default_route(
        &context.mesh.settings,
        cluster,
        format!("{}:{port}/*", key.host),
        hash.into_iter().collect(),
    )
}
