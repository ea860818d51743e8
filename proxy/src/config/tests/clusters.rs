//! Clusters and their endpoints.

use super::*;

fn cluster_of(value: &Value) -> Result<CompiledCluster, ConfigError> {
    cluster(&message::<cluster_pb::Cluster>("envoy.config.cluster.v3.Cluster", value), &Registry::new())
}

const UPSTREAM_TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";

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
