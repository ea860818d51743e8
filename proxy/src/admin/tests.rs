use super::*;
use crate::bootstrap::{Environment, ProxyArgs};
use crate::drain::Drain;
use crate::observe::{LocalWorkload, Observe, StatsFilter};
use crate::snapshot::cluster::Registry;
use crate::subscribe::Applier;
use clap::Parser;
use envoy_types::pb::google::protobuf::Any;
use serde_json::json;
use std::time::{Duration, SystemTime};
use tower::ServiceExt as _;
use xds::client::{Changed, DeltaClient, Update};
use xds::names::type_url as url;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: ProxyArgs,
}

struct Bench {
    router: Router,
    applier: Applier,
    client: DeltaClient,
    secrets: Arc<Secrets>,
}

fn bench() -> Bench {
    let env = Environment::new(
        [("POD_NAME", "reviews-1"), ("POD_NAMESPACE", "shop"), ("INSTANCE_IP", "10.0.0.1")],
        "/nowhere",
    );
    let boot = Bootstrap::load(&Cli::try_parse_from(["proxy"]).unwrap().args, &env).unwrap();
    let (live, held, progress, secrets) =
        (Live::new(Default::default()), Held::new(), Progress::new(), Secrets::new());
    let identity = Arc::new(Health::default());
    let readiness = Readiness::new(identity.clone(), progress.clone(), live.clone(), Drain::default());
    let own = OwnMetrics {
        observe: Observe::new(LocalWorkload::of(&boot.node), &boot.node.id, StatsFilter::default()),
        live: live.clone(),
        identity: identity.clone(),
        secrets: secrets.clone(),
        progress: progress.clone(),
        names: None,
        started: Instant::now(),
    };
    let applier =
        Applier::new(live.clone(), Registry::new(), secrets.clone(), held.clone(), progress.clone());
    let admin = Admin {
        boot,
        live,
        held,
        progress,
        secrets: secrets.clone(),
        identity,
        readiness: Arc::new(readiness),
        own: Arc::new(own),
        lifecycle: Arc::new(Lifecycle::new(Drain::default())),
        levels: LogLevels::parse("", "warning", "").unwrap(),
        started: Instant::now(),
    };
    Bench { router: router(Arc::new(admin)), applier, client: DeltaClient::new(Default::default()), secrets }
}

impl Bench {
    fn take(&mut self, type_url: &'static str, name: &str, value: &Value) {
        let resource =
            Any { type_url: type_url.into(), value: xds::json::from_json(type_url, value).unwrap() };
        let changed = vec![Changed { name: name.into(), version: "v7".into(), resource }];
        let now = tokio::time::Instant::now();
        let update = Update { type_url, changed, removed: Vec::new() };
        assert_eq!(self.applier.apply(update, &mut self.client, now), []);
    }

    async fn ask(&self, method: &str, path: &str) -> (StatusCode, String) {
        let request =
            hyper::Request::builder().method(method).uri(path).body(axum::body::Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.ask("GET", path).await.1).unwrap()
    }
}

/// A cluster with an endpoint, a listener, a table and a virtual host that came by itself.
fn configured() -> Bench {
    let mut bench = bench();
    bench.take(
        url::CLUSTER,
        "c",
        &json!({"name": "c", "type": "EDS", "edsClusterConfig": {"edsConfig": {"ads": {}}}}),
    );
    let endpoint = json!({"endpoint": {"address": {"socketAddress": {"address": "10.0.0.9", "portValue": 80}}}, "loadBalancingWeight": 3});
    bench.take(
        url::ENDPOINTS,
        "c",
        &json!({"clusterName": "c", "endpoints": [
        {"locality": {"region": "eu"}, "lbEndpoints": [endpoint]}]}),
    );
    bench.take(url::LISTENER, "l", &json!({"name": "l", "address": {"socketAddress": {"address": "0.0.0.0", "portValue": 80}},
        "bindToPort": false, "filterChains": [{"filters": [{"name": "http", "typedConfig": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "statPrefix": "x", "rds": {"routeConfigName": "80", "configSource": {"ads": {}}},
            "httpFilters": [{"name": "envoy.filters.http.router", "typedConfig": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}));
    bench.take(url::ROUTE, "80", &json!({"name": "80", "vhds": {"configSource": {"ads": {}}}}));
    bench.take(
        url::VIRTUAL_HOST,
        "80/a",
        &json!({"name": "a", "domains": ["a"], "routes": [
        {"match": {"prefix": "/"}, "route": {"cluster": "c"}}]}),
    );
    let now = SystemTime::now();
    let (ca, _) = pki::Ca::self_signed("x", now).unwrap();
    let id = "spiffe://cluster.local/ns/shop/sa/reviews".parse().unwrap();
    let cert = ca.issue_workload(&id, Duration::from_hours(24), now).unwrap();
    bench.secrets.set_certificate("default", Arc::new(cert));
    bench.secrets.set_roots("ROOTCA", Arc::new(ca.bundle().clone()));
    bench
}

#[tokio::test]
async fn the_dump_has_envoys_shape_and_no_keys() {
    let bench = configured();
    let dump = bench.json("/config_dump?include_eds").await;
    let kinds: Vec<_> = dump["configs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["@type"].as_str().unwrap().rsplit('.').next().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "BootstrapConfigDump",
            "ClustersConfigDump",
            "EndpointsConfigDump",
            "ListenersConfigDump",
            "RoutesConfigDump",
            "SecretsConfigDump"
        ]
    );
    let at = |pointer: &str| dump.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {dump:#}")).clone();
    assert_eq!(at("/configs/0/bootstrap/node/id"), "sidecar~10.0.0.1~reviews-1.shop~shop.svc.cluster.local");
    assert_eq!(at("/configs/1/dynamic_active_clusters/0/cluster/name"), "c");
    assert_eq!(at("/configs/1/dynamic_active_clusters/0/version_info"), "v7");
    assert_eq!(
        at(
            "/configs/2/dynamic_endpoint_configs/0/endpoint_config/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value"
        ),
        80
    );
    assert_eq!(
        at(
            "/configs/3/dynamic_listeners/0/active_state/listener/filter_chains/0/filters/0/typed_config/rds/route_config_name"
        ),
        "80"
    );
    assert_eq!(at("/configs/4/dynamic_route_configs/0/route_config/virtual_hosts/0/domains/0"), "a");
    assert_eq!(
        at("/configs/5/dynamic_active_secrets/0/secret/tls_certificate/private_key/inline_bytes"),
        "W3JlZGFjdGVkXQ=="
    );
    assert!(!dump.to_string().contains("PRIVATE KEY"));

    let some = bench.json("/config_dump?resource=dynamic_active_clusters&name_regex=other").await;
    assert_eq!(some, json!({"configs": []}));
    assert_eq!(bench.ask("GET", "/config_dump?resource=nothing").await.0, StatusCode::NOT_FOUND);
    assert_eq!(bench.ask("GET", "/config_dump?name_regex=(").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn clusters_and_listeners_are_listed_as_envoy_lists_them() {
    let bench = configured();
    let (_, text) = bench.ask("GET", "/clusters").await;
    for line in [
        "c::default_priority::max_connections::1024",
        "c::10.0.0.9:80::health_flags::healthy",
        "c::10.0.0.9:80::weight::3",
        "c::10.0.0.9:80::region::eu",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} in {text}");
    }
    let clusters = bench.json("/clusters?format=json").await;
    let host = &clusters["cluster_statuses"][0]["host_statuses"][0];
    assert_eq!(host["address"]["socket_address"]["address"], "10.0.0.9");
    assert_eq!(host["health_status"]["eds_health_status"], "HEALTHY");
    assert_eq!(bench.ask("GET", "/listeners").await.1, "l::0.0.0.0:80\n");
    assert_eq!(bench.json("/listeners?format=json").await["listener_statuses"][0]["name"], "l");
}

#[tokio::test]
async fn certificates_statistics_and_server_are_described() {
    let bench = configured();
    let certs = bench.json("/certs").await;
    assert_eq!(
        certs["certificates"][0]["cert_chain"][0]["subject_alt_names"][0]["uri"],
        "spiffe://cluster.local/ns/shop/sa/reviews"
    );
    assert_eq!(certs["certificates"][1]["ca_cert"][0]["path"], "ROOTCA");
    let (_, stats) = bench.ask("GET", "/stats?filter=^(cluster.c.membership|cluster_manager.active)").await;
    assert_eq!(stats, "cluster.c.membership_total: 1\ncluster_manager.active_clusters: 1\n");
    assert_eq!(bench.json("/stats?filter=server.conc&format=json").await["stats"][0]["value"], 2);
    assert!(
        bench
            .ask("GET", "/stats/prometheus")
            .await
            .1
            .contains("istio_agent_cert_expiry_seconds{resource_name=\"default\"}")
    );
    let info = bench.json("/server_info").await;
    assert_eq!(info["node"]["metadata"]["NAMESPACE"], "shop");
    assert_eq!(info["control_plane"]["types"]["vhds"]["applied"], 1);
}

#[tokio::test]
async fn what_changes_something_must_be_posted() {
    let bench = configured();
    for path in ["/quitquitquit", "/drain_listeners", "/healthcheck/fail", "/healthcheck/ok", "/logging"] {
        assert_eq!(bench.ask("GET", path).await.0, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(bench.ask("POST", path).await.0, StatusCode::OK, "{path}");
    }
    bench.ask("POST", "/healthcheck/fail").await;
    let (status, problem) = bench.ask("GET", "/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(problem.contains("told to fail"), "{problem}");
    assert_eq!(bench.ask("POST", "/logging?upstream=loud").await.0, StatusCode::BAD_REQUEST);
    assert!(bench.ask("GET", "/help").await.1.contains("/config_dump"));
}
