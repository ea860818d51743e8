//! Scenario 1, second half: delete the MeshInstall, and look for what is left.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, bail, ensure};

use crate::{
    mesh::{self, OPERATOR_NAMESPACE},
    namespace::Injection,
    test::Test,
};

pub(super) async fn run(t: &Test) -> Result<()> {
    t.step("a user's app and rule are in the mesh");
    let app = t.namespace("e2e-user", Injection::Enabled).await?;
    app.with_echo().await?;
    app.apply("apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: mine}\nspec: {host: echo}\n").await?;

    t.step("kubectl delete mi default");
    t.sh("kubectl delete mi default --timeout=90s").await?;

    t.step("new pods start without the mesh, and the running ones go on");
    app.kubectl("get destinationrule mine").await?;
    ensure!(app.pod("app=echo").await?.ready() == "2/2", "the app's pod was harmed");
    app.kubectl("scale deploy/echo-v1 --replicas=2").await?;
    app.rolled_out(&["deploy/echo-v1"]).await?;
    app.kubectl("delete destinationrule mine").await?;

    t.step("every object that came with the mesh is gone");
    t.sh("kubectl delete namespace e2e-user --timeout=90s").await?;
    let before = mesh::inventory_before()?;
    t.eventually("nothing is left", Duration::from_mins(1), async || {
        let now = mesh::inventory(t).await?;
        let left: BTreeSet<_> = now.difference(&before).filter(|object| !of_a_scenario(object)).collect();
        if !left.is_empty() {
            bail!("still there: {left:#?}");
        }
        Ok(())
    })
    .await?;
    let now = mesh::inventory(t).await?;
    let missing: BTreeSet<_> = before.difference(&now).filter(|object| !of_a_scenario(object)).collect();
    ensure!(missing.is_empty(), "these were there before the mesh and are gone: {missing:#?}");

    t.step("nor is anything left of what comes and goes by itself: its pods and the leader's lease");
    t.eventually("pods and lease are gone", Duration::from_mins(1), async || {
        let left = t
            .sh("kubectl get pods -A -l 'app in (istiod,istio-ingressgateway)' -o name; \
                 kubectl get leases -A --field-selector metadata.name=istio-leader -o name")
            .await?;
        ensure!(left.trim().is_empty(), "still there: {left}");
        Ok(())
    })
    .await?;

    t.step("the chart goes the way it came, its CRDs stay until somebody deletes them");
    t.sh(format!("kubectl delete namespace {OPERATOR_NAMESPACE} --timeout=90s")).await?;
    t.sh("kubectl get crd meshinstalls.mesh.trysail.dev virtualservices.networking.istio.io").await?;
    Ok(())
}

/// Namespaces of earlier scenarios may still be going away.
fn of_a_scenario(object: &str) -> bool {
    object.split(' ').any(|word| word.starts_with("e2e-"))
}
