//! TLS that sidecars pass on unopened, routed by the name that the client asks for.

use crds::networking::{TlsMatchAttributes, TlsRoute};
use model::config::VirtualService;

use crate::context::Context;
use crate::route::Binding;

/// A rule that applies here: for these names and networks, to these destinations.
pub(super) struct TlsRule<'a> {
    pub(super) names: &'a [String],
    pub(super) subnets: &'a [String],
    pub(super) route: &'a TlsRoute,
}

/// TLS rules of a VirtualService that apply to a port.
pub(super) fn tls_rules<'a>(
    context: &Context<'_>,
    service: &'a VirtualService,
    binding: &Binding<'_>,
) -> Vec<TlsRule<'a>> {
    let meant = |condition: &&'a TlsMatchAttributes| {
        let port = condition.port.filter(|port| *port != 0);
        port.is_none_or(|port| port == u32::from(binding.port))
            && binding.is_meant(
                context,
                &condition.gateways,
                &condition.source_labels,
                condition.source_namespace.as_deref(),
            )
    };
    let of_route = |route: &'a TlsRoute| {
        route.matches.iter().filter(meant).map(move |condition| TlsRule {
            names: &condition.sni_hosts,
            subnets: &condition.destination_subnets,
            route,
        })
    };
    service.spec.tls.iter().flat_map(of_route).collect()
}
