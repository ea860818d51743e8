//! Listeners.

use super::*;

fn listener_of(value: &Value) -> Result<CompiledListener, ConfigError> {
    listener(&message::<listener_pb::Listener>("envoy.config.listener.v3.Listener", value))
}

const HTTP: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

const TCP: &str = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";

const DOWNSTREAM_TLS: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";

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
