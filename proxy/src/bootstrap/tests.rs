use super::*;
use clap::Parser;
use serde_json::json;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: ProxyArgs,
}

fn args(words: &[&str]) -> ProxyArgs {
    Cli::try_parse_from(std::iter::once("proxy").chain(words.iter().copied())).unwrap().args
}

/// What the injector sets on every sidecar.
fn injected(more: &[(&str, &str)]) -> Environment {
    let base = [
        ("POD_NAME", "reviews-1"),
        ("POD_NAMESPACE", "shop"),
        ("INSTANCE_IP", "10.44.0.7"),
        ("SERVICE_ACCOUNT", "reviews"),
        ("CA_ADDR", "istiod.istio-system.svc:15012"),
        ("TRUST_DOMAIN", "cluster.local"),
        ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
        ("ISTIO_META_WORKLOAD_NAME", "reviews-v1"),
        ("ISTIO_META_POD_PORTS", r#"[{"containerPort":9080,"protocol":"TCP"}]"#),
    ];
    Environment::new(base.into_iter().chain(more.iter().copied()), "/nowhere")
}

fn load(more: &[(&str, &str)]) -> Result<Bootstrap, BootstrapError> {
    Bootstrap::load(&args(&["sidecar"]), &injected(more))
}

#[test]
fn an_injected_sidecar_needs_nothing_else() {
    let boot = load(&[("PROXY_CONFIG", "{}")]).unwrap();
    assert_eq!(boot.node.id, "sidecar~10.44.0.7~reviews-1.shop~shop.svc.cluster.local");
    assert_eq!(boot.node.cluster, "reviews-v1.shop");
    assert_eq!(boot.spiffe_id(), "spiffe://cluster.local/ns/shop/sa/reviews");
    assert_eq!(boot.discovery.address, "istiod.istio-system.svc:15012");
    assert_eq!(boot.concurrency, 2);
    assert_eq!(boot.ports, Ports { admin: 15000, status: 15020, health: 15021, metrics: 15090 });
    assert_eq!(
        (boot.drain.listener, boot.drain.termination),
        (Duration::from_secs(45), Duration::from_secs(5))
    );
    let meta = &boot.node.metadata;
    assert_eq!(meta["CLUSTER_ID"], "Kubernetes");
    assert_eq!(meta["POD_PORTS"], json!([{"containerPort": 9080, "protocol": "TCP"}]));
    assert_eq!(meta["PROXY_CONFIG"]["drainDuration"], "45s");
    assert!(meta["INSTANCE_IPS"].as_str().unwrap().starts_with("10.44.0.7"));
}

#[test]
fn sidecars_answer_for_names_where_the_pod_says_so() {
    for (text, expected) in [("true", true), ("1", true), ("false", false), ("", false), ("yes", false)] {
        let boot = load(&[("ISTIO_META_DNS_CAPTURE", text)]).unwrap();
        assert_eq!(boot.dns_capture, expected, "{text}");
    }
    let gateway = injected(&[("ISTIO_META_DNS_CAPTURE", "true")]);
    assert!(!Bootstrap::load(&args(&["router"]), &gateway).unwrap().dns_capture, "no app asks there");
}

#[test]
fn a_gateway_announces_itself_as_router() {
    let boot = Bootstrap::load(&args(&["router", "--domain", "edge.example"]), &injected(&[])).unwrap();
    assert_eq!(boot.node.id, "router~10.44.0.7~reviews-1.shop~edge.example");
}

#[test]
fn concurrency_comes_from_the_configuration_else_from_the_cpu_limit() {
    let cases = [
        (vec![("PROXY_CONFIG", r#"{"concurrency": 3}"#), ("ISTIO_CPU_LIMIT", "8")], 3),
        (vec![("ISTIO_CPU_LIMIT", "8")], 8),
        (vec![("ISTIO_CPU_LIMIT", "0")], 2),
        (vec![], 2),
    ];
    for (variables, expected) in cases {
        assert_eq!(load(&variables).unwrap().concurrency, expected, "{variables:?}");
    }
    assert!(load(&[("PROXY_CONFIG", r#"{"concurrency": 0}"#)]).unwrap().concurrency >= 1);
}

#[test]
fn mounted_files_fill_labels_and_override_the_configuration() {
    let root = tempfile::tempdir().unwrap();
    let pod = root.path().join("etc/istio/pod");
    std::fs::create_dir_all(&pod).unwrap();
    std::fs::write(
        pod.join("labels"),
        "app=\"reviews\"\npod-template-hash=\"abc\"\ntopology.istio.io/locality=\"eu.north.a1\"\n",
    )
    .unwrap();
    std::fs::write(
        pod.join("annotations"),
        "proxy.istio.io/config=\"discoveryAddress: other.ns.svc:15012\\nterminationDrainDuration: 20s\\n\"\n",
    )
    .unwrap();
    let variables = [
        ("POD_NAME", "a"),
        ("POD_NAMESPACE", "b"),
        ("INSTANCE_IP", "10.0.0.1"),
        ("PROXY_CONFIG", r#"{"drainDuration":"9s"}"#),
    ];
    let boot = Bootstrap::load(&args(&["sidecar"]), &Environment::new(variables, root.path())).unwrap();
    assert_eq!(boot.discovery.address, "other.ns.svc:15012");
    assert_eq!(boot.drain.listener, Duration::from_secs(9));
    assert_eq!(boot.drain.termination, Duration::from_secs(20));
    assert_eq!(boot.node.cluster, "reviews.b");
    assert_eq!(
        boot.node.metadata["LABELS"],
        json!({"app": "reviews", "topology.istio.io/locality": "eu/north/a1"})
    );
    let locality = boot.node.locality.unwrap();
    assert_eq!(
        (locality.region.as_str(), locality.zone.as_str(), locality.sub_zone.as_str()),
        ("eu", "north", "a1")
    );
}

#[test]
fn certificates_may_come_from_mounted_files() {
    let boot = load(&[("FILE_MOUNTED_CERTS", "true")]).unwrap();
    assert_eq!(boot.certificates, CertificateSource::Files("/nowhere/etc/certs".into()));
}

#[test]
fn what_cannot_be_used_is_named() {
    let cases = [
        (
            ("PROXY_CONFIG", "[1]"),
            "proxy configuration in environment variable PROXY_CONFIG: expected a map of fields, found [1]",
        ),
        (
            ("PROXY_CONFIG", r#"{"statusPort": 99999}"#),
            "proxy configuration: statusPort: 99999 is not a port",
        ),
        (
            ("PROXY_CONFIG", r#"{"drainDuration": "soon"}"#),
            "proxy configuration: drainDuration: \"soon\" is not a duration such as 45s",
        ),
        (
            ("PROXY_CONFIG", r#"{"discoveryAddress": "istiod"}"#),
            "proxy configuration: discoveryAddress: \"istiod\" is not an address; write host:port, for example istiod.istio-system.svc:15012",
        ),
        (("INSTANCE_IP", "pod"), "environment variable INSTANCE_IP: \"pod\" is not an IP address"),
        (("TRYSAIL_PACKET_MARK", "x"), "environment variable TRYSAIL_PACKET_MARK: \"x\" is not a number"),
        (
            ("SECRET_TTL", "1 day"),
            "environment variable SECRET_TTL: \"1 day\" is not a duration such as 5s or 1h30m",
        ),
    ];
    for (variable, message) in cases {
        assert_eq!(load(&[variable]).unwrap_err().to_string(), message, "{variable:?}");
    }
    let nothing = Environment::new::<&str, &str>([], "/nowhere");
    let error = Bootstrap::load(&args(&["sidecar"]), &nothing).unwrap_err().to_string();
    assert!(error.starts_with("environment variable POD_NAME is not set"), "{error}");
}
