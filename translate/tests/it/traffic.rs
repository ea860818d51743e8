//! VirtualServices, DestinationRules, ServiceEntries and Sidecars.

use insta::assert_snapshot;
use translate::ResourceType;

use crate::fixture::{BOOKINFO, Rig};
use crate::render::render;

fn virtual_service(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: rules, namespace: shop}}\nspec:\n{spec}"
    )
}

fn destination_rule(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: policy, namespace: shop}}\nspec:\n{spec}"
    )
}

fn reviews(yaml: &[&str]) -> String {
    let all: Vec<&str> = std::iter::once(BOOKINFO).chain(yaml.iter().copied()).collect();
    render(&Rig::sidecar(&all).resources, ResourceType::VirtualHost, "9080/reviews")
}

#[test]
fn every_condition_is_kept_in_order() {
    assert_snapshot!(reviews(&[&virtual_service(
        "
  hosts: [reviews]
  http:
  - name: jason
    match:
    - headers: {end-user: {exact: jason}, cookie: {regex: '^(.*?;)?(user=jason)(;.*)?$'}, x-any: {}}
      withoutHeaders: {x-bot: {prefix: good}}
      uri: {prefix: /a}
      method: {exact: GET}
      authority: {prefix: rev}
      scheme: {exact: http}
      queryParams: {q: {exact: ''}, any: {}}
    - uri: {exact: /b}
      ignoreUriCase: true
      name: second
    - {uri: {regex: '/c.*'}, port: 9080}
    - {uri: {prefix: /never}, port: 80}
    - {uri: {prefix: /other}, sourceLabels: {app: other}}
    - {uri: {prefix: /mine}, sourceLabels: {app: ratings}, sourceNamespace: shop}
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v1}}]
  - route: [{destination: {host: unreachable}}]
"
    )]));
}

#[test]
fn weights_share_and_zero_gets_nothing() {
    assert_snapshot!(reviews(&[&virtual_service(
        "
  hosts: [reviews]
  http:
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 90, headers: {request: {set: {x-version: v1}}}}
    - {destination: {host: reviews, subset: v2}, weight: 10}
    - {destination: {host: reviews, subset: v3}, weight: 0}
"
    )]));
}

#[test]
fn every_action_is_carried_out() {
    assert_snapshot!(reviews(&[&virtual_service(
        "
  hosts: [reviews]
  http:
  - match: [{uri: {prefix: /redirect}}]
    redirect: {uri: /new, authority: other.example.com, redirectCode: 302, derivePort: FROM_REQUEST_PORT}
  - match: [{uri: {prefix: /direct}}]
    directResponse: {status: 418, body: {string: short and stout}}
  - match: [{uri: {prefix: /rewrite}}]
    rewrite: {uri: /, authority: ratings.example.com}
    route: [{destination: {host: ratings, port: {number: 9080}}}]
  - match: [{uri: {prefix: /regex}}]
    rewrite: {uriRegexRewrite: {match: '^/regex/(.*)$', rewrite: '/\\1'}}
    route: [{destination: {host: ratings}}]
  - match: [{uri: {prefix: /slow}}]
    timeout: 1.5s
    retries: {attempts: 3, perTryTimeout: 500ms, retryOn: 'reset,503'}
    route: [{destination: {host: far.other.svc.cluster.local, port: {number: 7070}}}]
  - match: [{uri: {prefix: /once}}]
    retries: {attempts: 0}
    route: [{destination: {host: ratings}}]
  - match: [{uri: {prefix: /fault}}]
    fault: {delay: {percentage: {value: 50}, fixedDelay: 2s}, abort: {percentage: {value: 0.5}, httpStatus: 500}}
    corsPolicy: {allowOrigins: [{exact: 'https://example.com'}], maxAge: 24h}
    route: [{destination: {host: ratings}}]
  - match: [{uri: {prefix: /mirror}}]
    mirror: {host: reviews, subset: v2}
    mirrors: [{destination: {host: reviews, subset: v3}, percentage: {value: 0}}]
    route: [{destination: {host: ratings}}]
  - headers:
      request: {set: {x-a: '1', host: set.example.com}, add: {x-b: '2'}, remove: [x-c]}
      response: {set: {x-d: '%DOWNSTREAM_REMOTE_ADDRESS%'}}
    route: [{destination: {host: ratings}}]
"
    )]));
}

#[test]
fn subsets_override_block_by_block_and_ports_replace() {
    let rule = destination_rule(
        "
  host: reviews
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    connectionPool: {tcp: {maxConnections: 100}}
    outlierDetection: {consecutive5xxErrors: 5}
  subsets:
  - {name: v1, labels: {version: v1}}
  - name: v2
    labels: {version: v2}
    trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}
  - name: v3
    labels: {version: v3}
    trafficPolicy:
      portLevelSettings: [{port: {number: 9080}, tls: {mode: DISABLE}}]
",
    );
    let rig = Rig::sidecar(&[BOOKINFO, &rule]);
    assert_snapshot!(format!(
        "{}\n\n{}",
        render(&rig.resources, ResourceType::Cluster, "reviews"),
        render(&rig.resources, ResourceType::Endpoints, "reviews")
    ));
}

#[test]
fn hashing_is_told_to_cluster_and_route() {
    let rule = destination_rule(
        "
  host: reviews
  trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: user, ttl: 0s}}}}
",
    );
    let rig = Rig::sidecar(&[BOOKINFO, &rule]);
    assert_snapshot!(format!(
        "{}\n{}",
        render(&rig.resources, ResourceType::Cluster, "reviews"),
        render(&rig.resources, ResourceType::VirtualHost, "9080/reviews")
    ));
}

#[test]
fn a_rule_decides_on_tls() {
    for (name, mode) in [
        ("disabled", "{mode: DISABLE}"),
        ("istio", "{mode: ISTIO_MUTUAL, sni: other.example.com}"),
        ("simple", "{mode: SIMPLE, caCertificates: /etc/ca.pem, subjectAltNames: [db.example.com]}"),
        ("mutual", "{mode: MUTUAL, clientCertificate: /c.pem, privateKey: /k.pem, sni: db.example.com}"),
    ] {
        let rule = destination_rule(&format!("  host: reviews\n  trafficPolicy: {{tls: {mode}}}"));
        let rig = Rig::sidecar(&[BOOKINFO, &rule]);
        assert_snapshot!(name, render(&rig.resources, ResourceType::Cluster, "reviews"));
    }
}

#[test]
fn the_nearest_endpoints_come_first_where_failures_are_noticed() {
    let node = |name: &str, zone: &str| {
        format!(
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{topology.kubernetes.io/region: eu, \
             topology.kubernetes.io/zone: {zone}}}}}\n"
        )
    };
    let on_node = BOOKINFO
        .replace(
            "spec: {serviceAccountName: bookinfo-reviews,",
            "spec: {nodeName: n1, serviceAccountName: bookinfo-reviews,",
        )
        .replace("spec: {serviceAccountName: default,", "spec: {nodeName: n2, serviceAccountName: default,")
        .replace(
            "  serviceAccountName: bookinfo-ratings",
            "  nodeName: n2\n  serviceAccountName: bookinfo-ratings",
        );
    let nodes = format!("{}{}", node("n1", "eu-1"), node("n2", "eu-2"));
    let failing = destination_rule("  host: reviews\n  trafficPolicy: {outlierDetection: {}}");
    let shared = destination_rule(
        "
  host: reviews
  trafficPolicy:
    loadBalancer:
      localityLbSetting:
        distribute: [{from: eu/eu-2/*, to: {'eu/eu-1/*': 80, 'eu/eu-2/*': 20}}]
",
    );
    for (name, rule) in [("failover", failing), ("distribute", shared)] {
        let rig = Rig::sidecar(&[&on_node, &nodes, &rule]);
        assert_snapshot!(name, render(&rig.resources, ResourceType::Endpoints, "reviews"));
    }
}

#[test]
fn tcp_and_tls_rules_become_filter_chains() {
    let rules = virtual_service(
        "
  hosts: [db, '*.example.com']
  tcp:
  - match: [{destinationSubnets: [10.9.0.0/16]}]
    route: [{destination: {host: db, port: {number: 3306}}}]
  - route:
    - {destination: {host: db, subset: v1}, weight: 3}
    - {destination: {host: db, subset: v2}, weight: 1}
  tls:
  - match: [{sniHosts: [a.example.com, b.example.com], port: 443}]
    route: [{destination: {host: a.example.com}}]
",
    );
    let entry = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: shop}
spec:
  hosts: [a.example.com, b.example.com, c.example.org]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS}]
";
    let rig = Rig::sidecar(&[BOOKINFO, &rules, entry]);
    assert_snapshot!(format!(
        "{}\n{}",
        render(&rig.resources, ResourceType::Listener, "_3306"),
        render(&rig.resources, ResourceType::Listener, "_443")
    ));
}

#[test]
fn service_entries_of_every_resolution() {
    let entry = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n"
        )
    };
    let entries = [
        entry("dns", "{hosts: [dns.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}"),
        entry("none", "{hosts: ['*.none.example.com'], resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]}"),
        entry(
            "static",
            "{hosts: [static.example.com], addresses: [240.0.0.1], resolution: STATIC, \
             ports: [{number: 5432, name: pg, protocol: TCP}], endpoints: [{address: 192.0.2.1, ports: {pg: 15432}}]}",
        ),
        entry(
            "range",
            "{hosts: [range.example.com], addresses: [192.168.0.0/16], resolution: NONE, \
             ports: [{number: 5432, name: pg, protocol: TCP}]}",
        ),
    ]
    .join("");
    let rig = Rig::sidecar(&[BOOKINFO, &entries]);
    assert_snapshot!(format!(
        "{}\n\n{}\n{}\n\n{}",
        render(&rig.resources, ResourceType::Cluster, "example.com"),
        render(&rig.resources, ResourceType::Endpoints, "example.com"),
        render(&rig.resources, ResourceType::Listener, "_5432"),
        render(&rig.resources, ResourceType::VirtualHost, "example.com"),
    ));
}

#[test]
fn addresses_that_the_mesh_gives_mean_a_host_where_it_resolves_names() {
    let entry = |status: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: two, namespace: shop}}\n\
             spec: {{hosts: [a.example.com, b.example.com], resolution: STATIC, endpoints: [{{address: 192.0.2.1}}], \
             ports: [{{number: 5432, name: tcp, protocol: TCP}}, {{number: 80, name: http, protocol: HTTP}}]}}\n\
             status: {{addresses: [{{host: a.example.com, value: 240.240.0.1}}, {status}]}}\n"
        )
    };
    let known = entry("{host: b.example.com, value: 240.240.0.2}");
    let rig = Rig::sidecar(&[&known]);
    assert_snapshot!(render(&rig.resources, ResourceType::Listener, "_5432"));
    let mut rig = Rig::resolving("", &[&known]);
    assert_snapshot!(format!(
        "{}\n{}",
        render(&rig.resources, ResourceType::Listener, "_5432"),
        render(&rig.resources, ResourceType::VirtualHost, "example.com"),
    ));
    rig.apply(&entry("{host: b.example.com, value: 240.240.0.3}"));
    let listeners = render(&rig.resources, ResourceType::Listener, "_5432");
    assert!(!listeners.contains("240.240.0.2") && listeners.contains("240.240.0.3"), "{listeners}");
}

#[test]
fn headless_services_are_known_by_their_pods() {
    let headless = "
apiVersion: v1
kind: Service
metadata: {name: cluster, namespace: shop}
spec:
  clusterIP: None
  ports: [{port: 9042, name: tcp-cql}, {port: 9043}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: IPv4
metadata: {name: cluster-1, namespace: shop, labels: {kubernetes.io/service-name: cluster}}
ports: [{name: tcp-cql, port: 9042}, {name: '', port: 9043}]
endpoints: [{addresses: [10.1.0.1], targetRef: {kind: Pod, name: reviews-v1}}]
";
    let rig = Rig::sidecar(&[BOOKINFO, headless]);
    assert_snapshot!(format!(
        "{}\n{}\n\n{}",
        render(&rig.resources, ResourceType::Listener, "_904"),
        render(&rig.resources, ResourceType::Cluster, "cluster.shop"),
        render(&rig.resources, ResourceType::VirtualHost, "cluster.shop"),
    ));
}

#[test]
fn a_sidecar_leaves_only_what_it_names() {
    let sidecar = "
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow, namespace: shop}
spec:
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
  egress: [{hosts: [./reviews.shop.svc.cluster.local]}]
  ingress: [{port: {number: 8080, protocol: HTTP, name: web}, defaultEndpoint: '127.0.0.1:9999'}]
";
    let rig = Rig::sidecar(&[BOOKINFO, sidecar]);
    let names = |kind| {
        rig.resources.iter(kind).map(|resource| resource.name.to_string()).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(format!(
        "{}\n{}\n\n{}\n{}",
        names(ResourceType::Cluster),
        names(ResourceType::Listener),
        render(&rig.resources, ResourceType::Route, ""),
        render(&rig.resources, ResourceType::Cluster, "inbound|"),
    ));
}

#[test]
fn hosts_that_no_service_has_are_routed_on_port_80() {
    let rules = virtual_service(
        "
  hosts: [books.example.com]
  http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]
",
    );
    let rig = Rig::sidecar(&[BOOKINFO, &rules]);
    assert_snapshot!(render(&rig.resources, ResourceType::Route, "80"));
}

#[test]
fn logs_and_traces_follow_the_mesh_config() {
    use envoy_types::pb::envoy::config::listener::v3::{Listener, filter::ConfigType};
    use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
    use prost::Message;
    let config = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: '{accessLogFile: /dev/stdout, defaultConfig: {tracing: {sampling: 50}}}'}
";
    let rig = Rig::sidecar(&[BOOKINFO, config]);
    let listener = rig.resources.get(ResourceType::Listener, "0.0.0.0_9080").unwrap();
    let listener = Listener::decode(&*listener.body).unwrap();
    assert_eq!(listener.access_log.len(), 1);
    let Some(ConfigType::TypedConfig(any)) = &listener.filter_chains[0].filters[0].config_type else {
        panic!()
    };
    let manager: HttpConnectionManager = crate::render::unpack(any).unwrap();
    assert_eq!(manager.access_log.len(), 1);
    assert_eq!(manager.tracing.unwrap().random_sampling.unwrap().value.to_string(), "50");
}
