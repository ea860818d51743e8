//! What there is to say about the objects of the mesh, looked for once for all who tell it: `advice` in the log and the
//! list of problems, `status` on the objects themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Finding, Key, Mesh};
use parking_lot::Mutex;

/// Objects that something is to be said about.
pub(crate) type Found = BTreeMap<Key, Vec<Finding>>;

/// The last look at all objects.
#[derive(Debug, Default)]
pub(crate) struct Findings(Mutex<Option<Look>>);

#[derive(Debug)]
struct Look {
    mesh: Arc<Mesh>,
    at: Instant,
    found: Arc<Found>,
}

impl Findings {
    /// What is found in a mesh, or in a newer one that somebody else has asked about. Where only pods and endpoints came
    /// and went, the last look may be as old as `age`. The same look is the same `Arc`.
    ///
    /// Blocking, and not cheap for a large mesh; who asks meanwhile waits for the same look.
    pub(crate) fn of(&self, mesh: &Arc<Mesh>, age: Duration) -> Arc<Found> {
        let mut last = self.0.lock();
        if let Some(look) = last.as_ref().filter(|look| look.serves(mesh, age)) {
            return look.found.clone();
        }
        let found: Arc<Found> = Arc::new(model::all_findings(mesh).collect());
        *last = Some(Look { mesh: mesh.clone(), at: Instant::now(), found: found.clone() });
        found
    }
}

impl Look {
    fn serves(&self, mesh: &Arc<Mesh>, age: Duration) -> bool {
        self.mesh.version >= mesh.version
            || (self.at.elapsed() < age && !model::findings_differ(&self.mesh, mesh))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Object, Store};
    use serde_json::{Value, json};

    const LONG: Duration = Duration::from_hours(1);

    fn put(store: &mut Store, document: Value) -> Arc<Mesh> {
        store.apply(Object::from_json(document).unwrap().unwrap().into());
        store.mesh()
    }

    fn service(name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
               "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "name": "http"}]}})
    }

    #[test]
    fn one_look_serves_all_who_ask() {
        let (findings, mut store) = (Findings::default(), Store::new("cluster.local", "Kubernetes"));
        let route = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                           "metadata": {"name": "r", "namespace": "shop"},
                           "spec": {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}}]}]}});
        let broken = put(&mut store, route);
        let first = findings.of(&broken, LONG);
        assert_eq!(first.keys().map(ToString::to_string).collect::<Vec<_>>(), ["VirtualService shop/r"]);
        assert!(Arc::ptr_eq(&first, &findings.of(&broken, Duration::ZERO)), "it is the same mesh");

        let mended = put(&mut store, service("a"));
        let second = findings.of(&mended, LONG);
        assert!(!first[first.keys().next().unwrap()].is_empty() && *first != *second, "{second:?}");
        assert!(Arc::ptr_eq(&second, &findings.of(&broken, LONG)), "a newer look is as good");
    }

    #[test]
    fn pods_alone_are_looked_at_now_and_then() {
        let (findings, mut store) = (Findings::default(), Store::new("cluster.local", "Kubernetes"));
        let first = findings.of(&put(&mut store, service("a")), LONG);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"},
                         "spec": {"containers": []}, "status": {"podIP": "10.1.0.1", "phase": "Running"}});
        let mesh = put(&mut store, pod);
        assert!(Arc::ptr_eq(&first, &findings.of(&mesh, LONG)));
        assert!(!Arc::ptr_eq(&first, &findings.of(&mesh, Duration::ZERO)));
    }
}
