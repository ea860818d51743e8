use std::sync::Arc;

use http::StatusCode;

use super::*;
use crate::{
    request::outcome::{Flags, Protocol},
    snapshot::{Snapshot, http::RouteSource, route::RouteTable},
};

fn local() -> LocalWorkload {
    LocalWorkload {
        workload: Peer {
            workload: "productpage-v1".into(),
            namespace: "default".into(),
            canonical_name: "productpage".into(),
            canonical_revision: "v1".into(),
            app: "productpage".into(),
            version: "v1".into(),
            cluster: "Kubernetes".into(),
        },
        version: "0.1.0".into(),
        ..LocalWorkload::default()
    }
}

fn observe() -> Arc<Observe> {
    Observe::new(local(), "sidecar~10.0.0.1~a.b~b.svc", StatsFilter::default())
}

fn manager() -> HttpConnectionManager {
    let table = RouteTable::new("r", []).unwrap();
    let mut manager = HttpConnectionManager::new("http", RouteSource::Inline(Arc::new(table)));
    manager.filters.istio_stats = true;
    manager
}

fn rendered(observe: &Observe) -> String {
    let mut out = String::new();
    observe.render(&Live::new(Snapshot::default()), &mut out);
    out
}

fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in\n{text}"))
}

#[test]
fn the_client_tells_of_a_request_in_istios_words() {
    let observe = observe();
    observe.recorder().request(&manager(), &sample::outbound());
    let text = rendered(&observe);
    assert_eq!(
        line(&text, "istio_requests_total"),
        "istio_requests_total{reporter=\"source\",source_workload=\"productpage-v1\",\
         source_canonical_service=\"productpage\",source_canonical_revision=\"v1\",\
         source_workload_namespace=\"default\",source_principal=\"spiffe://cluster.local/ns/default/sa/productpage\",\
         source_app=\"productpage\",source_version=\"v1\",source_cluster=\"Kubernetes\",\
         destination_workload=\"reviews-v2\",destination_canonical_service=\"reviews\",\
         destination_canonical_revision=\"v2\",destination_workload_namespace=\"default\",\
         destination_principal=\"spiffe://cluster.local/ns/default/sa/reviews\",destination_app=\"unknown\",\
         destination_version=\"unknown\",destination_cluster=\"Kubernetes\",\
         destination_service=\"reviews.default.svc.cluster.local\",destination_service_name=\"reviews\",\
         destination_service_namespace=\"default\",request_protocol=\"http\",response_code=\"200\",\
         grpc_response_status=\"\",response_flags=\"-\",connection_security_policy=\"unknown\"} 1"
    );
    assert_eq!(line(&text, "# TYPE istio_requests_total"), "# TYPE istio_requests_total counter");
    assert_eq!(line(&text, "istio_build"), "istio_build{component=\"proxy\",tag=\"0.1.0\"} 1");
}

#[test]
fn the_server_tells_of_a_request_in_istios_words() {
    let observe = observe();
    let recorder = observe.recorder();
    let mut outcome = sample::inbound();
    let mut headers = HeaderMap::new();
    Introduction::new(&local(), "id").insert(&mut headers);
    outcome.peer = recorder.identify(&mut headers);
    recorder.request(&manager(), &outcome);
    let text = rendered(&observe);
    let got = line(&text, "istio_requests_total");
    for part in [
        "reporter=\"destination\"",
        "source_workload=\"productpage-v1\"",
        // The certificate's word on the namespace counts more than the workload's own.
        "source_workload_namespace=\"shop\"",
        "source_principal=\"spiffe://cluster.local/ns/shop/sa/productpage\"",
        "destination_principal=\"spiffe://cluster.local/ns/default/sa/reviews\"",
        "destination_service=\"reviews.default.svc.cluster.local\"",
        "connection_security_policy=\"mutual_tls\"",
    ] {
        assert!(got.contains(part), "{part} in {got}");
    }
}

#[test]
fn what_is_not_known_is_unknown() {
    let observe = observe();
    let mut outcome = sample::inbound();
    outcome.connection = Rc::new(sample::connection(Direction::Inbound));
    outcome.status = None;
    outcome.flags.set(Flags::DOWNSTREAM_TERMINATION);
    observe.recorder().request(&manager(), &outcome);
    let text = rendered(&observe);
    let got = line(&text, "istio_requests_total");
    for part in [
        "source_workload=\"unknown\"",
        "source_canonical_revision=\"latest\"",
        "source_principal=\"unknown\"",
        "response_code=\"0\"",
        "response_flags=\"DC\"",
        "connection_security_policy=\"none\"",
    ] {
        assert!(got.contains(part), "{part} in {got}");
    }
}

#[test]
fn catch_all_clusters_are_services_of_their_own() {
    let observe = observe();
    let mut outcome = sample::outbound();
    let config = crate::snapshot::cluster::ClusterConfig::new(crate::snapshot::cluster::Discovery::Static);
    let registry = crate::snapshot::cluster::Registry::new();
    outcome.cluster = Some(Arc::new(Cluster::new("PassthroughCluster", config, Arc::default(), &registry)));
    outcome.endpoint = None;
    observe.recorder().request(&manager(), &outcome);
    let text = rendered(&observe);
    let got = line(&text, "istio_requests_total");
    assert!(
        got.contains("destination_service=\"reviews:9080\",destination_service_name=\"PassthroughCluster\""),
        "{got}"
    );
}

#[test]
fn workers_and_repetitions_add_up() {
    let observe = observe();
    let (one, other) = (observe.recorder(), observe.recorder());
    let mut outcome = sample::outbound();
    let manager = manager();
    for _ in 0..3 {
        one.request(&manager, &outcome);
    }
    outcome.duration = std::time::Duration::from_hours(2);
    other.request(&manager, &outcome);
    outcome.status = Some(StatusCode::SERVICE_UNAVAILABLE);
    outcome.flags.set(Flags::UPSTREAM_CONNECTION_FAILURE);
    one.request(&manager, &outcome);
    let text = rendered(&observe);
    let count = |code: &str, name: &str, more: &str| -> u64 {
        let wanted = |line: &&str| {
            line.starts_with(name)
                && line.contains(&format!("response_code=\"{code}\""))
                && line.contains(more)
        };
        text.lines().find(wanted).unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(count("200", "istio_requests_total", ""), 4);
    assert_eq!(count("503", "istio_requests_total", "response_flags=\"UF\""), 1);
    assert_eq!(count("200", "istio_request_duration_milliseconds_bucket", "le=\"5\""), 0);
    assert_eq!(count("200", "istio_request_duration_milliseconds_bucket", "le=\"10\""), 3);
    assert_eq!(count("200", "istio_request_duration_milliseconds_bucket", "le=\"3600000\""), 3);
    assert_eq!(count("200", "istio_request_duration_milliseconds_bucket", "le=\"+Inf\""), 4);
    assert_eq!(count("200", "istio_request_duration_milliseconds_sum", ""), 7_200_018);
    assert_eq!(count("200", "istio_request_bytes_sum", ""), 4 * 140);
    assert_eq!(count("200", "istio_response_bytes_count", ""), 4);
    assert_eq!(text.matches("# TYPE istio_request_bytes histogram").count(), 1);
}

#[test]
fn grpc_messages_are_counted_for_grpc_only() {
    let observe = observe();
    let recorder = observe.recorder();
    let mut outcome = sample::outbound();
    recorder.request(&manager(), &outcome);
    assert!(!rendered(&observe).contains("istio_request_messages_total"));
    outcome.request.as_mut().unwrap().grpc = true;
    outcome.grpc_status = Some(0);
    outcome.request_messages = 2;
    outcome.response_messages = 5;
    recorder.request(&manager(), &outcome);
    let text = rendered(&observe);
    assert!(line(&text, "istio_request_messages_total").ends_with("} 2"));
    assert!(line(&text, "istio_response_messages_total").ends_with("} 5"));
    assert!(text.contains("request_protocol=\"grpc\",response_code=\"200\",grpc_response_status=\"0\""));
}

#[test]
fn connections_are_counted_as_they_go() {
    let observe = observe();
    let recorder = observe.recorder();
    let proxy = TcpProxy::to_cluster("c");
    let mut outcome = sample::outbound();
    outcome.request = None;
    outcome.protocol = Protocol::Tcp;
    let flow = recorder.tcp_opened(&proxy, &outcome).unwrap();
    flow.progress(100, 10);
    let text = rendered(&observe);
    assert!(line(&text, "istio_tcp_sent_bytes_total").ends_with("} 100"));
    assert!(line(&text, "istio_tcp_connections_opened_total").ends_with("} 1"));
    assert!(line(&text, "istio_tcp_connections_closed_total").ends_with("} 0"));
    outcome.bytes_sent = 150;
    outcome.bytes_received = 10;
    recorder.tcp_closed(&proxy, Some(flow), &outcome);
    let text = rendered(&observe);
    assert!(line(&text, "istio_tcp_sent_bytes_total").ends_with("} 150"));
    assert!(line(&text, "istio_tcp_received_bytes_total").ends_with("} 10"));
    assert!(line(&text, "istio_tcp_connections_closed_total").ends_with("} 1"));
    assert!(
        text.contains(
            "request_protocol=\"tcp\",response_flags=\"-\",connection_security_policy=\"unknown\"}"
        )
    );
    assert!(!line(&text, "istio_tcp_sent_bytes_total").contains("response_code"));
}

#[test]
fn series_are_bounded() {
    let observe = observe();
    let recorder = observe.recorder();
    let manager = manager();
    let mut outcome = sample::outbound();
    outcome.cluster = None;
    for number in 0..6000 {
        outcome.request.as_mut().unwrap().authority = format!("host-{number}").parse().unwrap();
        // Hosts are bounded more tightly; so let the peers differ too.
        outcome.peer = Some(Rc::new(Peer { workload: format!("w-{number}").into(), ..Peer::default() }));
        recorder.request(&manager, &outcome);
    }
    let text = rendered(&observe);
    let series = text.lines().filter(|line| line.starts_with("istio_requests_total{")).count();
    assert!(series <= 5001, "{series}");
    let total: u64 = text
        .lines()
        .filter(|line| line.starts_with("istio_requests_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(total, 6000);
    assert!(line(&text, "trysail_metrics_series_overflow_total").ends_with(" 1000"));
}

#[test]
fn envoys_cluster_statistics_are_told_where_chosen() {
    let filter =
        StatsFilter::new([], [], &[".*upstream_rq_.*".to_owned(), ".*circuit_breakers.*".to_owned()])
            .unwrap();
    let observe = Observe::new(local(), "", filter);
    let cluster = sample::cluster();
    cluster.state.stats.upstream_rq_retry.inc();
    cluster.state.stats.upstream_rq_2xx.add(3);
    let live = Live::new(Snapshot::default().with_clusters([cluster], &[]));
    let mut text = String::new();
    observe.render(&live, &mut text);
    let label = "cluster_name=\"outbound|9080||reviews.default.svc.cluster.local\"";
    assert_eq!(
        line(&text, "envoy_cluster_upstream_rq_retry{"),
        format!("envoy_cluster_upstream_rq_retry{{{label}}} 1")
    );
    assert_eq!(
        line(&text, "envoy_cluster_upstream_rq{response_code_class=\"2xx\""),
        format!("envoy_cluster_upstream_rq{{response_code_class=\"2xx\",{label}}} 3")
    );
    assert_eq!(
        line(&text, "envoy_cluster_circuit_breakers_default_cx_open"),
        format!("envoy_cluster_circuit_breakers_default_cx_open{{{label}}} 0")
    );
    assert!(!text.contains("envoy_cluster_membership_total"));
}

#[test]
fn clients_and_endpoints_are_introduced_as_istio_does() {
    let observe = observe();
    let recorder = observe.recorder();
    let cluster = sample::cluster();
    let mut headers = HeaderMap::new();
    headers.insert("x-envoy-peer-metadata", HeaderValue::from_static("forged"));
    recorder.introduce_to_endpoint(&cluster, &mut headers);
    assert_eq!(headers["x-envoy-peer-metadata-id"], "sidecar~10.0.0.1~a.b~b.svc");
    assert_ne!(headers["x-envoy-peer-metadata"], "forged");
    recorder.introduce_to_client(false, &mut headers);
    assert!(headers.is_empty());
    recorder.introduce_to_client(true, &mut headers);
    assert_eq!(headers.len(), 2);
}
