//! A mesh that never rests: rules, subsets, services and pods change all the time under load, without a failed
//! request and without memory that grows.
//!
//! `CHANGES` says how many changes there are, 100 a minute: `make e2e ONLY=churn CHANGES=1000` takes ten minutes.

use std::{env, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;

use crate::{
    apps,
    memory::Watched,
    mesh::CONTROL_NAMESPACE,
    namespace::{Injection, Namespace},
    test::Test,
};

const USUAL_CHANGES: usize = 100;
const PACE: Duration = Duration::from_millis(600);
/// Looks at memory; what happens before the first one is warming up.
const LOOKS: usize = 30;
/// How much more a program may have in the last third than in the first: percent, and KiB. A minute's run sees proxies
/// still warming up, by 1.3 MiB; with connections that were never let go, they grew by 7 MiB in a minute.
const DRIFT: (u64, u64) = (5, 3 * 1024);

pub(super) async fn run(t: &Test) -> Result<()> {
    let changes = changes()?;
    let mesh = t.namespace("e2e-churn", Injection::Enabled).await?;
    let mut churn = Churn::new(&mesh);
    churn.apply_rules().await?;
    mesh.apply(&apps::echo_version("v2")?).await?;
    mesh.with_echo().await?;
    mesh.kubectl("scale deploy/echo-v1 deploy/echo-v2 --replicas=2").await?;
    mesh.rolled_out(&["deploy/echo-v1", "deploy/echo-v2"]).await?;
    let mut watched = watched(t, &mesh).await?;

    t.step(format!("{changes} changes, one every {} ms, under 300 requests per second", PACE.as_millis()));
    let load = mesh.load("--rps 300 --tally x-echo-version http://echo:8080/").await?;
    let started = Instant::now();
    let every = (changes / (LOOKS + LOOKS / 5)).max(1);
    for number in 0..changes {
        churn.step().await.with_context(|| format!("at change {number}"))?;
        if let Some(watched) = watched.as_mut().filter(|_| number >= changes / 6 && number % every == 0) {
            watched.look(t).await?;
        }
        tokio::time::sleep_until(started + PACE * (number as u32 + 1)).await;
    }
    let took = started.elapsed().as_secs_f64();
    let report = load.stop_without_failures().await?;
    t.step(format!(
        "{changes} changes in {took:.0} s; {} requests, none failed, p99 {} ms; by version {:?}",
        report.requests, report.latency_ms.p99, report.tally
    ));
    ensure!(report.tally.len() == 2, "both versions should have answered");
    // Far fewer changes or requests in that time would show less than the scenario says.
    ensure!(took < PACE.as_secs_f64() * changes as f64 * 2.0, "this machine is too slow for the pace");
    ensure!(report.requests as f64 > took * 290.0, "not 300 requests per second");

    t.step("nothing was restarted, and no program has grown");
    t.nothing_restarted(&[&mesh.name, CONTROL_NAMESPACE]).await?;
    let Some(watched) = watched else { return Ok(()) };
    let thirds = watched.thirds()?;
    for (program, (first, last)) in &thirds {
        t.step(format!("{program}: {first} KiB in the first third, {last} KiB in the last"));
    }
    for (program, (first, last)) in thirds {
        let most = first + first * DRIFT.0 / 100 + DRIFT.1;
        ensure!(last <= most, "{program} grew from {first} to {last} KiB");
    }
    Ok(())
}

fn changes() -> Result<usize> {
    let Ok(text) = env::var("CHANGES") else { return Ok(USUAL_CHANGES) };
    let changes = text.parse().with_context(|| format!("CHANGES={text} is no number"))?;
    ensure!(changes >= LOOKS, "CHANGES={changes}: fewer than {LOOKS} show nothing");
    Ok(changes)
}

/// The programs that must not grow, where this machine is the node and can look at them.
async fn watched(t: &Test, mesh: &Namespace<'_>) -> Result<Option<Watched>> {
    if !t.cluster.own {
        t.step("memory is only looked at where this machine is the node");
        return Ok(None);
    }
    let istiod = t.get(&format!("pods -n {CONTROL_NAMESPACE} -l app=istiod")).await?;
    let istiod = istiod["items"][0]["metadata"]["uid"].as_str().context("there is no istiod")?;
    let (client, servers) = (mesh.pod("app=client").await?, mesh.pods("app=echo,version=v1").await?);
    let server = servers.first().context("there is no echo")?;
    let programs = [
        ("istiod", istiod, "trysail-controlplane"),
        ("the client's proxy", client.uid(), "trysail-proxy"),
        ("a server's proxy", server.uid(), "trysail-proxy"),
    ];
    Watched::find(t, &programs).await.map(Some)
}

/// What is configured, and what changes next.
struct Churn<'t> {
    mesh: &'t Namespace<'t>,
    step: usize,
    /// Numbers in the names of things that are renamed.
    rule: usize,
    policy: usize,
    subset: usize,
    service: usize,
    /// Subsets of v2 that the policy has, by their numbers.
    subsets: Vec<usize>,
    /// Whether some requests go to the second service.
    detour: bool,
}

impl<'t> Churn<'t> {
    fn new(mesh: &'t Namespace<'t>) -> Self {
        Self { mesh, step: 0, rule: 0, policy: 0, subset: 0, service: 0, subsets: vec![0], detour: false }
    }

    async fn apply_rules(&self) -> Result<()> {
        self.mesh.apply(&self.destination_rule()).await?;
        self.mesh.apply(&self.virtual_service()).await?;
        Ok(())
    }

    /// One change, by one command. What is renamed has its new name before it loses the old one.
    async fn step(&mut self) -> Result<()> {
        self.step += 1;
        match self.step % 16 {
            0 | 4 => self.change(Self::virtual_service).await, // other weights
            1 => self.change(Self::destination_rule).await,    // another load balancer
            2 => self.kubectl("scale deploy/echo-v2 --replicas=1".to_owned()).await,
            3 => {
                self.rule += 1;
                self.change(Self::virtual_service).await
            }
            5 => self.kubectl(format!("delete virtualservice echo-{}", self.rule - 1)).await,
            6 => {
                self.subsets.push(self.subset + 1);
                self.change(Self::destination_rule).await
            }
            7 => {
                self.subset += 1;
                self.change(Self::virtual_service).await
            }
            8 => {
                self.subsets.remove(0);
                self.change(Self::destination_rule).await
            }
            9 => self.kubectl("scale deploy/echo-v2 --replicas=3".to_owned()).await,
            10 => {
                self.service += 1;
                self.change(Self::second_service).await
            }
            11 => {
                self.detour = true;
                self.change(Self::virtual_service).await
            }
            12 => {
                self.policy += 1;
                self.change(Self::destination_rule).await
            }
            13 => self.kubectl(format!("delete destinationrule echo-{}", self.policy - 1)).await,
            14 => {
                self.detour = false;
                self.change(Self::virtual_service).await
            }
            _ => self.kubectl(format!("delete service detour-{}", self.service)).await,
        }
    }

    async fn change(&self, object: fn(&Self) -> String) -> Result<()> {
        self.mesh.apply(&object(self)).await.map(drop)
    }

    async fn kubectl(&self, line: String) -> Result<()> {
        self.mesh.kubectl(line).await.map(drop)
    }

    fn virtual_service(&self) -> String {
        let weight = self.step * 7 % 81 + 10; // both versions always get some
        let detour = if self.detour {
            format!("\n    - {{destination: {{host: detour-{}}}, weight: 20}}", self.service)
        } else {
            String::new()
        };
        format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: echo-{}}}
spec:
  hosts: [echo]
  http:
  - route:
    - {{destination: {{host: echo, subset: v1}}, weight: {weight}}}
    - {{destination: {{host: echo, subset: v2-{}}}, weight: {}}}{detour}
",
            self.rule,
            self.subset,
            100 - weight
        )
    }

    fn destination_rule(&self) -> String {
        let balancer = ["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"][self.step % 3];
        let subset = |number: &usize| format!("\n  - {{name: v2-{number}, labels: {{version: v2}}}}");
        let subsets = self.subsets.iter().map(subset).collect::<Vec<_>>().concat();
        format!(
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: echo-{}}}
spec:
  host: echo
  trafficPolicy: {{loadBalancer: {{simple: {balancer}}}}}
  subsets:
  - {{name: v1, labels: {{version: v1}}}}{subsets}
",
            self.policy
        )
    }

    fn second_service(&self) -> String {
        format!(
            "apiVersion: v1
kind: Service
metadata: {{name: detour-{}}}
spec:
  selector: {{app: echo, version: v1}}
  ports: [{{name: http, port: 8080}}]
",
            self.service
        )
    }
}
