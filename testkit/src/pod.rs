//! One pod: its namespaces, its processes, and what the kubelet would tell them.
//!
//! In: an injected `Pod`. Out: running processes in their own network, mount and process namespaces.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};

use crate::mesh::eventually;
use crate::namespaces::{Privilege, privilege};
use crate::process::{Process, check};
use crate::volumes::{self, Sources};
use crate::{Binaries, EnvoyNode, bootstrap, envoy_binary, network};

/// The packet mark that stands for the proxy where user ids can't.
const PROXY_MARK: &str = "1337";

/// The container that Istio's users know.
const SIDECAR: &str = "istio-proxy";

/// The annotation that puts a stock Envoy in the sidecar's place: `envoy`.
const DATA_PLANE: &str = "testkit.trysail.dev/data-plane";

/// A running pod.
#[derive(Debug)]
pub struct LocalPod {
    /// What was started.
    pub(crate) pod: Pod,
    facts: Facts,
    // Dropped in this order: the containers, then the process that holds their namespaces.
    containers: BTreeMap<String, Process>,
    pause: Process,
    init: u32,
}

/// What containers learn about their pod.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    fields: BTreeMap<String, String>,
}

impl Facts {
    fn of(pod: &Pod, address: Ipv4Addr) -> Self {
        let meta = &pod.metadata;
        let mut fields = BTreeMap::new();
        let mut say = |name: &str, value: &str| fields.insert(name.to_owned(), value.to_owned());
        say("metadata.name", meta.name.as_deref().unwrap_or_default());
        say("metadata.namespace", meta.namespace.as_deref().unwrap_or("default"));
        say("metadata.uid", meta.uid.as_deref().unwrap_or("local"));
        say("status.podIP", &address.to_string());
        say("status.podIPs", &address.to_string());
        say("status.hostIP", &network::HOST.to_string());
        let spec = pod.spec.as_ref();
        let account = spec.and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
        say("spec.serviceAccountName", account);
        say("spec.nodeName", spec.and_then(|spec| spec.node_name.as_deref()).unwrap_or("node"));
        for (kind, map) in [("labels", &meta.labels), ("annotations", &meta.annotations)] {
            let entries = map.iter().flatten();
            let lines: Vec<_> = entries.clone().map(|(key, value)| format!("{key}={value:?}")).collect();
            say(&format!("metadata.{kind}"), &lines.join("\n"));
            for (key, value) in entries {
                say(&format!("metadata.{kind}['{key}']"), value);
            }
        }
        Self { fields }
    }

    /// The value of a downward-API field path.
    pub(crate) fn field(&self, path: &str) -> Option<&str> {
        self.fields.get(path).map(String::as_str)
    }
}

impl LocalPod {
    /// Starts everything in the order of Kubernetes: init containers one by one, native sidecars up to their readiness,
    /// then the containers.
    pub(crate) async fn start(
        pod: Pod,
        address: Ipv4Addr,
        folder: &Path,
        binaries: &Binaries,
        sources: &Sources<'_>,
    ) -> Result<Self> {
        let facts = Facts::of(&pod, address);
        let script = volumes::prepare(&pod, &facts, folder, sources)?;
        let pause = Process::start(
            "pause",
            Command::new("unshare").args([
                "--mount",
                "--net",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sleep",
                "infinity",
            ]),
            &folder.join("pause.log"),
        )?;
        let init = eventually(Duration::from_secs(5), async || first_process(pause.id())).await?;
        network::connect(init, address)?;
        let target = init.to_string();
        check(Command::new("nsenter").args(["--target", &target, "--mount", "sh", "-c", &script]))
            .context("mounting the pod's volumes")?;
        let mut started = Self { pod, facts, containers: BTreeMap::new(), pause, init };
        started.start_containers(folder, binaries, address).await?;
        Ok(started)
    }

    async fn start_containers(
        &mut self,
        folder: &Path,
        binaries: &Binaries,
        address: Ipv4Addr,
    ) -> Result<()> {
        let spec = self.pod.spec.clone().context("the pod has no spec")?;
        for container in spec.init_containers.iter().flatten() {
            if container.name == SIDECAR && self.has_envoy() {
                self.launch_envoy(container, folder, binaries, address).await?;
                continue;
            }
            let process = self.launch(container, folder, binaries)?;
            if container.restart_policy.as_deref() == Some("Always") {
                self.containers.insert(container.name.clone(), process);
                self.await_sidecar(&container.name, address).await?;
            } else {
                let finished = process.finish(Duration::from_secs(20)).await;
                finished.with_context(|| format!("init container {}", container.name))?;
            }
        }
        for container in &spec.containers {
            if container.name == SIDECAR && self.has_envoy() {
                self.launch_envoy(container, folder, binaries, address).await?;
                continue;
            }
            let process = self.launch(container, folder, binaries)?;
            self.containers.insert(container.name.clone(), process);
        }
        if spec.containers.iter().any(|container| container.name == SIDECAR) && !self.has_envoy() {
            self.await_sidecar(SIDECAR, address).await?;
        }
        Ok(())
    }

    fn has_envoy(&self) -> bool {
        let annotations = self.pod.metadata.annotations.as_ref();
        annotations.and_then(|annotations| annotations.get(DATA_PLANE)).is_some_and(|value| value == "envoy")
    }

    /// In place of our sidecar: a stock Envoy, and our agent that gives it certificates.
    async fn launch_envoy(
        &mut self,
        container: &Container,
        folder: &Path,
        binaries: &Binaries,
        address: Ipv4Addr,
    ) -> Result<()> {
        let (discovery, sds_socket) =
            (("istiod.istio-system.svc".to_owned(), 15012), folder.join("sds.sock"));
        let node = EnvoyNode {
            role: Self::role(container),
            pod: self.fact("metadata.name"),
            namespace: self.fact("metadata.namespace"),
            address: address.to_string(),
            labels: serde_json::to_value(&self.pod.metadata.labels)?,
            service_account: self.fact("spec.serviceAccountName"),
            metadata: metadata(container),
            discovery_name: discovery.0.clone(),
            discovery,
            sds_socket: sds_socket.clone(),
            admin_port: 15000,
        };
        let config = folder.join("envoy.json");
        std::fs::write(&config, bootstrap(&node).to_string())?;
        volumes::open_to_all(folder)?;
        let arguments = |list: &[&str]| Some(list.iter().map(|&text| text.to_owned()).collect());
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let agent = Container {
            args: arguments(&["agent", "--sds-socket", &path(&sds_socket)]),
            ..container.clone()
        };
        let agent = self.launch(&agent, folder, binaries)?;
        self.containers.insert("agent".to_owned(), agent);
        let served = eventually(Duration::from_secs(10), async || {
            if sds_socket.exists() {
                Ok(())
            } else {
                bail!("the agent serves no socket: {}", self.log("agent"))
            }
        });
        served.await?;
        let envoy = path(&envoy_binary()?);
        let command = [
            envoy.as_str(),
            "-c",
            &path(&config),
            "--concurrency",
            "1",
            "--log-level",
            "warning",
            "--file-flush-interval-msec",
            "100",
            "--disable-hot-restart",
        ];
        let envoy = Container { command: arguments(&command), args: None, ..container.clone() };
        let envoy = self.launch(&envoy, folder, binaries)?;
        self.containers.insert(SIDECAR.to_owned(), envoy);
        let proxy = path(&binaries.path("trysail-proxy"));
        let ready =
            eventually(Duration::from_secs(20), async || self.exec(&[&proxy, "request", "GET", "ready"]));
        ready.await.with_context(|| format!("Envoy is not ready: {}", self.log(SIDECAR)))?;
        Ok(())
    }

    /// What our own proxy would be told to be: its container's arguments are `proxy ROLE`.
    fn role(container: &Container) -> String {
        let role = container.args.iter().flatten().nth(1).filter(|role| !role.starts_with('-'));
        role.map_or_else(|| "sidecar".to_owned(), ToOwned::to_owned)
    }

    fn fact(&self, path: &str) -> String {
        self.facts.field(path).unwrap_or_default().to_owned()
    }

    async fn await_sidecar(&mut self, container: &str, address: Ipv4Addr) -> Result<()> {
        let url = format!("http://{address}:15021/healthz/ready");
        let ready = eventually(Duration::from_secs(20), async || match crate::get(&url).await? {
            reply if reply.status == 200 => Ok(()),
            reply => bail!("{} {}", reply.status, reply.body),
        });
        ready.await.with_context(|| format!("container {container} is not ready: {}", self.log(container)))
    }

    fn launch(&self, container: &Container, folder: &Path, binaries: &Binaries) -> Result<Process> {
        let mut environment = self.environment(container.env.iter().flatten())?;
        let mut arguments: Vec<String> = Vec::new();
        match &container.command {
            Some(command) => arguments.extend(command.iter().cloned()),
            None => {
                let image = container.image.as_deref().unwrap_or_default();
                arguments.push(binaries.entrypoint(image)?.to_string_lossy().into_owned());
            }
        }
        arguments.extend(container.args.iter().flatten().map(|argument| expand(argument, &environment)));
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--mount", "--net", "--pid", "--"]);
        let user = container.security_context.as_ref().and_then(|context| context.run_as_user);
        match (privilege(), user) {
            (Privilege::Users, Some(user)) if user != 0 => {
                let user = user.to_string();
                command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--"]);
            }
            (Privilege::Users, _) => {}
            (Privilege::Mark, _) => match container.name.as_str() {
                "istio-init" => arguments.extend(["--proxy-mark".to_owned(), PROXY_MARK.to_owned()]),
                SIDECAR => {
                    environment.insert("TRYSAIL_PACKET_MARK".to_owned(), PROXY_MARK.to_owned());
                }
                _ => {}
            },
        }
        command.args(arguments).env_clear().envs(&environment).current_dir("/");
        Process::start(&container.name, &mut command, &folder.join(format!("{}.log", container.name)))
    }

    fn environment<'a>(
        &self,
        variables: impl Iterator<Item = &'a EnvVar>,
    ) -> Result<BTreeMap<String, String>> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut environment =
            BTreeMap::from([("PATH".to_owned(), format!("{path}:/usr/sbin:/usr/bin:/sbin:/bin"))]);
        for variable in variables {
            let source = variable.value_from.as_ref();
            let value = if let Some(field) = source.and_then(|source| source.field_ref.as_ref()) {
                self.facts.field(&field.field_path).unwrap_or_default().to_owned()
            } else if let Some(resource) = source.and_then(|source| source.resource_field_ref.as_ref()) {
                if resource.resource.ends_with("cpu") { "2".to_owned() } else { (1_u64 << 30).to_string() }
            } else if source.is_some() {
                bail!("env {}: only fieldRef and resourceFieldRef are known here", variable.name);
            } else {
                expand(variable.value.as_deref().unwrap_or_default(), &environment)
            };
            environment.insert(variable.name.clone(), value);
        }
        Ok(environment)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.facts.field("metadata.name").unwrap_or_default()
    }

    /// The pod's address.
    pub fn address(&self) -> &str {
        self.facts.field("status.podIP").unwrap_or_default()
    }

    /// What a container has printed.
    pub fn log(&self, container: &str) -> String {
        self.containers.get(container).map(Process::output).unwrap_or_default()
    }

    /// The process of a container, as the test's namespace numbers it.
    pub fn process(&self, container: &str) -> Option<&Process> {
        self.containers.get(container)
    }

    /// Runs a command in the pod, as `kubectl exec` would.
    ///
    /// # Errors
    /// When it fails; the message carries its standard error.
    pub fn exec(&self, command: &[&str]) -> Result<String> {
        check(&mut self.entering(command))
    }

    /// The same, with something to read on standard input.
    ///
    /// # Errors
    /// When it fails; the message carries its standard error.
    pub fn exec_with(&self, command: &[&str], input: &str) -> Result<String> {
        let mut file = tempfile::tempfile()?;
        std::io::Write::write_all(&mut file, input.as_bytes())?;
        std::io::Seek::rewind(&mut file)?;
        check(self.entering(command).stdin(file))
    }

    fn entering(&self, command: &[&str]) -> Command {
        let target = self.init.to_string();
        let mut entering = Command::new("nsenter");
        entering.args(["--target", &target, "--mount", "--net", "--pid", "--"]).args(command);
        entering
    }

    /// Ends the pod as the kubelet does: SIGTERM, then at most `grace` until everything is killed.
    pub async fn stop(mut self, grace: Duration) {
        for process in self.containers.values() {
            let _ = process.terminate();
        }
        let deadline = tokio::time::Instant::now() + grace;
        while tokio::time::Instant::now() < deadline
            && self.containers.values_mut().any(|process| process.ended().is_none())
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = self.pause.ended();
    }
}

/// The process that `unshare --fork` started, once it has become the pause process.
fn first_process(unshare: u32) -> Result<u32> {
    let children = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"))?;
    let child: u32 = children.trim().parse().context("the pod's first process has not started")?;
    let name = std::fs::read_to_string(format!("/proc/{child}/comm"))?;
    if name.trim() != "sleep" {
        bail!("the pod's first process is still {name}");
    }
    Ok(child)
}

/// Metadata that a container's environment adds to its proxy's, as istio-agent reads it.
fn metadata(container: &Container) -> BTreeMap<String, String> {
    let variables = container.env.iter().flatten();
    let added = variables.filter_map(|one| Some((one.name.strip_prefix("ISTIO_META_")?, one.value.clone()?)));
    added.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Replaces `$(NAME)` as Kubernetes does.
fn expand(text: &str, environment: &BTreeMap<String, String>) -> String {
    let mut expanded = text.to_owned();
    for (name, value) in environment {
        expanded = expanded.replace(&format!("$({name})"), value);
    }
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_in_arguments_are_replaced_and_unknown_ones_stay() {
        let environment = BTreeMap::from([("POD_NAMESPACE".to_owned(), "shop".to_owned())]);
        assert_eq!(expand("$(POD_NAMESPACE).svc $(OTHER)", &environment), "shop.svc $(OTHER)");
    }
}
