//! Scenario 2: who gets a sidecar and who does not.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    mesh::{CONTROL_NAMESPACE, OPERATOR_NAMESPACE},
    namespace::Injection,
    test::Test,
};

pub(super) async fn run(t: &Test) -> Result<()> {
    t.step("an app runs before its namespace is labelled");
    let apps = t.namespace("e2e-injection", Injection::None).await?;
    apps.with_echo().await?;
    let before = apps.pod("app=echo").await?;
    ensure!(before.ready() == "1/1", "{} is {}", before.name(), before.ready());

    t.step("kubectl label namespace: the running pod stays as it is");
    apps.label_for_injection().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let still = apps.pod("app=echo").await?;
    ensure!(
        still.uid() == before.uid() && still.ready() == "1/1",
        "the label alone changed {}",
        still.name()
    );

    t.step("kubectl rollout restart: 2/2");
    apps.kubectl("rollout restart deploy/echo-v1 deploy/client").await?;
    apps.rolled_out(&["deploy/echo-v1", "deploy/client"]).await?;
    t.eventually("the old pods are gone", Duration::from_secs(30), async || {
        let injected = apps.pod("app=echo").await?;
        ensure!(injected.ready() == "2/2", "{} is {}", injected.name(), injected.ready());
        ensure!(injected.containers().contains(&"istio-proxy"), "containers: {:?}", injected.containers());
        Ok(())
    })
    .await?;
    let answer = apps.fetch("http://echo:8080/").await?;
    ensure!(answer["status"] == 200, "the injected app answers {answer}");

    t.step("sidecar.istio.io/inject: \"false\" is honoured, as label and as annotation");
    let plain = "labels: {app: opted-out}";
    apps.apply(&pod("by-label", "labels: {sidecar.istio.io/inject: 'false'}", "", "[]")).await?;
    let annotation = format!("{plain}, annotations: {{sidecar.istio.io/inject: 'false'}}");
    apps.apply(&pod("by-annotation", &annotation, "", "[]")).await?;

    t.step("a pod of the host's network has none either");
    let ports = "[--http, '18080', --tls, '0', --tcp, '0', --greeting, '0']";
    apps.apply(&pod("host-network", plain, "hostNetwork: true", ports)).await?;
    for name in ["by-label", "by-annotation", "host-network"] {
        apps.kubectl(format!("wait --for=condition=Ready pod/{name} --timeout=60s")).await?;
        let containers =
            apps.kubectl(format!("get pod {name} -o jsonpath='{{.spec..containers[*].name}}'")).await?;
        ensure!(containers == "echo", "{name} has containers {containers}");
    }

    t.step("kube-system is never injected, even where a pod asks for it");
    let asking = "namespace: kube-system, labels: {sidecar.istio.io/inject: 'true'}";
    t.apply(&pod("e2e-asking", asking, "", "[]")).await?;
    let containers = t.sh("kubectl -n kube-system get pod e2e-asking -o jsonpath='{.spec..name}'").await;
    t.sh("kubectl -n kube-system delete pod e2e-asking --wait=false").await?;
    ensure!(!containers?.contains("istio-proxy"), "a pod in kube-system was injected");

    injector_down(t).await
}

async fn injector_down(t: &Test) -> Result<()> {
    t.step("injector down: labelled pods are refused, all others start");
    let scale = async |namespace: &str, what: &str, replicas: u8| {
        t.sh(format!("kubectl -n {namespace} scale deploy/{what} --replicas={replicas}")).await
    };
    // The operator would put the control plane back.
    scale(OPERATOR_NAMESPACE, "trysail-operator", 0).await?;
    scale(CONTROL_NAMESPACE, "istiod", 0).await?;
    let gone = async || {
        t.sh(format!("kubectl -n {CONTROL_NAMESPACE} wait --for=delete pod -l app=istiod --timeout=60s"))
            .await
    };
    let outcome = async {
        gone().await?;
        let labelled = t.try_apply(&pod("labelled", "namespace: e2e-injection", "", "[]")).await?;
        ensure!(!labelled.success, "a labelled pod was admitted without its sidecar");
        ensure!(labelled.err.contains("webhook"), "the refusal does not name the webhook: {}", labelled.err);
        let others = t.namespace("e2e-injection-none", Injection::None).await?;
        others.apply(&pod("unlabelled", "labels: {app: other}", "", "[]")).await?;
        others.kubectl("wait --for=condition=Ready pod/unlabelled --timeout=60s").await?;
        let system = t.apply(&pod("e2e-system", "namespace: kube-system", "", "[]")).await;
        t.sh("kubectl -n kube-system delete pod e2e-system --ignore-not-found --wait=false").await?;
        system.map(drop)
    }
    .await;
    scale(CONTROL_NAMESPACE, "istiod", 1).await?;
    scale(OPERATOR_NAMESPACE, "trysail-operator", 1).await?;
    t.rolled_out(OPERATOR_NAMESPACE, &["deploy/trysail-operator"]).await?;
    t.rolled_out(CONTROL_NAMESPACE, &["deploy/istiod"]).await?;
    t.sh("kubectl wait --for=condition=Ready mi/default --timeout=60s").await?;
    outcome?;

    t.step("injector back: labelled pods start again");
    t.eventually("a labelled pod is admitted", Duration::from_secs(30), async || {
        t.apply(&pod("labelled", "namespace: e2e-injection", "", "[]")).await
    })
    .await?;
    t.sh("kubectl -n e2e-injection wait --for=condition=Ready pod/labelled --timeout=60s").await?;
    Ok(())
}

/// A bare pod of the echo, with some metadata, pod spec and arguments in flow YAML.
fn pod(name: &str, metadata: &str, spec: &str, arguments: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, {metadata}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  {spec}\n  containers:\n  - name: echo\n    image: trysail/echo:0.1.0\n    args: {arguments}\n    resources: {{requests: {{cpu: 5m}}}}\n"
    )
}
