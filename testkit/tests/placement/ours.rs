//! Our proxy's choice, by its own compiler, hash and balancer.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use envoy_types::pb::envoy::config::{cluster::v3 as cluster, route::v3 as route};
use prost::Message;
use proxy::config;
use proxy::identity::Secrets;
use proxy::request::head::Head;
use proxy::snapshot::cluster::{Cluster, Registry};
use proxy::snapshot::route::{Action, HashPolicy};
use proxy::stage::hash;
use proxy::upstream::{Pick, Upstreams};
use serde_json::Value;

use crate::by::Request;
use crate::cases::Case;
use crate::envoy::virtual_host;

/// Our proxy in front of the cluster of one case.
pub(crate) struct Ours {
    upstreams: Rc<Upstreams>,
    cluster: Cluster,
    policies: Vec<HashPolicy>,
    _registry: Arc<Registry>,
}

impl Ours {
    pub(crate) fn new(case: &Case) -> Self {
        let registry = Registry::new();
        let cluster: cluster::Cluster = decoded("envoy.config.cluster.v3.Cluster", &case.cluster);
        let cluster = config::cluster(&cluster, &registry).unwrap().cluster;
        let host: route::VirtualHost = decoded("envoy.config.route.v3.VirtualHost", &virtual_host(case));
        let host = config::virtual_host(&host).unwrap();
        let Action::Forward(forward) = &host.routes()[0].action else { panic!("it forwards") };
        let policies = forward.hash.to_vec();
        Self { upstreams: Upstreams::new(Secrets::new(), None), cluster, policies, _registry: registry }
    }

    /// The address of the endpoint for a request.
    pub(crate) fn pick(&self, request: &Request) -> String {
        let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let mut built = http::Request::get(format!("http://a/{query}"));
        for (name, value) in &request.headers {
            built = built.header(*name, value);
        }
        let head = Head::of(built.body(()).unwrap().into_parts().0, false).unwrap();
        let client = SocketAddr::from((request.from.unwrap_or(Ipv4Addr::LOCALHOST), 1));
        let hash = hash::of(&self.policies, &head, client, client).hash;
        assert!(hash.is_some(), "{request:?} has no hash");
        let picked = self.upstreams.pick(&self.cluster, &Pick { hash, ..Pick::default() });
        picked.unwrap().place().to_string()
    }
}

fn decoded<M: Message + Default>(kind: &str, value: &Value) -> M {
    M::decode(&*xds::json::from_json(kind, value).unwrap()).unwrap()
}
