//! Meshes from YAML, and proxies in them.

use std::sync::Arc;

use model::{Changes, Mesh, Object, Store};
use serde_json::Value;
use translate::{Client, Delta, Memo, ProxyNode, ProxyView, Resources, generate, update};

use envoy_types::pb::envoy::config::core::v3::Node;

/// The small bookshop that most tests are about.
pub(crate) const BOOKINFO: &str = include_str!("cases/bookinfo.yaml");

/// Documents of a YAML text.
pub(crate) fn documents(yaml: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap();
    all.into_iter().filter(|document| !document.is_null()).collect()
}

/// A mesh, one proxy in it, and what the proxy has.
pub(crate) struct Rig {
    store: Store,
    memo: Memo,
    node: ProxyNode,
    last: ProxyView,
    pub(crate) resources: Resources,
}

impl Rig {
    /// A stock Envoy beside the pod `app` with address 10.1.0.100 in the namespace `shop`.
    pub(crate) fn sidecar(yaml: &[&str]) -> Self {
        Self::new("sidecar~10.1.0.100~app.shop~shop.svc.cluster.local", "", yaml)
    }

    /// A proxy of ours in the same place.
    pub(crate) fn trysail(yaml: &[&str]) -> Self {
        Self::new("sidecar~10.1.0.100~app.shop~shop.svc.cluster.local", "trysail", yaml)
    }

    /// A stock Envoy as the ingress gateway.
    pub(crate) fn gateway(yaml: &[&str]) -> Self {
        Self::new("router~10.1.0.200~edge.istio-system~istio-system.svc.cluster.local", "", yaml)
    }

    /// A sidecar in the same place for whose app the mesh resolves names.
    pub(crate) fn resolving(agent: &str, yaml: &[&str]) -> Self {
        let id = "sidecar~10.1.0.100~app.shop~shop.svc.cluster.local".to_owned();
        let node = Node { id, user_agent_name: agent.to_owned(), ..Default::default() };
        Self::of(ProxyNode { dns_capture: true, ..ProxyNode::from_envoy(&node).unwrap() }, yaml)
    }

    pub(crate) fn new(id: &str, agent: &str, yaml: &[&str]) -> Self {
        let node = Node { id: id.to_owned(), user_agent_name: agent.to_owned(), ..Default::default() };
        Self::of(ProxyNode::from_envoy(&node).unwrap(), yaml)
    }

    fn of(node: ProxyNode, yaml: &[&str]) -> Self {
        let mut store = Store::new("cluster.local", "Kubernetes");
        for document in yaml.iter().flat_map(|yaml| documents(yaml)) {
            store.apply(object(document).into());
        }
        let memo = Memo::default();
        let mesh = store.mesh();
        let last = ProxyView::of(&node, &mesh);
        let resources = generate(&mesh, &last, &memo);
        Self { store, memo, node, last, resources }
    }

    pub(crate) fn mesh(&self) -> Arc<Mesh> {
        self.store.mesh()
    }

    pub(crate) fn view(&self) -> ProxyView {
        ProxyView::of(&self.node, &self.store.mesh())
    }

    pub(crate) fn is_envoy(&self) -> bool {
        self.node.client == Client::Envoy
    }

    /// Applies objects, brings the resources up to date, and checks that they are what they would be from nothing.
    pub(crate) fn apply(&mut self, yaml: &str) -> Delta {
        let mut changes = Changes::default();
        for document in documents(yaml) {
            changes.merge(self.store.apply(object(document).into()));
        }
        self.settle(&changes)
    }

    /// Deletes an object.
    pub(crate) fn delete(&mut self, yaml: &str) -> Delta {
        let mut changes = Changes::default();
        for document in documents(yaml) {
            changes.merge(self.store.apply(model::Event::Deleted(object(document).key())));
        }
        self.settle(&changes)
    }

    fn settle(&mut self, changes: &Changes) -> Delta {
        let mesh = self.store.mesh();
        let view = self.view();
        let (after, delta) = if view == self.last {
            update(&mesh, &view, &self.memo, &self.resources, changes)
        } else {
            // Another view is another set of resources; the control plane does the same.
            assert!(changes.touch_view_of(&self.node.instance(), "istio-system"));
            let after = generate(&mesh, &view, &self.memo);
            let delta = Delta::between(&self.resources, &after);
            (after, delta)
        };
        self.last = view.clone();
        let anew = generate(&mesh, &view, &Memo::default());
        let difference = Delta::between(&after, &anew);
        assert!(difference.is_empty(), "an update must lead where generation does: {difference:?}");
        self.resources = after;
        delta
    }
}

fn object(document: Value) -> Object {
    let text = document.to_string();
    Object::from_json(document).unwrap().unwrap_or_else(|| panic!("not for the mesh: {text}"))
}
