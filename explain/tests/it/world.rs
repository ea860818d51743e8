//! Services and proxies that all generated rules are about.

use std::sync::Arc;

use model::{Mesh, Object, Store};
use serde_json::Value;

/// A proxy whose routing is looked at.
pub(crate) struct Proxy {
    pub(crate) pod: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) gateway: bool,
}

/// The last one is the gateway.
pub(crate) const PROXIES: [Proxy; 4] = [
    Proxy { pod: "client", namespace: "shop", gateway: false },
    Proxy { pod: "old-client", namespace: "shop", gateway: false },
    Proxy { pod: "stranger", namespace: "other", gateway: false },
    Proxy { pod: "edge", namespace: "istio-system", gateway: true },
];

const WORLD: &str = include_str!("world.yaml");

/// Documents of a YAML text.
pub(crate) fn documents(yaml: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap();
    all.into_iter().filter(|document| !document.is_null()).collect()
}

/// The world's own objects.
pub(crate) fn world() -> Vec<Object> {
    documents(WORLD).into_iter().map(|document| Object::from_json(document).unwrap().unwrap()).collect()
}

/// The world with rules; none if a rule is no object.
pub(crate) fn mesh(world: &[Object], rules: &[Value]) -> Option<Arc<Mesh>> {
    let mut store = Store::new("cluster.local", "Kubernetes");
    for object in world {
        store.apply(object.clone().into());
    }
    for rule in rules {
        store.apply(Object::from_json(rule.clone()).ok()??.into());
    }
    Some(store.mesh())
}
