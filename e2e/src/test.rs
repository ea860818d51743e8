//! What a scenario holds in its hands: the cluster, a way to say what it does,
//! namespaces of its own, and patience.

use std::{
    cell::RefCell,
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    cluster::{Cluster, root},
    namespace::{Injection, Namespace},
    outside::Outside,
    shell::{self, Said},
};

/// A scenario's hands.
pub struct Test {
    /// Where it runs.
    pub cluster: Cluster,
    started: Instant,
    namespaces: RefCell<Vec<String>>,
}

/// The scenario cannot run on this cluster; says why.
#[derive(Debug)]
pub struct Skipped(pub String);

impl fmt::Display for Skipped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

impl Test {
    /// Ready to begin a scenario.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, started: Instant::now(), namespaces: RefCell::default() }
    }

    /// Begins the next scenario: its clock starts, and its namespaces are counted anew.
    pub fn begin(&mut self) {
        self.started = Instant::now();
        self.namespaces.borrow_mut().clear();
    }

    /// How long the scenario has taken.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The namespaces that the scenario made.
    pub fn namespaces(&self) -> Vec<String> {
        self.namespaces.borrow().clone()
    }

    /// Says what is done next.
    pub fn step(&self, what: impl fmt::Display) {
        println!("  {:6.1} s  {what}", self.elapsed().as_secs_f64());
    }

    /// Runs a command line that must succeed; returns its standard output.
    pub async fn sh(&self, line: impl AsRef<str>) -> Result<String> {
        shell::run(self.cluster.environment(), line.as_ref(), None).await
    }

    /// Runs a command line that may fail.
    pub async fn attempt(&self, line: impl AsRef<str>) -> Result<Said> {
        shell::say(self.cluster.environment(), line.as_ref(), None).await
    }

    /// Runs a command line that must fail; returns its complaint.
    pub async fn refused(&self, line: impl AsRef<str>) -> Result<String> {
        let said = self.attempt(line.as_ref()).await?;
        ensure!(!said.success, "`{}` succeeded: {}", line.as_ref(), said.out.trim());
        Ok(said.err + &said.out)
    }

    /// The object or list that `kubectl get WHAT -o json` prints.
    pub async fn get(&self, what: &str) -> Result<Value> {
        let out = self.sh(format!("kubectl get {what} -o json")).await?;
        serde_json::from_str(&out).with_context(|| format!("reading `kubectl get {what}`"))
    }

    /// `kubectl apply` of some YAML; returns what kubectl said, warnings included.
    pub async fn apply(&self, yaml: &str) -> Result<String> {
        let said = self.try_apply(yaml).await?;
        if !said.success {
            bail!("kubectl apply failed: {}", said.err.trim());
        }
        Ok(said.err + &said.out)
    }

    /// `kubectl apply` of some YAML that may be refused.
    pub async fn try_apply(&self, yaml: &str) -> Result<Said> {
        let yaml = self.cluster.with_images(yaml);
        shell::say(self.cluster.environment(), "kubectl apply -f -", Some(&yaml)).await
    }

    /// Waits for Deployments, StatefulSets or DaemonSets to be rolled out.
    pub async fn rolled_out(&self, namespace: &str, workloads: &[&str]) -> Result<()> {
        for workload in workloads {
            self.sh(format!("kubectl -n {namespace} rollout status {workload} --timeout=120s")).await?;
        }
        Ok(())
    }

    /// A namespace of the scenario's own, deleted after it.
    pub async fn namespace(&self, name: &str, injection: Injection) -> Result<Namespace<'_>> {
        self.namespaces.borrow_mut().push(name.to_owned());
        Namespace::create(self, name, injection).await
    }

    /// The ingress gateway, seen from this machine.
    pub async fn gateway(&self) -> Result<Outside> {
        Outside::of(self, "istio-system", "istio-ingressgateway").await
    }

    /// Tries again until it works; gives up after `patience` with the last reason.
    pub async fn eventually<T, F>(&self, what: &str, patience: Duration, mut attempt: F) -> Result<T>
    where
        F: AsyncFnMut() -> Result<T>,
    {
        let deadline = Instant::now() + patience;
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("not within {patience:?}: {what}")));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(250)).await,
            }
        }
    }

    /// Fails if a container of these namespaces was ever restarted.
    pub async fn nothing_restarted(&self, namespaces: &[&str]) -> Result<()> {
        for namespace in namespaces {
            let pods = self.get(&format!("pods -n {namespace}")).await?;
            for pod in pods["items"].as_array().into_iter().flatten() {
                let statuses = ["containerStatuses", "initContainerStatuses"];
                let statuses = statuses.iter().filter_map(|kind| pod["status"][kind].as_array()).flatten();
                for status in statuses {
                    let (name, container) = (&pod["metadata"]["name"], &status["name"]);
                    ensure!(status["restartCount"] == 0, "{container} of {name} was restarted: {status}");
                }
            }
        }
        Ok(())
    }

    /// Ends the scenario as skipped, unless this machine is the node.
    pub fn needs_own_node(&self, why: &str) -> Result<()> {
        if self.cluster.own {
            return Ok(());
        }
        Err(Skipped(format!("{why} is only possible on the node that e2e starts itself")).into())
    }
}

/// Runs our command line tool, which was compiled together with the scenarios.
pub async fn trysailctl(test: &Test, arguments: &str) -> Result<String> {
    let tool = std::env::current_exe().context("finding this program")?.with_file_name("trysailctl");
    test.sh(format!("{} {arguments}", tool.display())).await
}

/// A file of the checkout.
pub fn file(path: &str) -> Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| format!("reading {path}"))
}
