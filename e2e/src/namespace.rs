//! A namespace with apps in it, and what one does there.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    answers::Answers,
    load::Load,
    test::{Test, file},
};

/// Whether pods of a namespace get a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// `istio-injection=enabled`
    Enabled,
    /// No label.
    None,
}

/// A namespace of a scenario.
pub struct Namespace<'t> {
    test: &'t Test,
    /// Its name.
    pub name: String,
}

impl<'t> Namespace<'t> {
    /// Makes it, waiting for one of that name that is still going away.
    pub(crate) async fn create(test: &'t Test, name: &str, injection: Injection) -> Result<Self> {
        test.sh(format!("kubectl delete namespace {name} --ignore-not-found --timeout=120s")).await?;
        test.sh(format!("kubectl create namespace {name}")).await?;
        let namespace = Self { test, name: name.to_owned() };
        if injection == Injection::Enabled {
            namespace.label_for_injection().await?;
        }
        Ok(namespace)
    }

    /// `kubectl label namespace NAME istio-injection=enabled`
    pub async fn label_for_injection(&self) -> Result<()> {
        self.test.sh(format!("kubectl label namespace {} istio-injection=enabled", self.name)).await?;
        Ok(())
    }

    /// `kubectl -n NAME ...`, which must succeed.
    pub async fn kubectl(&self, line: impl AsRef<str>) -> Result<String> {
        self.test.sh(format!("kubectl -n {} {}", self.name, line.as_ref())).await
    }

    /// Applies YAML here; returns what kubectl said, warnings included.
    pub async fn apply(&self, yaml: &str) -> Result<String> {
        let said = self.try_apply(yaml).await?;
        if !said.success {
            bail!("kubectl apply in {} failed: {}", self.name, said.err.trim());
        }
        Ok(said.err + &said.out)
    }

    /// Applies YAML that may be refused.
    pub async fn try_apply(&self, yaml: &str) -> Result<crate::shell::Said> {
        self.apply_with("", yaml).await
    }

    /// `kubectl apply FLAGS`
    pub async fn apply_with(&self, flags: &str, yaml: &str) -> Result<crate::shell::Said> {
        let line = format!("kubectl -n {} apply {flags} -f -", self.name);
        let yaml = self.test.cluster.with_images(yaml);
        crate::shell::say(self.test.cluster.environment(), &line, Some(&yaml)).await
    }

    /// Applies YAML that must be refused by the mesh; returns the complaint. Fields that the schema lacks are no reason
    /// for the API server itself to refuse it first.
    pub async fn refuses(&self, yaml: &str) -> Result<String> {
        let said = self.apply_with("--validate=ignore", yaml).await?;
        if said.success {
            bail!("accepted what should have been refused:\n{yaml}\n{}{}", said.out, said.err);
        }
        Ok(said.err)
    }

    /// Applies files of the checkout.
    pub async fn apply_files(&self, paths: &[&str]) -> Result<()> {
        for path in paths {
            self.apply(&file(path)?).await.with_context(|| format!("applying {path}"))?;
        }
        Ok(())
    }

    /// Waits for workloads (`deploy/x`) to be rolled out.
    pub async fn rolled_out(&self, workloads: &[&str]) -> Result<()> {
        self.test.rolled_out(&self.name, workloads).await
    }

    /// The pods that a label selects, without those on their way out.
    pub async fn pods(&self, selector: &str) -> Result<Vec<Pod>> {
        let list = self.test.get(&format!("pods -n {} -l {selector}", self.name)).await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        Ok(items.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).map(Pod).collect())
    }

    /// The only pod that a label selects.
    pub async fn pod(&self, selector: &str) -> Result<Pod> {
        let mut pods = self.pods(selector).await?;
        match (pods.pop(), pods.len()) {
            (Some(pod), 0) => Ok(pod),
            (_, more) => bail!("expected one pod of {selector} in {}, not {more} more or none", self.name),
        }
    }

    /// Runs a client command in a pod of `deploy/DEPLOYMENT`; the JSON that it prints.
    pub async fn echo(&self, deployment: &str, arguments: &str) -> Result<Value> {
        let container =
            deployment.trim_end_matches(|last: char| last.is_ascii_digit()).trim_end_matches("-v");
        let out =
            self.kubectl(format!("exec deploy/{deployment} -c {container} -- echo {arguments}")).await?;
        serde_json::from_str(out.lines().last().unwrap_or_default())
            .with_context(|| format!("reading `{out}`"))
    }

    /// `echo get` in the client pod: `{status, headers, text, ...}`.
    pub async fn fetch(&self, arguments: &str) -> Result<Value> {
        self.echo("client", &format!("get --timeout 10s {arguments}")).await
    }

    /// The same for several requests (`--count`).
    pub async fn fetch_all(&self, arguments: &str) -> Result<Answers> {
        let line = format!("exec deploy/client -c client -- echo get --timeout 10s {arguments}");
        Answers::read(&self.kubectl(line).await?)
    }

    /// Makes an echo (`deploy/echo-v2`, or a pod's name) answer everything with this status from now on. It stays ready.
    pub async fn answers_from_now_on(&self, echo: &str, status: u16) -> Result<()> {
        let url = format!("http://127.0.0.1:8080/from-now-on/{status}");
        self.kubectl(format!("exec {echo} -c echo -- echo get {url}")).await?;
        Ok(())
    }

    /// How many requests with the header `x-echo-keep: NAME` an echo got since it was last asked.
    pub async fn kept(&self, deployment: &str, name: &str) -> Result<u64> {
        let answer = self.echo(deployment, &format!("get http://127.0.0.1:8080/kept/{name}")).await?;
        answer["text"]["kept"].as_u64().with_context(|| format!("no number in {answer}"))
    }

    /// Starts load from the client pod; it goes on until [`Load::stop`].
    pub async fn load(&self, arguments: &str) -> Result<Load> {
        let line =
            format!("kubectl -n {} exec -i deploy/client -c client -- echo load {arguments}", self.name);
        let load = Load::start(self.test.cluster.environment(), &line)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(load)
    }

    /// Applies the echo and a client for it, and waits until both are ready.
    pub async fn with_echo(&self) -> Result<()> {
        self.apply_files(&["samples/echo/echo.yaml", "samples/echo/client.yaml"]).await?;
        self.rolled_out(&["deploy/echo-v1", "deploy/client"]).await
    }
}

/// A pod, as the API shows it.
pub struct Pod(pub Value);

impl Pod {
    /// Its name.
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Its address.
    pub fn ip(&self) -> &str {
        self.0["status"]["podIP"].as_str().unwrap_or_default()
    }

    /// Its unique id.
    pub fn uid(&self) -> &str {
        self.0["metadata"]["uid"].as_str().unwrap_or_default()
    }

    /// The node's address.
    pub fn host_ip(&self) -> &str {
        self.0["status"]["hostIP"].as_str().unwrap_or_default()
    }

    /// The names of its containers, native sidecars included: what `kubectl get pods` counts.
    pub fn containers(&self) -> Vec<&str> {
        let spec = &self.0["spec"];
        let sidecars = spec["initContainers"].as_array().into_iter().flatten();
        let sidecars = sidecars.filter(|container| container["restartPolicy"] == "Always");
        spec["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .chain(sidecars)
            .filter_map(|container| container["name"].as_str())
            .collect()
    }

    /// `2/2` and the like.
    pub fn ready(&self) -> String {
        let statuses = |kind: &str| self.0["status"][kind].as_array().cloned().unwrap_or_default();
        let counted = self.containers();
        let ready = ["containerStatuses", "initContainerStatuses"]
            .iter()
            .flat_map(|kind| statuses(kind))
            .filter(|status| counted.iter().any(|name| status["name"] == *name) && status["ready"] == true)
            .count();
        format!("{ready}/{}", counted.len())
    }
}
