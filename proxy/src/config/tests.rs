//! Tables over whole resources: what compiles, to what, and what is refused with which words.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3 as cluster_pb;
use envoy_types::pb::envoy::config::endpoint::v3 as endpoint_pb;
use envoy_types::pb::envoy::config::listener::v3 as listener_pb;
use envoy_types::pb::envoy::config::route::v3 as route_pb;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls_pb;
use prost::Message;
use serde_json::{Value, json};

use super::*;
use crate::snapshot::cluster::{Discovery, Policy, Registry, Transport};
use crate::snapshot::http::{ForwardClientCert, RouteSource};
use crate::snapshot::listener::{ClientCertificate, ConnectionView, Network, Transport as Carrier};
use crate::snapshot::matcher::RequestView;
use crate::snapshot::route::{Action, Destination, GrpcTimeout, RetryOn};

fn message<M: Message + Default>(type_name: &str, value: &Value) -> M {
    M::decode(&*xds::json::from_json(type_name, value).unwrap()).unwrap()
}

fn listener_of(value: &Value) -> Result<CompiledListener, ConfigError> {
    listener(&message::<listener_pb::Listener>("envoy.config.listener.v3.Listener", value))
}

fn cluster_of(value: &Value) -> Result<CompiledCluster, ConfigError> {
    cluster(&message::<cluster_pb::Cluster>("envoy.config.cluster.v3.Cluster", value), &Registry::new())
}

fn routes_of(value: &Value) -> Result<CompiledRoutes, ConfigError> {
    route_table(&message::<route_pb::RouteConfiguration>("envoy.config.route.v3.RouteConfiguration", value))
}

/// `value` with the object at `pointer` replaced or added.
fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = new,
        Value::Object(map) => drop(map.insert(key.to_owned(), new)),
        other => panic!("{other}"),
    }
    value
}

const HTTP: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const TCP: &str = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const DOWNSTREAM_TLS: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const UPSTREAM_TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";

fn manager() -> Value {
    json!({
        "@type": HTTP,
        "statPrefix": "outbound_0.0.0.0_9080",
        "rds": {"routeConfigName": "9080", "configSource": {"ads": {}}},
        "httpFilters": [
            {"name": "envoy.filters.http.fault",
             "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"}},
            {"name": "envoy.filters.http.cors",
             "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"}},
            {"name": "envoy.filters.http.router", "typedConfig": {"@type": ROUTER}},
        ],
        "useRemoteAddress": false,
        "upgradeConfigs": [{"upgradeType": "websocket"}],
        "streamIdleTimeout": "0s",
        "normalizePath": true,
        "forwardClientCertDetails": "APPEND_FORWARD",
        "setCurrentClientCertDetails": {"subject": true, "dns": true, "uri": true},
        "accessLog": [{"name": "envoy.access_loggers.file", "typedConfig": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/stdout",
            "logFormat": {"textFormatSource": {"inlineString": "%REQ(:METHOD)%\n"}}}}],
    })
}

fn address(ip: &str, port: u16) -> Value {
    json!({"socketAddress": {"address": ip, "portValue": port}})
}

fn outbound() -> Value {
    json!({
        "name": "0.0.0.0_9080",
        "address": address("0.0.0.0", 9080),
        "bindToPort": false,
        "trafficDirection": "OUTBOUND",
        "filterChains": [{"name": "http", "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typedConfig": manager()}]}],
    })
}

#[test]
fn an_outbound_http_listener_compiles() {
    let compiled = listener_of(&outbound()).unwrap();
    assert_eq!(compiled.routes.iter().map(|name| &**name).collect::<Vec<_>>(), ["9080"]);
    let listener = compiled.listener;
    assert!(!listener.bind);
    let chain = listener.chains.iter().next().unwrap();
    let Network::Http(manager) = &chain.network else { panic!("{chain:?}") };
    assert!(matches!(&manager.routes, RouteSource::Named(name) if &**name == "9080"));
    assert!(manager.filters.cors && manager.filters.fault.as_ref().is_some_and(Option::is_none));
    assert_eq!(manager.forward_client_cert, ForwardClientCert::AppendForward);
    assert_eq!((manager.stream_idle_timeout, manager.idle_timeout), (None, Some(Duration::from_hours(1))));
    assert!(manager.path.normalise && manager.allows_upgrade("websocket"));
    assert_eq!(&*manager.access_logs[0].path, "/dev/stdout");
}

fn inbound() -> Value {
    json!({
        "name": "virtualInbound",
        "address": address("0.0.0.0", 15006),
        "trafficDirection": "INBOUND",
        "listenerFilters": [
            {"name": "envoy.filters.listener.original_dst", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"}},
            {"name": "envoy.filters.listener.tls_inspector", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"}},
            {"name": "envoy.filters.listener.http_inspector",
             "filterDisabled": {"destinationPortRange": {"start": 3306, "end": 3307}},
             "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"}},
        ],
        "listenerFiltersTimeout": "0s",
        "continueOnListenerFiltersTimeout": true,
        "filterChains": [
            {"name": "mtls", "filterChainMatch": {"destinationPort": 9080, "transportProtocol": "tls",
                "applicationProtocols": ["istio", "istio-http/1.1", "istio-h2"]},
             "transportSocket": {"name": "envoy.transport_sockets.tls", "typedConfig": {
                "@type": DOWNSTREAM_TLS, "requireClientCertificate": true,
                "commonTlsContext": {
                    "alpnProtocols": ["h2", "http/1.1"],
                    "tlsCertificateSdsSecretConfigs": [{"name": "default"}],
                    "combinedValidationContext": {
                        "defaultValidationContext": {"matchSubjectAltNames": [{"prefix": "spiffe://cluster.local/"}]},
                        "validationContextSdsSecretConfig": {"name": "ROOTCA"}}}}},
             "filters": [{"name": "envoy.filters.network.http_connection_manager", "typedConfig": manager()}]},
            {"name": "tcp", "filters": [
                {"name": "istio.metadata_exchange", "typedConfig": {
                    "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
                    "type_url": "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange"}},
                {"name": "envoy.filters.network.tcp_proxy",
                 "typedConfig": {"@type": TCP, "statPrefix": "InboundPassthroughCluster", "cluster": "InboundPassthroughCluster"}}]},
        ],
    })
}

/// `inbound` without what proto JSON can't print: types outside of Envoy's API are put in as bytes.
fn inbound_message() -> listener_pb::Listener {
    use envoy_types::pb::google::protobuf::Any;
    let mut value = inbound();
    value["filterChains"][1]["filters"].as_array_mut().unwrap().remove(0);
    let mut message: listener_pb::Listener = message("envoy.config.listener.v3.Listener", &value);
    // field 1, the inner type, by hand
    let inner = "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange";
    let mut bytes = vec![0x0a, inner.len() as u8];
    bytes.extend_from_slice(inner.as_bytes());
    let any = Any { type_url: "type.googleapis.com/udpa.type.v1.TypedStruct".into(), value: bytes };
    message.filter_chains[1].filters.insert(
        0,
        listener_pb::Filter {
            name: "istio.metadata_exchange".into(),
            config_type: Some(listener_pb::filter::ConfigType::TypedConfig(any)),
        },
    );
    message
}

#[test]
fn the_inbound_listener_of_a_stock_istiod_compiles() {
    let compiled = listener(&inbound_message()).unwrap();
    assert_eq!(compiled.secrets.iter().map(|name| &**name).collect::<Vec<_>>(), ["ROOTCA", "default"]);
    let listener = compiled.listener;
    assert!(
        listener.bind && listener.original_destination && !listener.hand_off && listener.continue_on_timeout
    );
    assert_eq!(listener.detection_timeout, None);
    assert!(!listener.http_inspector.as_ref().unwrap().applies_to(3306));
    let offered: [Box<[u8]>; 1] = [b"istio-http/1.1".as_slice().into()];
    let view = ConnectionView {
        destination: SocketAddr::from(([10, 0, 0, 1], 9080)),
        source: [10, 0, 0, 2].into(),
        server_name: "",
        transport: Carrier::Tls,
        protocols: &offered,
    };
    let chain = listener.chains.find(&view).unwrap();
    let tls = chain.tls.as_ref().unwrap();
    assert_eq!(tls.client_certificate, ClientCertificate::Required);
    assert_eq!((&*tls.certificates[0], tls.roots.as_deref()), ("default", Some("ROOTCA")));
    let plain =
        listener.chains.find(&ConnectionView { transport: Carrier::RawBuffer, protocols: &[], ..view });
    // a chain for the exact port hides those for any port
    assert!(plain.is_none());
}

#[test]
fn equal_access_logs_are_kept_once() {
    let log = || {
        let compiled = listener_of(&outbound()).unwrap();
        let chain = compiled.listener.chains.iter().next().unwrap().clone();
        let Network::Http(manager) = &chain.network else { panic!("{chain:?}") };
        manager.access_logs[0].clone()
    };
    assert!(log().is(&log()));
}

#[test]
fn a_chains_fingerprint_changes_with_what_it_does_only() {
    let fingerprint =
        |value: &Value| listener_of(value).unwrap().listener.chains.iter().next().unwrap().fingerprint;
    let base = outbound();
    let noted =
        with(base.clone(), "/filterChains/0/metadata", json!({"filterMetadata": {"istio": {"a": "b"}}}));
    let changed = with(base.clone(), "/filterChains/0/filters/0/typedConfig/serverName", json!("other"));
    assert_eq!(fingerprint(&base), fingerprint(&noted));
    assert_ne!(fingerprint(&base), fingerprint(&changed));
}

#[test]
fn listeners_that_cannot_be_honoured_are_refused_by_field() {
    let filters = "/filterChains/0/filters/0/typedConfig/httpFilters";
    let wasm = json!({"name": "my.wasm", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"}});
    let router = json!({"name": "envoy.filters.http.router", "typedConfig": {"@type": ROUTER}});
    let cases = [
        (
            filters,
            json!([wasm, router]),
            "filter_chains[0]: (http) filters[0].http_filters[0]: HTTP filter \"my.wasm\" of type \"type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\" is not supported by this proxy",
        ),
        (
            filters,
            json!([]),
            "filter_chains[0]: (http) filters[0]: http_filters: the last filter must be envoy.filters.http.router",
        ),
        (
            filters,
            json!([router, router]),
            "filter_chains[0]: (http) filters[0].http_filters[1]: a filter behind the router is never reached",
        ),
        (
            filters,
            json!([{"name": "x", "configDiscovery": {"configSource": {"ads": {}}, "typeUrls": ["a"]}}]),
            "filter_chains[0]: (http) filters[0].http_filters[0]: discovery of the HTTP filter \"x\" (ECDS) is not supported by this proxy",
        ),
        (
            "/filterChains/0/filters",
            json!([]),
            "filter_chains[0]: (http) filters: a chain needs a filter that ends it",
        ),
        (
            "/filterChains/0/filterChainMatch",
            json!({"destinationPort": 70000}),
            "filter_chains[0]: (http) filter_chain_match.destination_port: 70000 is not a port",
        ),
        (
            "/filterChains/0/filterChainMatch",
            json!({"prefixRanges": [{"addressPrefix": "10.0.0.0", "prefixLen": 40}]}),
            "filter_chains[0]: (http) filter_chain_match.prefix_ranges[0]: 10.0.0.0/40 is not a range of addresses",
        ),
        (
            "/filterChains/0/filterChainMatch",
            json!({"sourcePorts": [1]}),
            "filter_chains[0]: (http) filter_chain_match: source_ports is not supported by this proxy",
        ),
        ("/filterChains", json!([]), "filter_chains: at least one is required"),
        (
            "/listenerFilters",
            json!([{"name": "pp", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit"}}]),
            "listener_filters[0]: listener filter \"pp\" of type \"type.googleapis.com/envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit\" is not supported by this proxy",
        ),
        ("/address", address("nowhere", 80), "address: \"nowhere\" is not an IP address"),
        (
            "/address",
            json!({"pipe": {"path": "/tmp/s"}}),
            "address: the Unix socket \"/tmp/s\" is not supported by this proxy",
        ),
        (
            "/filterChains/0/transportSocket",
            json!({"name": "q", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport"}}),
            "filter_chains[0]: (http) transport_socket: transport socket \"q\" of type \"type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport\" is not supported by this proxy",
        ),
        (
            "/filterChains/0/transportSocket",
            json!({"name": "t", "typedConfig": {"@type": DOWNSTREAM_TLS, "commonTlsContext": {}}}),
            "filter_chains[0]: (http) transport_socket: common_tls_context.tls_certificate_sds_secret_configs: a certificate is required",
        ),
    ];
    for (pointer, new, message) in cases {
        let error = listener_of(&with(outbound(), pointer, new)).unwrap_err();
        assert_eq!(error.to_string(), message, "{pointer}");
    }
}

fn reviews() -> Value {
    json!({
        "name": "outbound|9080|v1|reviews.default.svc.cluster.local",
        "type": "EDS",
        "edsClusterConfig": {"edsConfig": {"ads": {}}, "serviceName": "outbound|9080|v1|reviews.default.svc.cluster.local"},
        "connectTimeout": "10s",
        "lbPolicy": "LEAST_REQUEST",
        "circuitBreakers": {"thresholds": [{"maxConnections": 100, "maxRetries": 4_294_967_295_u32}]},
        "outlierDetection": {"consecutive5xx": 7, "enforcingConsecutive5xx": 100, "interval": "1s"},
        "commonLbConfig": {"healthyPanicThreshold": {}},
        "transportSocketMatches": [
            {"name": "tlsMode-istio", "match": {"tlsMode": "istio"}, "transportSocket": {
                "name": "envoy.transport_sockets.tls",
                "typedConfig": {"@type": UPSTREAM_TLS,
                    "sni": "outbound_.9080_.v1_.reviews.default.svc.cluster.local",
                    "commonTlsContext": {
                        "alpnProtocols": ["istio-peer-exchange", "istio"],
                        "tlsCertificateSdsSecretConfigs": [{"name": "default"}],
                        "combinedValidationContext": {
                            "defaultValidationContext": {"matchSubjectAltNames": [{"exact": "spiffe://cluster.local/ns/default/sa/reviews"}]},
                            "validationContextSdsSecretConfig": {"name": "ROOTCA"}}}}}},
            {"name": "tlsMode-disabled", "match": {}, "transportSocket": {"name": "envoy.transport_sockets.raw_buffer",
                "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}},
        ],
        "metadata": {"filterMetadata": {"istio": {
            "config": "/apis/networking.istio.io/v1/namespaces/default/destination-rule/reviews",
            "subset": "v1", "default_original_port": 9080,
            "services": [{"host": "reviews.default.svc.cluster.local", "name": "reviews", "namespace": "default"}]}}},
        "typedExtensionProtocolOptions": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "useDownstreamProtocolConfig": {"httpProtocolOptions": {}, "http2ProtocolOptions": {}}}},
    })
}

#[test]
fn an_outbound_cluster_compiles() {
    let compiled = cluster_of(&reviews()).unwrap();
    assert_eq!(compiled.assignment.as_deref(), Some("outbound|9080|v1|reviews.default.svc.cluster.local"));
    assert_eq!(compiled.secrets.len(), 2);
    let config = &compiled.cluster.config;
    assert_eq!(config.connect_timeout, Duration::from_secs(10));
    assert_eq!(config.balancing.policy, Policy::LeastRequest { choices: 2 });
    assert!(config.balancing.panic_threshold.abs() < f64::EPSILON);
    assert_eq!((config.limits.max_connections, config.limits.max_requests), (100, 1024));
    let outlier = config.outlier.as_ref().unwrap();
    assert_eq!((outlier.consecutive_5xx.unwrap().get(), outlier.consecutive_gateway), (7, None));
    let Transport::Tls(tls) = &config.transports.matches[0].1 else { panic!() };
    assert_eq!(tls.subject_alt_names[0], "spiffe://cluster.local/ns/default/sa/reviews");
    assert_eq!(config.transports.matches[1], (vec![], Transport::Raw));
    assert_eq!(config.origin.services[0].name, "reviews".into());
    assert_eq!(
        (config.origin.subset.as_deref(), config.origin.default_original_port),
        (Some("v1"), Some(9080))
    );
}

#[test]
fn an_inbound_cluster_goes_where_the_client_wanted_from_127_0_0_6() {
    let value = json!({
        "name": "inbound|9080||", "type": "ORIGINAL_DST", "lbPolicy": "CLUSTER_PROVIDED",
        "upstreamBindConfig": {"sourceAddress": {"address": "127.0.0.6", "portValue": 0}},
    });
    let config = cluster_of(&value).unwrap().cluster.config;
    assert!(matches!(&config.discovery, Discovery::OriginalDst(dst) if dst.port.is_none()));
    assert_eq!(config.bind, Some([127, 0, 0, 6].into()));
}

#[test]
fn clusters_that_cannot_be_honoured_are_refused_by_field() {
    let cases = [
        (
            "/lbPolicy",
            json!("LOAD_BALANCING_POLICY_CONFIG"),
            "lb_policy",
            "LOAD_BALANCING_POLICY_CONFIG is not supported by this proxy",
        ),
        (
            "/maglevLbConfig",
            json!({"tableSize": 65536}),
            "",
            "maglev_lb_config.table_size: 65536 is not a prime up to 5000011",
        ),
        (
            "/connectTimeout",
            json!("-1s"),
            "",
            "connect_timeout: -1.000000000s is not a duration of zero or more",
        ),
        ("/lbSubsetConfig", json!({}), "", "lb_subset_config is not supported by this proxy"),
        (
            "/clusterType",
            json!({"name": "envoy.clusters.aggregate", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig", "clusters": ["a"]}}),
            "",
            "cluster type \"envoy.clusters.aggregate\" of type \"type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig\" is not supported by this proxy",
        ),
        (
            "/transportSocketMatches/0/transportSocket",
            json!({"name": "x"}),
            "",
            "transport_socket_matches[0].transport_socket: transport socket \"x\" of type \"\" is not supported by this proxy",
        ),
    ];
    for (pointer, new, _, message) in cases {
        let mut value = with(reviews(), pointer, new);
        let map = value.as_object_mut().unwrap();
        if pointer == "/maglevLbConfig" {
            map.insert("lbPolicy".into(), json!("MAGLEV"));
        }
        if pointer == "/clusterType" {
            map.remove("type");
        }
        assert_eq!(cluster_of(&value).unwrap_err().to_string(), message, "{pointer}");
    }
}

#[test]
fn endpoints_keep_their_state_and_share_their_metadata() {
    let one = |ip: &str| {
        json!({"endpoint": {"address": address(ip, 9080)}, "loadBalancingWeight": 1, "metadata": {"filterMetadata": {
            "istio": {"workload": "reviews-v1;default;reviews;v1;Kubernetes"},
            "envoy.transport_socket_match": {"tlsMode": "istio"}}}})
    };
    let value = json!({"clusterName": "c", "endpoints": [
        {"locality": {"region": "eu", "zone": "a"}, "loadBalancingWeight": 2, "lbEndpoints": [one("10.0.0.1"), one("10.0.0.2")]},
        {"priority": 1, "lbEndpoints": [{"healthStatus": "DRAINING", "endpoint": {"address": address("10.0.0.3", 9080)}}]},
    ]});
    let assignment: endpoint_pb::ClusterLoadAssignment =
        message("envoy.config.endpoint.v3.ClusterLoadAssignment", &value);
    let state = Registry::new().cluster(&Arc::from("c"));
    let first = endpoints(&assignment, &state).unwrap();
    let again = endpoints(&assignment, &state).unwrap();
    let all: Vec<_> = first.iter().collect();
    assert_eq!((first.priorities.len(), first.len()), (2, 3));
    assert!(Arc::ptr_eq(&all[0].metadata, &all[1].metadata));
    assert!(Arc::ptr_eq(&all[0].state, &again.iter().next().unwrap().state));
    assert_eq!(&*all[0].metadata.workload.as_ref().unwrap().canonical_name, "reviews");

    let beyond = with(value, "/endpoints/1/priority", json!(1000));
    let beyond = message("envoy.config.endpoint.v3.ClusterLoadAssignment", &beyond);
    let error = endpoints(&beyond, &state).unwrap_err();
    assert_eq!(error.to_string(), "endpoints[1]: priority 1000 is above 127");
}

fn route_config() -> Value {
    json!({
        "name": "9080",
        "ignorePortInHostMatching": true,
        "virtualHosts": [{
            "name": "reviews.default.svc.cluster.local:9080",
            "domains": ["reviews.default.svc.cluster.local", "reviews", "10.96.0.7"],
            "includeRequestAttemptCount": true,
            "routes": [
                {"name": "canary", "match": {"prefix": "/", "headers": [{"name": "end-user", "stringMatch": {"exact": "jason"}}]},
                 "metadata": {"filterMetadata": {"istio": {"config": "/apis/x/virtual-service/reviews", "rule": "0"}}},
                 "route": {"cluster": "outbound|9080|v2|reviews.default.svc.cluster.local", "timeout": "0s",
                    "maxStreamDuration": {"maxStreamDuration": "0s", "grpcTimeoutHeaderMax": "0s"},
                    "retryPolicy": {"retryOn": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
                        "numRetries": 2, "hostSelectionRetryMaxAttempts": "5",
                        "retryHostPredicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typedConfig": {
                            "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}]}}},
                {"match": {"prefix": "/"}, "route": {"weightedClusters": {"clusters": [
                    {"name": "v1", "weight": 90}, {"name": "v3", "weight": 10}]}}},
            ],
        }],
    })
}

fn request<'a>(headers: &'a ::http::HeaderMap, path: &'a str) -> RequestView<'a> {
    RequestView { method: "GET", authority: "reviews:9080", scheme: "http", path, query: None, headers }
}

#[test]
fn a_route_configuration_compiles() {
    let compiled = routes_of(&route_config()).unwrap();
    assert!(!compiled.by_virtual_host);
    let host = compiled.table.host("reviews:9080").unwrap();
    let mut headers = ::http::HeaderMap::new();
    let chance = &mut || 0;
    let weighted = host.route(&request(&headers, "/x"), chance).unwrap().clone();
    headers.insert("end-user", "jason".parse().unwrap());
    let canary = host.route(&request(&headers, "/x"), chance).unwrap();
    assert_eq!((&*canary.name, &*canary.origin.as_ref().unwrap().rule), ("canary", "0"));
    let Action::Forward(forward) = &canary.action else { panic!() };
    assert_eq!((forward.timeout, forward.grpc_timeout), (None, GrpcTimeout::UpTo(None)));
    let retry = forward.retry.as_ref().unwrap();
    assert_eq!((retry.retries, retry.host_selection_attempts), (2, 5));
    assert!(retry.on.any(RetryOn::GRPC_UNAVAILABLE) && !retry.on.any(RetryOn::FIVE_XX));
    let Action::Forward(forward) = &weighted.action else { panic!() };
    let Destination::Clusters(clusters) = &forward.destination else { panic!() };
    assert_eq!(clusters.iter().map(|(weight, _)| *weight).collect::<Vec<_>>(), [90, 10]);
    assert_eq!(forward.timeout, Some(Duration::from_secs(15)));
}

#[test]
fn routes_that_cannot_be_honoured_are_refused_by_host_and_route() {
    let route = "/virtualHosts/0/routes/0";
    let within = "virtual_hosts[0]: (reviews.default.svc.cluster.local:9080) ";
    let cases = [
        (
            "/match",
            json!({"prefix": "/", "headers": [{"name": "a", "stringMatch": {"safeRegex": {"regex": "("}}}]}),
            "routes[0]: (canary) match.headers[0].string_match.safe_regex: regex \"(\": ",
        ),
        (
            "/match",
            json!({"safeRegex": {"regex": "a{9999999}"}}),
            "virtual host \"reviews.default.svc.cluster.local:9080\": regex \"a{9999999}\"",
        ),
        ("/match", json!({}), "routes[0]: (canary) match: a condition on the path is required"),
        (
            "/match",
            json!({"prefix": "/", "dynamicMetadata": [{"filter": "f", "path": [{"key": "a"}], "value": {"presentMatch": true}}]}),
            "routes[0]: (canary) match.dynamic_metadata[0]: a condition on metadata other than the claims of a token is not supported by this proxy",
        ),
        ("/route/cluster", json!(null), "routes[0]: (canary) route: a cluster is required"),
        (
            "/route/weightedClusters",
            json!({"clusters": [{"name": "a", "weight": 0}]}),
            "routes[0]: (canary) route: weighted_clusters: the weights must add up to 1 to 4294967295",
        ),
        (
            "/route/retryPolicy/retryHostPredicate/0/typedConfig",
            json!({"@type": "type.googleapis.com/envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate"}),
            "routes[0]: (canary) route.retry_policy.retry_host_predicate: retry host predicate \"envoy.retry_host_predicates.previous_hosts\" of type \"type.googleapis.com/envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate\" is not supported by this proxy",
        ),
        (
            "/typedPerFilterConfig",
            json!({"envoy.filters.http.lua": {"@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute", "disabled": true}}),
            "routes[0]: (canary) typed_per_filter_config[\"envoy.filters.http.lua\"]: HTTP filter \"envoy.filters.http.lua\" of type",
        ),
        (
            "/requestHeadersToAdd",
            json!([{"header": {"key": "a b", "value": "c"}}]),
            "routes[0]: (canary) request_headers_to_add[0].header: \"a b\" is not the name of a header",
        ),
        (
            "/requestHeadersToAdd",
            json!([{"header": {"key": "a", "value": "%NOPE%"}}]),
            "routes[0]: (canary) request_headers_to_add[0].header: header value operator %NOPE% is not supported",
        ),
    ];
    for (pointer, new, message) in cases {
        let mut value = route_config();
        if pointer == "/route/weightedClusters" {
            value["virtualHosts"][0]["routes"][0]["route"].as_object_mut().unwrap().remove("cluster");
        }
        let error = routes_of(&with(value, &format!("{route}{pointer}"), new)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{within}{message}")), "{pointer}: {error}");
    }
}

#[test]
fn redirects_direct_answers_and_faults_compile() {
    let value = json!({"name": "r", "virtualHosts": [{"name": "h", "domains": ["*"], "requireTls": "ALL", "routes": [
        {"match": {"path": "/old"}, "redirect": {"pathRedirect": "/new", "responseCode": "FOUND", "httpsRedirect": true}},
        {"match": {"pathSeparatedPrefix": "/a/"}, "directResponse": {"status": 418, "body": {"inlineString": "tea"}}},
        {"match": {"prefix": "/"}, "route": {"cluster": "c"}, "typedPerFilterConfig": {"envoy.filters.http.fault": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "abort": {"httpStatus": 555, "percentage": {"numerator": 10}},
            "delay": {"fixedDelay": "2s", "percentage": {"numerator": 100, "denominator": "MILLION"}}}}},
    ]}]});
    let compiled = routes_of(&value).unwrap();
    let routes = compiled.table.host("anything").unwrap().routes();
    let Action::Redirect(redirect) = &routes[0].action else { panic!() };
    assert_eq!((redirect.status.as_u16(), redirect.scheme.as_deref()), (302, Some("https")));
    let Action::Direct(direct) = &routes[1].action else { panic!() };
    assert_eq!((direct.status.as_u16(), &*direct.body), (418, b"tea".as_slice()));
    let fault = routes[2].fault.as_ref().unwrap();
    assert_eq!(fault.delay.unwrap().1, Duration::from_secs(2));
    assert_eq!((fault.abort.unwrap().0.0, fault.delay.unwrap().0.0), (100_000, 100));

    let bad = with(value, "/virtualHosts/0/routes/1/directResponse/status", json!(42));
    assert!(
        routes_of(&bad)
            .unwrap_err()
            .to_string()
            .ends_with("direct_response.status: 42 is not an HTTP status from 200 to 599")
    );
}

#[test]
fn a_table_whose_hosts_come_one_by_one_says_so() {
    let value = json!({"name": "9080", "vhds": {"configSource": {"ads": {}}}});
    assert!(routes_of(&value).unwrap().by_virtual_host);
}

#[test]
fn secrets_compile_and_errors_never_quote_them() {
    let now = std::time::SystemTime::now();
    let (ca, files) = pki::Ca::self_signed("cluster.local", now).unwrap();
    let cert = ca.issue_server(&["web.example".to_owned()], Duration::from_hours(1), now).unwrap();
    let of = |value: Value| {
        secret(&message::<tls_pb::Secret>("envoy.extensions.transport_sockets.tls.v3.Secret", &value), now)
    };
    let pair = |chain: &str, key: &str| {
        json!({"name": "kubernetes://web", "tlsCertificate": {
            "certificateChain": {"inlineString": chain}, "privateKey": {"inlineString": key}}})
    };
    assert!(matches!(of(pair(&cert.chain_pem(), &cert.key_pem())), Ok(CompiledSecret::Certificate(_))));
    let roots =
        json!({"name": "ROOTCA", "validationContext": {"trustedCa": {"inlineString": files.root_cert}}});
    assert!(matches!(of(roots), Ok(CompiledSecret::Roots(bundle)) if bundle.roots().len() == 1));

    let other = ca.issue_server(&["web.example".to_owned()], Duration::from_hours(1), now).unwrap();
    for bad in
        [pair(&cert.chain_pem(), &other.key_pem()), pair("garbage", "secret-key"), json!({"name": "x"})]
    {
        let error = of(bad).unwrap_err().to_string();
        assert!(!error.contains("secret-key") && !error.contains("BEGIN"), "{error}");
    }
}
