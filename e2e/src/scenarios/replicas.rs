//! Two replicas of the control plane: what the leader writes counts the proxies of both.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{
    mesh::CONTROL_NAMESPACE,
    namespace::{Injection, Namespace},
    test::{Test, trysailctl},
};

/// So many proxies that both replicas have some.
const PODS: usize = 6;
const EDITS: usize = 5;

fn rule(mark: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: echo}}\nspec:\n  \
         hosts: [echo]\n  http:\n  - route: [{{destination: {{host: echo}}}}]\n    \
         headers: {{response: {{set: {{x-rule: '{mark}'}}}}}}\n"
    )
}

pub(super) async fn run(t: &Test) -> Result<()> {
    t.step("a MeshInstall with two replicas of istiod");
    scale(t, 2).await?;
    let outcome = two(t).await;
    scale(t, 1).await?;
    outcome
}

async fn two(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-replicas", Injection::Enabled).await?;
    mesh.with_echo().await?;
    t.step("some proxies are connected to one replica, some to the other");
    mesh.kubectl(format!("scale deploy/echo-v1 --replicas={PODS}")).await?;
    t.eventually("each replica has a proxy", Duration::from_mins(2), async || {
        mesh.kubectl("rollout restart deploy/echo-v1").await?;
        mesh.rolled_out(&["deploy/echo-v1"]).await?;
        let table = trysailctl(t, "proxy-status").await?;
        let here = table.lines().filter(|line| line.contains(&mesh.name));
        let mut replicas: Vec<_> = here
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("istiod-")))
            .collect();
        replicas.sort_unstable();
        replicas.dedup();
        ensure!(replicas.len() == 2, "{table}");
        Ok(())
    })
    .await?;

    t.step(format!("{EDITS} edits: Programmed counts all of them, and the next request obeys"));
    for edit in 0..EDITS {
        obeyed(t, &mesh, &format!("edit-{edit}")).await?;
    }

    t.step("the leader goes: the other one writes on");
    let leader = leader(t).await?;
    t.sh(format!("kubectl -n {CONTROL_NAMESPACE} delete pod {leader} --wait=false")).await?;
    obeyed(t, &mesh, "after-the-leader").await?;
    let next = self::leader(t).await?;
    t.step(format!("  {leader} was followed by {next}"));
    ensure!(next != leader, "{leader} still holds the lease");
    Ok(())
}

/// Edits the rule; when it is Programmed, every proxy here has it.
async fn obeyed(t: &Test, mesh: &Namespace<'_>, mark: &str) -> Result<()> {
    mesh.apply(&rule(mark)).await?;
    mesh.kubectl("wait --for=condition=Programmed vs/echo --timeout=60s").await?;
    let answer = mesh.fetch("http://echo:8080/").await?;
    ensure!(answer["headers"]["x-rule"] == mark, "{mark} was Programmed, and then: {answer}");
    let path = "jsonpath='{.status.conditions[?(@.type==\"Programmed\")].message}'";
    let message = mesh.kubectl(format!("get vs echo -o {path}")).await?;
    let count: usize = message.split(' ').next().and_then(|word| word.parse().ok()).context("no count")?;
    ensure!(count > PODS, "{count} proxies are not all: {message}");
    t.step(format!("  {mark}: {message}"));
    Ok(())
}

async fn leader(t: &Test) -> Result<String> {
    let path = "jsonpath='{range .items[*]}{.metadata.name}{\" \"}{.spec.holderIdentity}{\"\\n\"}{end}'";
    let leases = t.sh(format!("kubectl -n {CONTROL_NAMESPACE} get leases -o {path}")).await?;
    let mut holders = leases.lines().filter_map(|line| line.split_once(' ')).map(|(_, holder)| holder);
    let holder = holders.find(|holder| holder.starts_with("istiod"));
    Ok(holder.with_context(|| format!("no istiod holds a lease: {leases}"))?.to_owned())
}

async fn scale(t: &Test, replicas: u32) -> Result<()> {
    let patch = format!(r#"{{"spec":{{"components":{{"pilot":{{"k8s":{{"replicaCount":{replicas}}}}}}}}}}}"#);
    t.sh(format!("kubectl patch mi/default --type=merge -p '{patch}'")).await?;
    t.eventually("istiod has as many replicas", Duration::from_mins(1), async || {
        let path = "jsonpath='{.spec.replicas} {.status.readyReplicas} {.status.replicas}'";
        let found = t.sh(format!("kubectl -n {CONTROL_NAMESPACE} get deploy istiod -o {path}")).await?;
        ensure!(found == format!("{replicas} {replicas} {replicas}"), "{found}");
        Ok(())
    })
    .await?;
    t.sh("kubectl wait --for=condition=Ready mi/default --timeout=60s").await?;
    Ok(())
}
