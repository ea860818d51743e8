//! The mesh's own TLS, passed on unopened to the service that its SNI names: what gateways between networks do.

use xds::names::ClusterName;

use super::Serving;
use super::listener::Chains;
use crate::cluster::Shape;
use crate::listener::{MUTUAL_ALPN, forward, match_all, single};
use crate::proto::listener;

impl Chains<'_> {
    /// A chain for each port and subset of every service in the mesh that the server's hosts cover.
    ///
    /// Chains ask for ALPN that only mutual TLS of the mesh offers, and endpoints without it are left out: whoever gets
    /// through has to show a certificate at the end.
    pub(super) fn add_services(&mut self, serving: &Serving<'_>) {
        let hosts = serving.gateway.hosts_of(serving.server);
        let context = self.context;
        let covered = |service: &model::Service| {
            !service.external
                && context.scope.sees(service, None)
                && context.scope.chooses(service)
                && hosts.iter().any(|served| {
                    *served.host == *"*" || model::host_matches(&served.host, &service.key.host)
                })
        };
        for service in context.mesh.services.values().filter(|service| covered(service)) {
            let rule = context.rule(service);
            let ports = service.ports.iter().filter(|port| port.protocol != model::Protocol::Udp);
            for port in ports {
                let subsets = rule.into_iter().flat_map(|rule| &rule.subsets);
                for subset in std::iter::once("").chain(subsets.map(|subset| subset.name.as_str())) {
                    let name = ClusterName::outbound(port.number, subset, &service.key.host);
                    self.add_by_sni(Shape::ThroughGateway.name(&name));
                }
            }
        }
    }

    fn add_by_sni(&mut self, cluster: String) {
        if !self.taken.insert(cluster.clone()) {
            return;
        }
        let chain = match_all("", vec![forward(&self.context, single(&cluster))]);
        self.all.push(listener::FilterChain {
            filter_chain_match: Some(listener::FilterChainMatch {
                server_names: vec![cluster],
                application_protocols: MUTUAL_ALPN.iter().map(ToString::to_string).collect(),
                ..Default::default()
            }),
            ..chain
        });
    }
}
