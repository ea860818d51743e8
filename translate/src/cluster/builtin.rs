//! Clusters that every proxy has: for destinations that no service declares.

use std::sync::Arc;

use xds::names;

use super::{Upstream, as_downstream, inbound, of_type, pool, set_http_options};
use crate::context::Context;
use crate::policy::Policy;
use crate::proto::{cluster, duration};
use crate::resource::Resource;
use cluster::cluster::{DiscoveryType, LbPolicy};

/// Passthrough and black hole.
pub(crate) fn builtin(context: &Context<'_>) -> Vec<Arc<Resource>> {
    let mut all = vec![black_hole(context)];
    if !context.is_gateway() {
        all.push(passthrough(context, names::PASSTHROUGH_CLUSTER));
        all.push(passthrough(context, names::INBOUND_PASSTHROUGH_CLUSTER));
    }
    all
}

/// A cluster without endpoints: what is sent here is refused.
fn black_hole(context: &Context<'_>) -> Arc<Resource> {
    let cluster = cluster::Cluster {
        name: names::BLACK_HOLE_CLUSTER.to_owned(),
        alt_stat_name: format!("{};", names::BLACK_HOLE_CLUSTER),
        cluster_discovery_type: of_type(DiscoveryType::Static),
        connect_timeout: duration(context.mesh.settings.config.connect_timeout()),
        lb_policy: LbPolicy::RoundRobin.into(),
        ..Default::default()
    };
    Resource::of(names::BLACK_HOLE_CLUSTER, &cluster)
}

/// To wherever the connection was going, in whatever it speaks.
fn passthrough(context: &Context<'_>, name: &str) -> Arc<Resource> {
    let mut cluster = cluster::Cluster {
        name: name.to_owned(),
        alt_stat_name: format!("{name};"),
        cluster_discovery_type: of_type(DiscoveryType::OriginalDst),
        lb_policy: LbPolicy::ClusterProvided.into(),
        ..Default::default()
    };
    if name == names::INBOUND_PASSTHROUGH_CLUSTER {
        inbound::original_destination(&mut cluster, context.view.ipv6);
    }
    let mut options = Upstream::default();
    as_downstream(&mut options);
    pool::apply(&context.mesh.settings, &Policy::default(), &mut cluster, &mut options);
    set_http_options(&mut cluster, options);
    Resource::of(name, &cluster)
}
