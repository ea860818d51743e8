//! Forwarding of opaque bytes.

use crds::networking::RouteDestination;
use envoy_types::pb::envoy::r#type::v3::HashPolicy;

use super::access_log;
use crate::context::Context;
use crate::policy::Policy;
use crate::proto::{Duration, any, listener, tcp_proxy, written};
use crate::route;
use tcp_proxy::tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight};

/// Where bytes go.
pub(crate) struct Forward {
    stat_prefix: String,
    target: ClusterSpecifier,
    hash_policy: Vec<HashPolicy>,
    idle_timeout: Option<Duration>,
    max_duration: Option<Duration>,
}

/// To one cluster, as it is.
pub(crate) fn single(cluster: &str) -> Forward {
    Forward {
        stat_prefix: cluster.to_owned(),
        target: ClusterSpecifier::Cluster(cluster.to_owned()),
        hash_policy: Vec::new(),
        idle_timeout: None,
        max_duration: None,
    }
}

impl Forward {
    /// To a service, as its rule says.
    pub(crate) fn to_service(context: &Context<'_>, service: &model::Service, port: u16) -> Self {
        let cluster = xds::names::ClusterName::outbound(port, "", &service.key.host).to_string();
        let mut forward = single(&cluster);
        forward.apply(context, &service.key.host, &service.key.namespace, "", port);
        forward
    }

    /// To the destinations of a rule, by weight; none if there is nowhere to go.
    pub(crate) fn to_destinations(
        context: &Context<'_>,
        destinations: &[RouteDestination],
        listen_port: u16,
    ) -> Option<Self> {
        if let [only] = destinations {
            let resolved = route::resolve(context, &only.destination, listen_port);
            let mut forward = single(&resolved.cluster);
            let subset = only.destination.subset.as_deref().unwrap_or_default();
            forward.apply(context, &only.destination.host, &resolved.namespace, subset, resolved.port);
            return Some(forward);
        }
        let weighted: Vec<ClusterWeight> = destinations
            .iter()
            .filter_map(|one| {
                let weight = one.weight.and_then(|weight| u32::try_from(weight).ok()).filter(|w| *w > 0)?;
                let name = route::resolve(context, &one.destination, listen_port).cluster;
                Some(ClusterWeight { name, weight, ..Default::default() })
            })
            .collect();
        let stat_prefix = weighted.first()?.name.clone();
        let target = ClusterSpecifier::WeightedClusters(WeightedCluster { clusters: weighted });
        Some(Self { target, ..single(&stat_prefix) })
    }

    fn apply(&mut self, context: &Context<'_>, host: &str, namespace: &str, subset: &str, port: u16) {
        self.hash_policy = route::tcp_hash(context, host, namespace, subset, port);
        let rule = context.rule_for(host, namespace).map(|rule| &**rule);
        let policy = Policy::of(&context.mesh.settings, rule, subset, port);
        let tcp = policy.pool.and_then(|pool| pool.tcp.as_ref());
        self.idle_timeout = tcp.and_then(|tcp| written(tcp.idle_timeout));
        self.max_duration = tcp.and_then(|tcp| written(tcp.max_connection_duration));
    }
}

/// The filter that forwards.
pub(crate) fn forward(context: &Context<'_>, forward: Forward) -> listener::Filter {
    let proxy = tcp_proxy::TcpProxy {
        stat_prefix: forward.stat_prefix,
        cluster_specifier: Some(forward.target),
        hash_policy: forward.hash_policy,
        idle_timeout: forward.idle_timeout,
        max_downstream_connection_duration: forward.max_duration,
        access_log: access_log::of_requests(context),
        ..Default::default()
    };
    listener::Filter {
        name: "envoy.filters.network.tcp_proxy".to_owned(),
        config_type: Some(listener::filter::ConfigType::TypedConfig(any(&proxy))),
    }
}
