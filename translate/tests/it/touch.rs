//! Which objects have a part in what a view has: never fewer than removing them one by one shows.

use model::{Key, Kind};
use translate::touches;

use crate::fixture::{BOOKINFO, Rig, documents};

const EDGE: &str = include_str!("cases/edge.yaml");

const RULES: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews, subset: v1}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: private, namespace: other}
spec:
  hosts: [reviews.shop.svc.cluster.local]
  exportTo: ['.']
  http: [{route: [{destination: {host: reviews.shop.svc.cluster.local}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root, namespace: shop}
spec:
  hosts: [ratings]
  http: [{match: [{uri: {prefix: /a}}], delegate: {name: part}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: part, namespace: shop}
spec:
  http: [{route: [{destination: {host: ratings}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orphan, namespace: shop}
spec:
  http: [{route: [{destination: {host: ratings}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: all, namespace: istio-system}
spec:
  host: '*.local'
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: nowhere, namespace: shop}
spec: {host: nowhere.example.com}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far, namespace: shop}
spec:
  hosts: [far.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: far}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: hidden, namespace: other}
spec:
  hosts: [hidden.example.com]
  exportTo: ['.']
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: machine, namespace: shop}
spec: {address: 10.9.9.9, labels: {app: far}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: idle, namespace: shop}
spec: {address: 10.9.9.8, labels: {app: nothing}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: others, namespace: other}
spec: {egress: [{hosts: ['./*']}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: ours, namespace: shop}
spec: {egress: [{hosts: ['*/*']}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: shop, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: plain, namespace: other}
spec: {mtls: {mode: DISABLE}}
";

fn key(document: &serde_json::Value) -> Option<Key> {
    let text = |pointer: &str| document.pointer(pointer).and_then(|value| value.as_str());
    let kind = Kind::named(text("/kind")?)?;
    let istio = text("/apiVersion")?.contains("istio.io");
    istio.then(|| {
        Key::new(kind, text("/metadata/namespace").unwrap_or_default(), text("/metadata/name").unwrap())
    })
}

#[test]
fn whatever_changes_by_removing_an_object_is_touched_by_it() {
    let rigs: [fn(&[&str]) -> Rig; 3] = [Rig::sidecar, Rig::trysail, Rig::gateway];
    let (mut touched, mut changed) = (0, 0);
    for rig in rigs {
        let mut rig = rig(&[BOOKINFO, EDGE, RULES]);
        for document in documents(EDGE).into_iter().chain(documents(RULES)) {
            let Some(key) = key(&document) else { continue };
            let yaml = document.to_string();
            let touches = touches(&rig.mesh(), &rig.view(), &key);
            let differs = !rig.delete(&yaml).is_empty();
            rig.apply(&yaml);
            assert!(touches || !differs, "{key} changes {:?}", rig.view());
            touched += usize::from(touches);
            changed += usize::from(differs);
        }
    }
    assert!(changed > 15, "{changed}");
    // What is said to be touched and is the same without the object is the exception.
    assert!(touched < changed * 2, "{touched} touched, {changed} changed");
}

#[test]
fn whatever_a_proxy_does_not_see_does_not_touch_it() {
    let untouched = |rig: &Rig, kind, namespace, name| {
        let key = Key::new(kind, namespace, name);
        assert!(!touches(&rig.mesh(), &rig.view(), &key), "{key}");
    };
    let touched = |rig: &Rig, kind, namespace, name| {
        let key = Key::new(kind, namespace, name);
        assert!(touches(&rig.mesh(), &rig.view(), &key), "{key}");
    };
    let rig = Rig::trysail(&[BOOKINFO, EDGE, RULES]);
    untouched(&rig, Kind::VirtualService, "other", "private");
    untouched(&rig, Kind::VirtualService, "shop", "orphan");
    untouched(&rig, Kind::VirtualService, "shop", "books");
    untouched(&rig, Kind::VirtualService, "shop", "no-such-object");
    untouched(&rig, Kind::DestinationRule, "shop", "nowhere");
    untouched(&rig, Kind::ServiceEntry, "other", "hidden");
    untouched(&rig, Kind::WorkloadEntry, "shop", "idle");
    untouched(&rig, Kind::Gateway, "shop", "books");
    untouched(&rig, Kind::Sidecar, "other", "others");
    touched(&rig, Kind::VirtualService, "shop", "reviews");
    touched(&rig, Kind::VirtualService, "shop", "part");
    touched(&rig, Kind::DestinationRule, "shop", "reviews");
    touched(&rig, Kind::WorkloadEntry, "shop", "machine");
    let edge = Rig::gateway(&[BOOKINFO, EDGE, RULES]);
    untouched(&edge, Kind::Gateway, "shop", "elsewhere");
    untouched(&edge, Kind::VirtualService, "shop", "reviews");
    untouched(&edge, Kind::Sidecar, "shop", "ours");
    untouched(&edge, Kind::PeerAuthentication, "shop", "shop");
    touched(&edge, Kind::Gateway, "shop", "books");
    touched(&edge, Kind::VirtualService, "shop", "books");
}
