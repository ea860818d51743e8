//! The one mesh that all scenarios share: the chart, and a MeshInstall.

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    cluster::root,
    test::{Test, file},
};

/// Where the control plane and the gateways run.
pub(crate) const CONTROL_NAMESPACE: &str = "istio-system";
/// Where the operator runs.
pub(crate) const OPERATOR_NAMESPACE: &str = "trysail-system";

/// Installs the mesh if it is not there. One that is just being changed is waited for.
pub(crate) async fn ensure(test: &Test) -> Result<()> {
    let there = test.attempt("kubectl get mi/default").await?.success;
    if there && test.attempt("kubectl wait --for=condition=Ready mi/default --timeout=60s").await?.success {
        return Ok(());
    }
    install_operator(test).await?;
    install_mesh(test).await
}

/// `helm template | kubectl apply -f -`, and waits for the operator.
pub(crate) async fn install_operator(test: &Test) -> Result<()> {
    test.step("helm template charts/trysail | kubectl apply -f -");
    test.attempt(format!("kubectl create namespace {OPERATOR_NAMESPACE}")).await?;
    test.sh(format!("set -o pipefail; {} | kubectl apply -n {OPERATOR_NAMESPACE} -f -", template(test)))
        .await?;
    test.rolled_out(OPERATOR_NAMESPACE, &["deploy/trysail-operator"]).await?;
    let inventory = inventory(test).await?;
    fs::create_dir_all(root().join("target/e2e"))?;
    fs::write(before_file(), inventory.into_iter().collect::<Vec<_>>().join("\n"))
        .context("noting what was there")
}

/// `kubectl apply -f mesh.yaml; kubectl wait --for=condition=Ready mi/default`
pub(crate) async fn install_mesh(test: &Test) -> Result<()> {
    test.step("kubectl apply of a MeshInstall; kubectl wait --for=condition=Ready mi/default");
    let mesh = file("e2e/mesh.yaml")?
        .replace("docker.io/trysail", &test.cluster.hub)
        .replace(&format!("tag: {}", env!("CARGO_PKG_VERSION")), &format!("tag: {}", test.cluster.tag));
    // The CRD may have been applied a moment ago.
    test.eventually("the MeshInstall is accepted", Duration::from_secs(10), async || test.apply(&mesh).await)
        .await?;
    test.sh("kubectl wait --for=condition=Ready mi/default --timeout=180s").await?;
    Ok(())
}

/// The opposite of [`ensure`], CRDs included.
pub(crate) async fn remove(test: &Test) -> Result<()> {
    test.sh("kubectl delete mi --all --ignore-not-found --timeout=120s").await?;
    test.sh(format!(
        "set -o pipefail; {} | kubectl delete -n {OPERATOR_NAMESPACE} --ignore-not-found -f -",
        template(test)
    ))
    .await?;
    test.sh(format!("kubectl delete namespace {OPERATOR_NAMESPACE} --ignore-not-found --timeout=120s"))
        .await?;
    Ok(())
}

/// The command that prints the chart.
fn template(test: &Test) -> String {
    let (hub, tag) = (&test.cluster.hub, &test.cluster.tag);
    let chart = root().join("charts/trysail");
    format!(
        "helm template trysail {} --namespace {OPERATOR_NAMESPACE} --set image.hub={hub} --set image.tag={tag}",
        chart.display()
    )
}

/// What was in the cluster before the MeshInstall.
pub(crate) fn inventory_before() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(before_file())
        .context("nobody noted what the cluster held before the mesh; run scenario `install` first")?;
    Ok(text.lines().map(ToOwned::to_owned).collect())
}

/// Every object of the cluster as `resource namespace name`, except those that
/// come and go by themselves.
pub(crate) async fn inventory(test: &Test) -> Result<BTreeSet<String>> {
    const RESTLESS: &[&str] = &[
        "events",
        "events.events.k8s.io",
        "leases.coordination.k8s.io",
        "endpoints",
        "endpointslices.discovery.k8s.io",
        "pods",
        "replicasets.apps",
        "controllerrevisions.apps",
        "componentstatuses",
        "meshinstalls.mesh.trysail.dev",
    ];
    let kinds = test.sh("kubectl api-resources --verbs=list -o name").await?;
    let kinds: Vec<_> = kinds.lines().filter(|kind| !RESTLESS.contains(kind)).collect();
    let template =
        "{range .items[*]}{.kind}{\" \"}{.metadata.namespace}{\" \"}{.metadata.name}{\"\\n\"}{end}";
    let all = test.sh(format!("kubectl get {} -A -o jsonpath='{template}'", kinds.join(","))).await?;
    Ok(all.lines().filter(|line| !line.trim().is_empty()).map(ToOwned::to_owned).collect())
}

fn before_file() -> std::path::PathBuf {
    root().join("target/e2e/before-the-mesh.txt")
}
