//! Scenario 9: a VirtualService, the DestinationRule whose subsets it names and
//! the Deployment behind them, applied in all six orders under load.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{
    apps,
    namespace::{Injection, Namespace},
    test::Test,
};

const VIRTUAL_SERVICE: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo}
spec:
  hosts: [echo]
  http:
  - route:
    - {destination: {host: echo, subset: v1}, weight: 50}
    - {destination: {host: echo, subset: v2}, weight: 50}
";
const DESTINATION_RULE: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo}
spec:
  host: echo
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
";
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

pub(super) async fn run(t: &Test) -> Result<()> {
    let mesh = t.namespace("e2e-any-order", Injection::Enabled).await?;
    mesh.with_echo().await?;
    let deployment = apps::echo_version("v2")?;
    let objects = [
        ("VirtualService", VIRTUAL_SERVICE),
        ("DestinationRule", DESTINATION_RULE),
        ("Deployment", deployment.as_str()),
    ];

    for order in ORDERS {
        let names: Vec<_> = order.iter().map(|index| objects[*index].0).collect();
        t.step(names.join(", then "));
        let load = mesh.load("--rps 100 --tally x-echo-version http://echo:8080/").await?;
        for index in order {
            mesh.apply(objects[index].1).await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        mesh.rolled_out(&["deploy/echo-v2"]).await?;
        both_answer(t, &mesh).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let report = load.stop_without_failures().await.with_context(|| format!("in the order {names:?}"))?;
        ensure!(report.tally.len() == 2, "{:?}", report.tally);
        back_to_one_version(t, &mesh).await?;
    }
    Ok(())
}

/// Takes all three away again, in the order in which nothing is missed.
async fn back_to_one_version(t: &Test, mesh: &Namespace<'_>) -> Result<()> {
    mesh.kubectl("delete virtualservice echo").await?;
    t.eventually("the rule is gone from the client's proxy", Duration::from_secs(10), async || {
        let routes = mesh.echo("client", "get http://127.0.0.1:15000/config_dump").await?;
        ensure!(!routes.to_string().contains("virtual-service/echo"), "it is still there");
        Ok(())
    })
    .await?;
    mesh.kubectl("delete destinationrule echo").await?;
    mesh.kubectl("delete deploy/echo-v2 --wait --cascade=foreground").await?;
    Ok(())
}

async fn both_answer(t: &Test, mesh: &Namespace<'_>) -> Result<()> {
    t.eventually("both versions answer", Duration::from_secs(20), async || {
        let answers =
            mesh.kubectl("exec deploy/client -c client -- echo get --count 20 http://echo:8080/").await?;
        for version in ["v1", "v2"] {
            ensure!(
                answers.contains(&format!("\"x-echo-version\":\"{version}\"")),
                "{version} does not answer"
            );
        }
        Ok(())
    })
    .await
}
