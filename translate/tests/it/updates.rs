//! Updates: only what changed is sent, and they lead where generation from nothing does (the fixture checks that).

use translate::{Delta, ResourceType};

use crate::fixture::{BOOKINFO, Rig};

fn names(delta: &Delta) -> Vec<String> {
    let changed = delta.changed.iter().map(|(kind, resource)| format!("+{kind} {}", resource.name));
    let removed = delta.removed.iter().map(|(kind, name)| format!("-{kind} {name}"));
    changed.chain(removed).collect()
}

const RULES: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews, subset: v1}}]}]
";

const POLICY: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}]
";

#[test]
fn one_endpoint_is_one_resource() {
    let mut rig = Rig::trysail(&[BOOKINFO]);
    let slice = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: IPv4
metadata: {name: reviews-1, namespace: shop, labels: {kubernetes.io/service-name: reviews}}
ports: [{name: http, port: 9080}]
endpoints:
- {addresses: [10.1.0.1], targetRef: {kind: Pod, name: reviews-v1}}
- {addresses: [10.1.0.3], targetRef: {kind: Pod, name: reviews-bare}}
";
    let delta = rig.apply(slice);
    assert_eq!(names(&delta), ["+eds outbound|9080||reviews.shop.svc.cluster.local"]);
    assert!(rig.apply(slice).is_empty());
}

#[test]
fn one_rule_is_one_virtual_host_for_us_and_one_configuration_for_envoy() {
    let host = "9080/reviews.shop.svc.cluster.local:9080";
    let bookinfo = BOOKINFO.replace("port: 80,", "port: 81,");
    let mut rig = Rig::trysail(&[&bookinfo]);
    assert_eq!(names(&rig.apply(RULES)), [format!("+vhds {host}")]);
    assert_eq!(names(&rig.delete(RULES)), [format!("+vhds {host}")]);
    let mut rig = Rig::sidecar(&[&bookinfo]);
    assert_eq!(names(&rig.apply(RULES)), ["+rds 9080".to_owned(), format!("+vhds {host}")]);
    assert!(rig.is_envoy());
}

#[test]
fn a_subset_is_a_cluster_with_endpoints() {
    let mut rig = Rig::trysail(&[BOOKINFO]);
    let subset = "outbound|9080|v1|reviews.shop.svc.cluster.local";
    let whole = "outbound|9080||reviews.shop.svc.cluster.local";
    // The cluster of the whole service says now which rule it follows.
    assert_eq!(
        names(&rig.apply(POLICY)),
        [format!("+cds {subset}"), format!("+cds {whole}"), format!("+eds {subset}")]
    );
    assert_eq!(
        names(&rig.delete(POLICY)),
        [format!("+cds {whole}"), format!("-cds {subset}"), format!("-eds {subset}")]
    );
}

#[test]
fn a_service_comes_with_all_of_its_parts_and_goes_with_them() {
    let service = "
apiVersion: v1
kind: Service
metadata: {name: new, namespace: shop}
spec:
  clusterIP: 10.0.0.9
  ports: [{port: 9080, name: http}, {port: 5000, name: tcp-x}, {port: 5001}]
";
    let mut rig = Rig::trysail(&[BOOKINFO]);
    let come = names(&rig.apply(service));
    assert!(come.contains(&"+vhds 9080/new.shop.svc.cluster.local:9080".to_owned()), "{come:?}");
    assert!(come.contains(&"+lds 10.0.0.9_5000".to_owned()), "{come:?}");
    assert!(come.contains(&"+rds new.shop.svc.cluster.local:5001".to_owned()), "{come:?}");
    assert!(!come.iter().any(|name| name.contains("reviews") || name.contains("0.0.0.0_9080")), "{come:?}");
    let gone = names(&rig.delete(service));
    assert_eq!(gone.len(), come.len(), "{gone:?}");
    assert!(gone.iter().all(|name| name.starts_with('-')), "{gone:?}");
}

#[test]
fn the_first_http_service_of_a_port_brings_its_routes() {
    let service = |port: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: shop}}, \
             spec: {{clusterIP: 10.0.0.9, ports: [{port}]}}}}"
        )
    };
    let mut rig = Rig::sidecar(&[BOOKINFO]);
    let delta = names(&rig.apply(&service("{port: 7000, name: http}")));
    // The service whose protocol is detected is reachable by name on the shared listener as well now.
    assert!(delta.contains(&"+vhds 7000/mystery.shop.svc.cluster.local:7000".to_owned()), "{delta:?}");
    assert!(delta.contains(&"+lds 0.0.0.0_7000".to_owned()), "{delta:?}");
    let delta = names(&rig.apply(&service("{port: 7001, name: http}")));
    assert!(delta.contains(&"-rds 7000".to_owned()), "{delta:?}");
    assert!(delta.contains(&"-vhds 7000/allow_any".to_owned()), "{delta:?}");
}

#[test]
fn a_policy_changes_the_inbound_listener_alone() {
    let policy = "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all, namespace: shop}
spec: {mtls: {mode: STRICT}}
";
    let mut rig = Rig::trysail(&[BOOKINFO]);
    assert_eq!(names(&rig.apply(policy)), ["+lds virtualInbound"]);
    let delta = names(&rig.apply(&policy.replace("STRICT", "DISABLE")));
    assert!(delta.contains(&"+eds outbound|9080||reviews.shop.svc.cluster.local".to_owned()), "{delta:?}");
}

#[test]
fn everything_in_any_order_leads_to_the_same() {
    let service = "
apiVersion: v1
kind: Service
metadata: {name: reviews.shop, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{port: 9080, name: http}, {port: 80, name: http-b}]}
";
    let entry = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: same, namespace: other}
spec:
  hosts: [reviews.shop.svc.cluster.local, ratings.shop, outside.example.com]
  addresses: [10.0.0.2]
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}, {number: 3306, name: tcp, protocol: TCP}]
  endpoints: [{address: 192.0.2.9}]
";
    let wild = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: wild, namespace: shop}
spec:
  hosts: ['*.shop.svc.cluster.local', reviews.shop, far.example.com]
  http: [{match: [{sourceLabels: {app: ratings}}], route: [{destination: {host: ratings}}]}]
  tcp: [{route: [{destination: {host: db}}]}]
";
    let beside = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: beside, namespace: shop}
spec:
  hosts: [outside.example.com, ratings.shop, near.example.com, db]
  http: [{route: [{destination: {host: reviews}}]}]
";
    let sidecar = "
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow, namespace: shop}
spec: {egress: [{hosts: ['./*', 'other/far.other.svc.cluster.local']}]}
";
    let gateway = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec: {selector: {app: ratings}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}
";
    let all = [RULES, POLICY, service, entry, wild, beside, sidecar, gateway];
    let rigs: [fn(&[&str]) -> Rig; 3] = [Rig::trysail, Rig::sidecar, Rig::gateway];
    for rig in rigs {
        for turn in 0..all.len() {
            let mut rig = rig(&[BOOKINFO]);
            let before = rig.resources.clone();
            let order: Vec<_> = all.iter().cycle().skip(turn).take(all.len()).collect();
            for yaml in &order {
                rig.apply(yaml);
            }
            for yaml in &order {
                rig.delete(yaml);
            }
            let left = Delta::between(&before, &rig.resources);
            assert!(left.is_empty(), "what comes and goes leaves nothing: {:?}", names(&left));
        }
    }
}

#[test]
fn a_host_is_routed_on_the_ports_of_the_services_beside_it() {
    let service = |port: u16| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: new, namespace: shop}}, \
             spec: {{clusterIP: 10.0.0.9, ports: [{{port: {port}, name: http}}]}}}}"
        )
    };
    let rules = |hosts: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: near, namespace: shop}}, \
             spec: {{hosts: [{hosts}], http: [{{directResponse: {{status: 418}}}}]}}}}"
        )
    };
    let near = |port: u16| format!("vhds {port}/near.example.com:{port}");
    let of_near = |delta: &Delta| {
        names(delta)
            .into_iter()
            .filter(|name| name.contains("vhds") && name.contains("near"))
            .collect::<Vec<_>>()
    };
    let (both, alone) = (rules("new, near.example.com"), rules("near.example.com"));
    let mut rig = Rig::trysail(&[BOOKINFO]);
    assert_eq!(of_near(&rig.apply(&both)), [format!("+{}", near(80))]);
    assert_eq!(of_near(&rig.apply(&service(9080))), [format!("+{}", near(9080))]);
    let moved = of_near(&rig.apply(&service(9081)));
    assert_eq!(moved, [format!("+{}", near(9081)), format!("-{}", near(9080))]);
    assert_eq!(of_near(&rig.apply(&alone)), [format!("-{}", near(9081))]);
    assert_eq!(of_near(&rig.apply(&both)), [format!("+{}", near(9081))]);
    assert_eq!(of_near(&rig.delete(&service(9081))), [format!("-{}", near(9081))]);
    // Whoever writes a wildcard means the services that nobody else speaks for.
    assert_eq!(of_near(&rig.apply(&rules("'*.shop.svc.cluster.local', near.example.com"))).len(), 1);
    assert!(of_near(&rig.apply(&service(9081))).contains(&format!("+{}", near(9081))));
    let own = both.replace("{name: near,", "{name: own,").replace(", near.example.com", "");
    assert_eq!(of_near(&rig.apply(&own)), [format!("-{}", near(9081))]);
    assert_eq!(of_near(&rig.delete(&own)), [format!("+{}", near(9081))]);
}

#[test]
fn views_share_what_they_can() {
    let rig = Rig::trysail(&[BOOKINFO]);
    let memo = translate::Memo::default();
    let mesh = rig.mesh();
    let mut view = rig.view();
    let first = translate::generate(&mesh, &view, &memo);
    view.namespace = model::intern("other");
    let second = translate::generate(&mesh, &view, &memo);
    for kind in [ResourceType::Cluster, ResourceType::Endpoints] {
        for resource in first.iter(kind).filter(|resource| resource.name.starts_with("outbound")) {
            let other = second.get(kind, &resource.name).unwrap();
            assert!(std::sync::Arc::ptr_eq(resource, other), "{}", resource.name);
        }
    }
}
