//! The local mesh: the control plane on a folder of YAML, and pods that follow it.
//!
//! In: YAML, as a person would apply it. Out: running pods, and ways to look at them.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cluster_state::ClusterState;
use crate::network::{self, Addresses, HOST};
use crate::pod::LocalPod;
use crate::process::{Process, TempFolder, check};
use crate::volumes::{self, Sources};
use crate::{Binaries, inject};

/// A control plane, a bridge and pods, all ended when dropped.
#[derive(Debug)]
pub struct LocalMesh {
    // Dropped in this order: pods, control plane, folder.
    pods: BTreeMap<(String, String), LocalPod>,
    control_plane: Process,
    state: ClusterState,
    addresses: Addresses,
    tokens: BTreeMap<String, String>,
    binaries: Binaries,
    /// Of the control plane.
    environment: Vec<(String, String)>,
    folder: TempFolder,
}

impl LocalMesh {
    /// Starts the control plane and waits until it is ready.
    ///
    /// # Errors
    /// When a program or a tool is missing, or the control plane isn't ready within ten seconds; the message carries
    /// its log.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with environment variables for the control plane.
    ///
    /// # Errors
    /// As for [`LocalMesh::start`].
    pub async fn start_with(environment: &[(&str, &str)]) -> Result<Self> {
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let binaries = Binaries::find()?;
        let folder = TempFolder::mounted()?;
        network::create_bridge()?;
        let mut state = ClusterState::new(&folder.path().join("config"))?;
        state.apply(include_str!("base.yaml"))?;
        std::fs::write(folder.path().join("tokens"), "")?;
        let mut mesh = Self {
            pods: BTreeMap::new(),
            control_plane: start_control_plane(&binaries, &folder, &environment)?,
            state,
            addresses: Addresses::pods(),
            tokens: BTreeMap::new(),
            binaries,
            environment,
            folder,
        };
        mesh.await_control_plane().await?;
        Ok(mesh)
    }

    async fn await_control_plane(&mut self) -> Result<()> {
        let ready = eventually(Duration::from_secs(10), async || {
            let reply = crate::get(&format!("http://{HOST}:8080/ready")).await?;
            if reply.status == 200 { Ok(()) } else { bail!("/ready: {} {}", reply.status, reply.body) }
        });
        ready
            .await
            .with_context(|| format!("the control plane is not ready: {}", self.control_plane.output()))?;
        let root = std::fs::read_to_string(self.folder.path().join("ca").join("root-cert.pem"))
            .context("the control plane wrote no root certificate")?;
        for namespace in ["default", "istio-system"] {
            self.put_root(namespace, &root)?;
        }
        Ok(())
    }

    fn put_root(&mut self, namespace: &str, root: &str) -> Result<()> {
        self.state.put(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "istio-ca-root-cert", "namespace": namespace },
            "data": { "root-cert.pem": root },
        }))
    }

    /// Ends the control plane with SIGKILL and starts another on the same folder and CA.
    ///
    /// # Errors
    /// When the new one isn't ready within ten seconds.
    pub async fn restart_control_plane(&mut self) -> Result<()> {
        let next = start_control_plane(&self.binaries, &self.folder, &self.environment);
        drop(std::mem::replace(&mut self.control_plane, next?));
        self.await_control_plane().await
    }

    /// Applies YAML: Istio kinds, Services and Namespaces go to the control plane; Pods and Deployments are started.
    /// Pods that exist already stay as they are.
    ///
    /// # Errors
    /// When the YAML is bad or a pod doesn't start; the message carries the log of what failed.
    pub async fn apply(&mut self, yaml: &str) -> Result<()> {
        let documents = self.state.apply(yaml)?;
        for document in &documents {
            let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            if document["kind"] == "Namespace" {
                let root = self.state.config_maps("istio-system").remove("istio-ca-root-cert");
                let root = root.and_then(|mut data| data.remove("root-cert.pem")).unwrap_or_default();
                self.put_root(name, &root)?;
            }
        }
        self.write_hosts()?;
        for document in documents {
            let namespace = document
                .pointer("/metadata/namespace")
                .and_then(Value::as_str)
                .unwrap_or("default")
                .to_owned();
            match document["kind"].as_str() {
                Some("Pod") => self.start_pod(&namespace, document).await?,
                Some("Deployment") => self.start_deployment(&namespace, &document).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds or replaces objects for the control plane alone: Pods among them are known to it, with the status that they
    /// carry, but not started.
    ///
    /// # Errors
    /// When an object has no kind or name, or the folder can't be written.
    pub fn put_all(&mut self, objects: impl IntoIterator<Item = Value>) -> Result<()> {
        for object in objects {
            self.state.put(object)?;
        }
        self.state.write_endpoints()?;
        self.write_hosts()
    }

    /// The path of one of our programs.
    pub fn program(&self, name: &str) -> std::path::PathBuf {
        self.binaries.path(name)
    }

    /// A folder that all pods see at the same path and may write to.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn shared_folder(&self, name: &str) -> Result<std::path::PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path)?;
        volumes::open_to_all(&path)?;
        Ok(path)
    }

    async fn start_deployment(&mut self, namespace: &str, deployment: &Value) -> Result<()> {
        let name = deployment.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let replicas = deployment.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
        for replica in 0..replicas {
            let mut pod =
                deployment.pointer("/spec/template").context("a Deployment without template")?.clone();
            pod["kind"] = json!("Pod");
            pod["apiVersion"] = json!("v1");
            pod["metadata"]["name"] = json!(format!("{name}-{replica}"));
            pod["metadata"]["namespace"] = json!(namespace);
            pod["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true, "uid": "local",
                "name": format!("{name}-7c9f5d4b8"),
            }]);
            pod["metadata"]["labels"]["pod-template-hash"] = json!("7c9f5d4b8");
            self.start_pod(namespace, pod).await?;
        }
        Ok(())
    }

    async fn start_pod(&mut self, namespace: &str, pod: Value) -> Result<()> {
        let pod = inject::injected(pod, &self.state, namespace)?;
        let name = pod.metadata.name.clone().context("a Pod without name")?;
        let id = (namespace.to_owned(), name.clone());
        if self.pods.contains_key(&id) {
            return Ok(());
        }
        let address = self.addresses.next()?;
        let account =
            pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
        let token = self.token(namespace, account)?;
        let folder = volumes::folder(self.folder.path(), namespace, &name);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("hosts"), self.state.hosts(namespace))?;
        // The object first, as in a cluster: the control plane knows the pod before its proxy connects.
        let mut object = serde_json::to_value(&pod)?;
        object["kind"] = json!("Pod");
        object["apiVersion"] = json!("v1");
        object["status"] = json!({ "podIP": address.to_string(), "phase": "Pending" });
        self.state.put(object.clone())?;
        let config_maps = self.state.config_maps(namespace);
        let sources = Sources { config_maps: &config_maps, token: &token };
        let started = Box::pin(LocalPod::start(pod, address, &folder, &self.binaries, &sources)).await;
        let started = started.with_context(|| format!("pod {namespace}/{name}; {}", self.last_words()))?;
        object["status"]["phase"] = json!("Running");
        self.state.put(object)?;
        self.state.write_endpoints()?;
        self.pods.insert(id, started);
        Ok(())
    }

    fn token(&mut self, namespace: &str, account: &str) -> Result<String> {
        let identity = format!("{namespace}/{account}");
        if let Some(token) = self.tokens.get(&identity) {
            return Ok(token.clone());
        }
        let token = format!("local-token-{namespace}-{account}");
        self.tokens.insert(identity, token.clone());
        let line = |(identity, token)| json!({ "token": token, "identity": identity }).to_string();
        let lines: Vec<_> = self.tokens.iter().map(line).collect();
        std::fs::write(self.folder.path().join("tokens"), lines.join("\n") + "\n")?;
        Ok(token)
    }

    fn write_hosts(&self) -> Result<()> {
        for (namespace, name) in self.pods.keys() {
            let folder = volumes::folder(self.folder.path(), namespace, name);
            std::fs::write(folder.join("hosts"), self.state.hosts(namespace))?;
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = self.control_plane.output();
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        format!("the control plane's last lines: {}", lines.into_iter().rev().collect::<Vec<_>>().join(" | "))
    }

    /// Removes an object from the folder.
    ///
    /// # Errors
    /// When the file can't be removed.
    pub fn delete(&mut self, kind: &str, namespace: &str, name: &str) -> Result<()> {
        self.state.delete(kind, namespace, name)
    }

    /// Ends a pod as Kubernetes would: out of its services first, then SIGTERM, then what is left is killed.
    ///
    /// # Errors
    /// When there is no such pod.
    pub async fn stop_pod(&mut self, namespace: &str, name: &str) -> Result<()> {
        let pod = self.pods.remove(&(namespace.to_owned(), name.to_owned()));
        let pod = pod.with_context(|| format!("there is no pod {namespace}/{name}"))?;
        self.state.delete("Pod", namespace, name)?;
        pod.stop(Duration::from_secs(10)).await;
        Ok(())
    }

    /// A running pod. The name of a Deployment finds its first replica.
    ///
    /// # Errors
    /// When there is none; the message lists those that run.
    pub fn pod(&self, namespace: &str, name: &str) -> Result<&LocalPod> {
        let exact = self.pods.get(&(namespace.to_owned(), name.to_owned()));
        let first = || self.pods.get(&(namespace.to_owned(), format!("{name}-0")));
        exact
            .or_else(first)
            .with_context(|| format!("no pod {namespace}/{name}; there are {:?}", self.pods.keys()))
    }

    /// The running pods.
    pub fn pods(&self) -> impl Iterator<Item = &LocalPod> {
        self.pods.values()
    }

    /// The control plane's process.
    pub fn control_plane(&self) -> &Process {
        &self.control_plane
    }

    /// The address that every service of the mesh can be told apart by: a Service's cluster IP.
    ///
    /// # Errors
    /// When there is no such Service.
    pub fn service_address(&self, namespace: &str, name: &str) -> Result<String> {
        let service = self.state.get("Service", namespace, name);
        let address = service.and_then(|service| service.pointer("/spec/clusterIP")?.as_str());
        address.map(str::to_owned).with_context(|| format!("there is no Service {namespace}/{name}"))
    }
}

impl Drop for LocalMesh {
    fn drop(&mut self) {
        self.pods.clear();
        let _ = check(Command::new("ip").args(["link", "del", "pods"]));
    }
}

fn start_control_plane(
    binaries: &Binaries,
    folder: &TempFolder,
    environment: &[(String, String)],
) -> Result<Process> {
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("ca"))?;
    let mut command = Command::new(binaries.path("trysail-controlplane"));
    command.arg("discovery").arg("--config-dir").arg(path("config"));
    command.arg("--token-file").arg(path("tokens")).arg("--ca-dir").arg(path("ca"));
    command.env("POD_NAMESPACE", "istio-system");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    Process::start("control plane", &mut command, &path("istiod.log"))
}

/// Tries until it succeeds.
///
/// # Errors
/// The last failure, once `limit` has passed.
pub async fn eventually<T>(limit: Duration, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if tokio::time::Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
