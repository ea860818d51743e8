//! Scenario 1, first half: chart, MeshInstall, Ready.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{
    mesh::{self, CONTROL_NAMESPACE},
    test::Test,
};

pub(super) async fn run(t: &Test) -> Result<()> {
    mesh::install_operator(t).await?;
    mesh::install_mesh(t).await?;

    t.step("kubectl get mi says it in a line");
    let line = t.sh("kubectl get mi").await?;
    ensure!(line.contains("default") && line.contains("True"), "kubectl get mi says:\n{line}");
    let mesh = t.get("mi/default").await?;
    ensure!(
        mesh["status"]["observedGeneration"] == mesh["metadata"]["generation"],
        "Ready, but the status is of an older generation: {}",
        mesh["status"]
    );

    t.step("what a mesh consists of is there and answers");
    t.rolled_out(CONTROL_NAMESPACE, &["deploy/istiod", "deploy/istio-ingressgateway"]).await?;
    for object in [
        "service/istiod",
        "service/istio-ingressgateway",
        "configmap/istio",
        "configmap/istio-sidecar-injector",
        "configmap/istio-ca-root-cert",
        "secret/istio-ca-secret",
    ] {
        t.sh(format!("kubectl -n {CONTROL_NAMESPACE} get {object}")).await?;
    }
    t.sh("kubectl -n default get configmap istio-ca-root-cert").await?;
    for kind in ["mutating", "validating"] {
        let found = t.sh(format!("kubectl get {kind}webhookconfigurations -o name")).await?;
        ensure!(found.contains("istio"), "no {kind} webhook configuration: {found}");
    }

    t.step("applying the same MeshInstall again changes nothing");
    let generation = |object: &Value| object["metadata"]["generation"].clone();
    let before = generation(&t.get(&format!("deploy/istiod -n {CONTROL_NAMESPACE}")).await?);
    mesh::install_mesh(t).await?;
    let after = generation(&t.get(&format!("deploy/istiod -n {CONTROL_NAMESPACE}")).await?);
    ensure!(before == after, "istiod was rolled out again: generation {before}, then {after}");

    t.step("what somebody changes by hand is put back");
    t.sh(format!("kubectl -n {CONTROL_NAMESPACE} delete configmap istio-sidecar-injector")).await?;
    t.sh(format!(
        "kubectl -n {CONTROL_NAMESPACE} wait --for=create configmap/istio-sidecar-injector --timeout=30s"
    ))
    .await?;
    repaired(
        t,
        &format!("deploy/istiod -n {CONTROL_NAMESPACE}"),
        "/spec/template/spec/containers/0/image",
        "example.invalid/pilot:wrong",
    )
    .await?;
    repaired(t, "mutatingwebhookconfiguration/istio-sidecar-injector", "/webhooks/0/failurePolicy", "Ignore")
        .await?;
    t.rolled_out(CONTROL_NAMESPACE, &["deploy/istiod"]).await
}

/// Changes a field as somebody would by hand; the operator must change it back.
async fn repaired(t: &Test, object: &str, path: &str, wrong: &str) -> Result<()> {
    let field = |object: &Value| object.pointer(path).cloned().unwrap_or_default();
    let right = field(&t.get(object).await?);
    ensure!(right.is_string() && right != wrong, "{object} has {right} at {path}");
    let patch = json!([{ "op": "replace", "path": path, "value": wrong }]);
    t.sh(format!("kubectl patch {object} --type=json -p '{patch}'")).await?;
    t.eventually(&format!("{path} of {object} is put back"), Duration::from_secs(30), async || {
        let now = field(&t.get(object).await?);
        ensure!(now == right, "{path} is {now}, not {right}");
        Ok(())
    })
    .await
}
