use super::*;
use envoy_types::pb::google::protobuf::Any;
use serde_json::{Value, json};
use xds::names::type_url as url;

struct Bench {
    applier: Applier,
    client: DeltaClient,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        let parts =
            (Live::new(Default::default()), Registry::new(), Secrets::new(), Held::new(), Progress::new());
        let mut client = DeltaClient::new(Default::default());
        client.subscribe_all(url::CLUSTER);
        client.subscribe_all(url::LISTENER);
        client.connected();
        let applier = Applier::new(parts.0, parts.1, parts.2, parts.3, parts.4);
        Self { applier, client, start: Instant::now() }
    }

    fn take_at(
        &mut self,
        seconds: f64,
        type_url: &'static str,
        changed: &[(&str, Value)],
        removed: &[&str],
    ) -> Vec<Rejected> {
        let changed = changed
            .iter()
            .map(|(name, value)| Changed {
                name: (*name).to_owned(),
                version: "1".to_owned(),
                resource: Any {
                    type_url: type_url.to_owned(),
                    value: xds::json::from_json(type_url, value).unwrap(),
                },
            })
            .collect();
        let removed = removed.iter().map(|name| (*name).to_owned()).collect();
        let now = self.start + Duration::from_secs_f64(seconds);
        self.applier.apply(Update { type_url, changed, removed }, &mut self.client, now)
    }

    fn take(&mut self, type_url: &'static str, changed: &[(&str, Value)], removed: &[&str]) -> Vec<Rejected> {
        self.take_at(0.0, type_url, changed, removed)
    }

    fn tick(&mut self, seconds: f64) {
        self.applier.tick(&mut self.client, self.start + Duration::from_secs_f64(seconds));
    }

    /// Names that the next requests subscribe to, by type.
    fn asked(&mut self) -> Vec<(String, Vec<String>, Vec<String>)> {
        std::iter::from_fn(|| self.client.poll_request())
            .map(|r| {
                (
                    r.type_url.rsplit('.').next().unwrap().to_owned(),
                    r.resource_names_subscribe,
                    r.resource_names_unsubscribe,
                )
            })
            .collect()
    }

    fn cluster_of(&self, host: &str) -> Option<String> {
        let snapshot = self.applier.live.load();
        let table = snapshot.route_table("80")?;
        let name = clusters(table.host(host)?.routes());
        Some(name)
    }
}

fn clusters(routes: &[Arc<crate::snapshot::route::Route>]) -> String {
    use crate::snapshot::route::{Action, Destination};
    let Action::Forward(forward) = &routes[0].action else { panic!() };
    let Destination::Clusters(clusters) = &forward.destination else { panic!() };
    clusters.pick(|| 0).cluster.to_string()
}

fn eds(name: &str) -> (&str, Value) {
    (name, json!({"name": name, "type": "EDS", "edsClusterConfig": {"edsConfig": {"ads": {}}}}))
}

fn endpoints<'a>(name: &'a str, ips: &[&str]) -> (&'a str, Value) {
    let all: Vec<_> = ips
        .iter()
        .map(|ip| json!({"endpoint": {"address": {"socketAddress": {"address": ip, "portValue": 80}}}}))
        .collect();
    (name, json!({"clusterName": name, "endpoints": [{"lbEndpoints": all}]}))
}

fn http_listener(name: &str, routes: &str) -> Value {
    json!({"name": name, "bindToPort": false, "address": {"socketAddress": {"address": "0.0.0.0", "portValue": 80}},
        "filterChains": [{"filters": [{"name": "http", "typedConfig": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "statPrefix": "x", "rds": {"routeConfigName": routes, "configSource": {"ads": {}}},
            "httpFilters": [{"name": "envoy.filters.http.router", "typedConfig": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]})
}

fn host(name: &str, cluster: &str) -> Value {
    json!({"name": name, "domains": [name], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]})
}

fn by_virtual_host() -> (&'static str, Value) {
    ("80", json!({"name": "80", "vhds": {"configSource": {"ads": {}}}}))
}

/// A listener whose route sends `a` to cluster `a1`, all in force.
fn serving() -> Bench {
    let mut bench = Bench::new();
    bench.take(url::CLUSTER, &[eds("a1")], &[]);
    bench.take(url::ENDPOINTS, &[endpoints("a1", &["10.0.0.1"])], &[]);
    bench.take(url::LISTENER, &[("0.0.0.0_80", http_listener("0.0.0.0_80", "80"))], &[]);
    bench.take(url::ROUTE, &[by_virtual_host()], &[]);
    bench.take(url::VIRTUAL_HOST, &[("80/a", host("a", "a1"))], &[]);
    bench
}

#[test]
fn each_resource_asks_for_what_it_names() {
    let mut bench = Bench::new();
    assert_eq!(bench.asked().len(), 2);
    bench.take(url::CLUSTER, &[eds("a1")], &[]);
    assert_eq!(bench.asked(), [("ClusterLoadAssignment".into(), vec!["a1".to_owned()], vec![])]);
    bench.take(url::LISTENER, &[("l", http_listener("l", "80"))], &[]);
    assert_eq!(bench.asked(), [("RouteConfiguration".into(), vec!["80".to_owned()], vec![])]);
    bench.take(url::ROUTE, &[by_virtual_host()], &[]);
    assert_eq!(bench.asked(), [("VirtualHost".into(), vec!["80/*".to_owned()], vec![])]);
    bench.take(url::LISTENER, &[], &["l"]);
    let mut asked = bench.asked();
    asked.sort();
    assert_eq!(
        asked,
        [
            ("RouteConfiguration".into(), vec![], vec!["80".to_owned()]),
            ("VirtualHost".into(), vec![], vec!["80/*".to_owned()]),
        ]
    );
}

#[test]
fn a_listener_waits_for_its_routes_and_a_route_for_endpoints_of_new_clusters() {
    let mut bench = Bench::new();
    bench.take(url::CLUSTER, &[eds("a1")], &[]);
    bench.take(url::LISTENER, &[("0.0.0.0_80", http_listener("0.0.0.0_80", "80"))], &[]);
    bench.take(url::ROUTE, &[by_virtual_host()], &[]);
    bench.take(url::VIRTUAL_HOST, &[("80/a", host("a", "a1"))], &[]);
    assert_eq!(bench.applier.live.load().listeners.iter().count(), 0);
    assert!(!bench.applier.progress.is_complete());
    bench.take(url::ENDPOINTS, &[endpoints("a1", &["10.0.0.1"])], &[]);
    assert_eq!(bench.cluster_of("a").as_deref(), Some("a1"));
    assert_eq!(bench.applier.live.load().listeners.iter().count(), 1);
    assert!(bench.applier.progress.is_complete());
}

#[test]
fn a_changed_route_keeps_its_old_target_until_the_new_one_has_endpoints() {
    let mut bench = serving();
    bench.take(url::CLUSTER, &[eds("a2")], &[]);
    bench.take(url::VIRTUAL_HOST, &[("80/a", host("a", "a2"))], &[]);
    assert_eq!(bench.cluster_of("a").as_deref(), Some("a1"));
    bench.take(url::ENDPOINTS, &[endpoints("a2", &["10.0.0.2"])], &[]);
    assert_eq!(bench.cluster_of("a").as_deref(), Some("a2"));
}

#[test]
fn waiting_has_an_end() {
    let mut bench = serving();
    bench.take(url::CLUSTER, &[eds("a2")], &[]);
    bench.take(url::VIRTUAL_HOST, &[("80/a", host("a", "a2"))], &[]);
    bench.tick(4.9);
    assert_eq!(bench.cluster_of("a").as_deref(), Some("a1"));
    assert_eq!(bench.applier.next_deadline(), Some(bench.start + WARMING));
    bench.tick(5.0);
    assert_eq!(bench.cluster_of("a").as_deref(), Some("a2"));
    assert_eq!(bench.applier.next_deadline(), None);
}

#[test]
fn a_cluster_outlives_its_removal_for_a_moment_and_may_come_back() {
    let mut bench = serving();
    bench.take(url::CLUSTER, &[], &["a1"]);
    assert!(bench.applier.live.load().cluster("a1").is_some());
    bench.take_at(1.0, url::CLUSTER, &[eds("a1")], &[]);
    bench.tick(3.0);
    let snapshot = bench.applier.live.load();
    assert_eq!(snapshot.cluster("a1").unwrap().endpoints.len(), 1, "and keeps its endpoints");
    bench.take_at(4.0, url::CLUSTER, &[], &["a1"]);
    bench.asked();
    bench.tick(6.0);
    assert!(bench.applier.live.load().cluster("a1").is_none());
    assert_eq!(bench.asked(), [("ClusterLoadAssignment".into(), vec![], vec!["a1".to_owned()])]);
}

#[test]
fn one_virtual_host_changes_without_the_others() {
    let mut bench = serving();
    bench.take(url::VIRTUAL_HOST, &[("80/b", host("b", "a1"))], &[]);
    let before = bench.applier.live.load().route_table("80").unwrap().host("b").unwrap().clone();
    bench.take(url::VIRTUAL_HOST, &[("80/a", host("a", "other"))], &[]);
    let snapshot = bench.applier.live.load();
    assert!(Arc::ptr_eq(&before, snapshot.route_table("80").unwrap().host("b").unwrap()));
    assert_eq!(bench.cluster_of("a").as_deref(), Some("other"));
    bench.take(url::VIRTUAL_HOST, &[], &["80/a"]);
    assert_eq!(bench.cluster_of("a"), None);
    // a new version of the table itself keeps its hosts
    bench.take(
        url::ROUTE,
        &[(
            "80",
            json!({"name": "80", "vhds": {"configSource": {"ads": {}}}, "ignorePortInHostMatching": true}),
        )],
        &[],
    );
    assert_eq!(bench.cluster_of("b:80").as_deref(), Some("a1"));
}

#[test]
fn a_bad_resource_is_named_and_the_rest_applies() {
    let mut bench = serving();
    let bad = ("bad", json!({"name": "bad", "lbPolicy": "LOAD_BALANCING_POLICY_CONFIG"}));
    let rejected = bench.take(url::CLUSTER, &[bad, eds("a2")], &[]);
    assert_eq!(rejected.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["bad"]);
    assert!(bench.applier.live.load().cluster("a2").is_some());

    let twice = [("80/b", host("b", "a1")), ("80/c", json!({"name": "c", "domains": ["a"], "routes": []}))];
    let rejected = bench.take(url::VIRTUAL_HOST, &twice, &[]);
    assert_eq!(rejected[0].name, "80/c");
    assert!(
        rejected[0].reason.contains("domain \"a\" belongs to virtual host \"a\" already"),
        "{}",
        rejected[0].reason
    );
    assert_eq!(bench.cluster_of("b").as_deref(), Some("a1"));

    let misnamed = bench.take(url::LISTENER, &[("l", http_listener("other", "80"))], &[]);
    assert_eq!(misnamed[0].reason, "the resource calls itself \"other\"");
    let refused = bench.applier.progress.report();
    assert_eq!((refused.types["cds"].refused, refused.types["vhds"].refused), (1, 1));
}

#[test]
fn a_listener_waits_for_a_gateways_certificate() {
    let mut bench = serving();
    let mut listener = http_listener("0.0.0.0_443", "80");
    listener["filterChains"][0]["transportSocket"] = json!({"name": "tls", "typedConfig": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "commonTlsContext": {"tlsCertificateSdsSecretConfigs": [{"name": "kubernetes://web"}]}}});
    bench.asked();
    bench.take(url::LISTENER, &[("0.0.0.0_443", listener)], &[]);
    assert!(bench.asked().contains(&("Secret".into(), vec!["kubernetes://web".to_owned()], vec![])));
    assert!(bench.applier.live.load().listeners.named("0.0.0.0_443").is_none());

    let now = std::time::SystemTime::now();
    let (ca, _) = pki::Ca::self_signed("x", now).unwrap();
    let cert = ca.issue_server(&["web".to_owned()], Duration::from_hours(1), now).unwrap();
    let secret = json!({"name": "kubernetes://web", "tlsCertificate": {
        "certificateChain": {"inlineString": cert.chain_pem()}, "privateKey": {"inlineString": cert.key_pem()}}});
    assert!(bench.take(url::SECRET, &[("kubernetes://web", secret)], &[]).is_empty());
    assert!(bench.applier.live.load().listeners.named("0.0.0.0_443").is_some());
    assert!(bench.applier.held.of(url::SECRET).is_empty(), "secrets are not kept for dumps");
}

#[test]
fn certificates_of_destination_rules_may_be_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    let (_, files) = pki::Ca::self_signed("x", std::time::SystemTime::now()).unwrap();
    std::fs::write(&root, &files.root_cert).unwrap();
    let name = format!("file-root:{}", root.display());
    let cluster = json!({"name": "ext", "transportSocket": {"name": "tls", "typedConfig": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "commonTlsContext": {"combinedValidationContext": {
            "defaultValidationContext": {}, "validationContextSdsSecretConfig": {"name": name}}}}}});
    let mut bench = serving();
    bench.asked();
    bench.take(url::CLUSTER, &[("ext", cluster)], &[]);
    assert!(!bench.asked().iter().any(|(kind, ..)| kind == "Secret"), "nobody is asked for a file");
    assert!(bench.applier.secrets.roots(&name).is_some());
    std::fs::write(&root, [files.root_cert.as_str(), &files.ca_cert, "\n"].concat()).unwrap();
    assert_eq!(bench.applier.next_deadline(), Some(bench.start + Duration::from_secs(30)));
}

#[test]
fn names_are_waited_for_and_refused_one_by_one() {
    use prost::Message as _;
    let names = Arc::new(Names::new("shop.svc.cluster.local"));
    let Bench { applier, mut client, start } = Bench::new();
    assert!(!applier.waiting_for().contains(&"nds".to_owned()), "only where they are answered");
    let mut applier = applier.with_names(Some(names.clone()));
    assert!(applier.wants_all_of().any(|kind| kind == ResourceType::NameTable));
    assert!(applier.waiting_for().contains(&"nds".to_owned()));
    let told = |name: &str, table: xds::NameTable| Changed {
        name: name.to_owned(),
        version: "1".to_owned(),
        resource: Any { type_url: url::NAME_TABLE.to_owned(), value: table.encode_to_vec() },
    };
    let mut wrong = xds::NameTable::of("wrong.test", [[10, 0, 0, 1].into()], "External");
    wrong.table.values_mut().for_each(|info| info.ips.push("10.0.0.x".to_owned()));
    let changed = vec![
        told("Fine.test", xds::NameTable::of("fine.test", [[10, 0, 0, 1].into()], "External")),
        told("wrong.test", wrong),
        told("other.test", xds::NameTable::of("fine.test", [[10, 0, 0, 2].into()], "External")),
    ];
    let rejected =
        applier.apply(Update { type_url: url::NAME_TABLE, changed, removed: Vec::new() }, &mut client, start);
    let reasons: Vec<_> = rejected.iter().map(|one| format!("{}: {}", one.name, one.reason)).collect();
    assert_eq!(
        reasons,
        [
            "wrong.test: \"10.0.0.x\" is not an address",
            "other.test: it tells of \"fine.test\", not of itself"
        ]
    );
    assert!(names.is_complete() && !applier.waiting_for().contains(&"nds".to_owned()));
}
