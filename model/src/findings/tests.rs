//! Objects in, what is said about one of them out.

use serde_json::{Value, json};

use super::{Finding, FindingKind, Severity, all_findings, findings};
use crate::Object;
use crate::store::Store;
use crate::value::{Key, Kind};

fn mesh(documents: &[Value]) -> Store {
    let mut store = Store::new("cluster.local", "Kubernetes");
    for document in documents {
        store.apply(Object::from_json(document.clone()).unwrap().unwrap().into());
    }
    store
}

fn service(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
           "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "name": "http"}]}})
}

fn networking(kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": kind,
           "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

fn route_to(host: &str) -> Value {
    json!({"hosts": ["ratings"], "http": [{"route": [{"destination": {"host": host}}]}]})
}

#[test]
fn destinations_that_no_service_has_are_told_with_what_was_meant() {
    for (host, kind, message) in [
        ("revews", FindingKind::UnresolvedReference, "did you mean reviews.shop.svc.cluster.local?"),
        ("reviews.shop", FindingKind::UnresolvedReference, "did you mean reviews.shop.svc.cluster.local?"),
        ("stock", FindingKind::Misplaced, "did you mean stock.store.svc.cluster.local?"),
        (
            "reviews.shpo.svc.cluster.local",
            FindingKind::Misplaced,
            "did you mean reviews.shop.svc.cluster.local?",
        ),
        ("nothing-like-it", FindingKind::UnresolvedReference, "create the Service"),
        ("example.com", FindingKind::UnresolvedReference, "add a ServiceEntry"),
    ] {
        let route = networking("VirtualService", "shop", "r", route_to(host));
        let store =
            mesh(&[service("shop", "reviews"), service("shop", "ratings"), service("store", "stock"), route]);
        let found = findings(&store.mesh(), &Key::new(Kind::VirtualService, "shop", "r"));
        let [Finding { kind: is, severity, field, message: said }] = &found[..] else {
            panic!("{host}: {found:?}")
        };
        assert_eq!((*is, *severity), (kind, Severity::Error), "{host}");
        assert_eq!(field, "spec.http[0].route[0].destination.host");
        assert!(said.contains(message), "{host}: {said}");
        assert_eq!(all_findings(&store.mesh()).count(), 1);
    }
}
