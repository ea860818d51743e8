//! The cluster as the commands see it: apply and delete objects, list pods, and ask a pod over a forwarded port.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::{Discovery, Scope};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::Value;

/// Whom the API server names as the writer of what `trysailctl` applies.
const FIELD_MANAGER: &str = "trysailctl";

/// Sends GETs on one connection.
pub(crate) type Sender = hyper::client::conn::http1::SendRequest<Empty<Bytes>>;

/// A connection to one cluster.
#[derive(Clone)]
pub struct Cluster {
    /// The client, for typed requests.
    pub client: Client,
}

/// Where the cluster is: flags shared by every command.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Connection {
    /// Path of the kubeconfig file (default: $KUBECONFIG, ~/.kube/config, or the pod's own account)
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig file
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the control plane
    #[arg(
        short = 'i',
        long = "istioNamespace",
        global = true,
        default_value = "istio-system",
        value_name = "NAMESPACE"
    )]
    pub istio_namespace: String,
}

impl Cluster {
    /// Reads the kubeconfig and connects.
    ///
    /// # Errors
    /// When there is no usable kubeconfig; the message says where one was looked for.
    pub async fn connect(connection: &Connection) -> Result<Self> {
        let options =
            KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
        let config = match &connection.kubeconfig {
            Some(path) => {
                let file =
                    Kubeconfig::read_from(path).with_context(|| format!("reading {}", path.display()))?;
                Config::from_custom_kubeconfig(file, &options).await?
            }
            None if connection.context.is_some() => Config::from_kubeconfig(&options).await?,
            None => Config::infer().await.context("no cluster: set KUBECONFIG or pass --kubeconfig")?,
        };
        Ok(Self { client: Client::try_from(config)? })
    }

    /// Applies objects in order, server-side. CRDs are waited for, so that objects of their kinds may follow.
    ///
    /// # Errors
    /// Names the object that the API server refused, and why.
    pub async fn apply(&self, objects: &[Value], dry_run: bool) -> Result<()> {
        let mut discovery = Discovery::new(self.client.clone())
            .run()
            .await
            .context("asking the API server what it serves")?;
        let parameters = PatchParams { dry_run, ..PatchParams::apply(FIELD_MANAGER).force() };
        for value in objects {
            let object: DynamicObject = serde_json::from_value(value.clone())?;
            let kind = kind_of(&object)?;
            if discovery.resolve_gvk(&kind).is_none() {
                discovery = Discovery::new(self.client.clone()).run().await?;
            }
            let api = self.api(&discovery, &kind, object.metadata.namespace.as_deref())?;
            let name = object.name_any();
            let applied = api.patch(&name, &parameters, &Patch::Apply(&object)).await;
            applied.with_context(|| format!("{} {name}", kind.kind))?;
            if kind.kind == "CustomResourceDefinition" && !dry_run {
                self.established(&api, &name).await?;
            }
        }
        Ok(())
    }

    fn api(
        &self,
        discovery: &Discovery,
        kind: &GroupVersionKind,
        namespace: Option<&str>,
    ) -> Result<Api<DynamicObject>> {
        let found = discovery.resolve_gvk(kind);
        let (resource, capabilities) = found
            .with_context(|| format!("the cluster has no kind {} in {}", kind.kind, kind.api_version()))?;
        Ok(match capabilities.scope {
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            Scope::Namespaced => {
                Api::namespaced_with(self.client.clone(), namespace.unwrap_or("default"), &resource)
            }
        })
    }

    async fn established(&self, api: &Api<DynamicObject>, name: &str) -> Result<()> {
        for _ in 0..100 {
            let object = api.get(name).await?;
            let conditions =
                object.data.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
            if conditions
                .into_iter()
                .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("CustomResourceDefinition {name} was not established within 10 s")
    }

    /// Deletes objects in order; one that isn't there is no error.
    ///
    /// # Errors
    /// Names the object that the API server wouldn't delete.
    pub async fn delete(&self, objects: &[Value]) -> Result<()> {
        let discovery = Discovery::new(self.client.clone()).run().await?;
        for value in objects {
            let object: DynamicObject = serde_json::from_value(value.clone())?;
            let kind = kind_of(&object)?;
            let Ok(api) = self.api(&discovery, &kind, object.metadata.namespace.as_deref()) else { continue };
            match api.delete(&object.name_any(), &DeleteParams::foreground()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("deleting {} {}", kind.kind, object.name_any()));
                }
            }
        }
        Ok(())
    }

    /// The API of MeshInstalls, untyped, so that any version of the operator is understood.
    pub fn mesh_installs(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("mesh.trysail.dev", "v1alpha1", "MeshInstall");
        Api::all_with(self.client.clone(), &ApiResource::from_gvk_with_plural(&kind, "meshinstalls"))
    }

    /// The running pods that have all of `labels`.
    ///
    /// # Errors
    /// When the API server refuses the list.
    pub async fn running_pods(&self, namespace: Option<&str>, labels: &str) -> Result<Vec<Pod>> {
        let api: Api<Pod> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let list = api.list(&ListParams::default().labels(labels)).await.context("listing pods")?;
        let running =
            |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
        Ok(list.items.into_iter().filter(running).collect())
    }

    /// GETs a path from a port that a pod listens at, its own loopback included.
    ///
    /// # Errors
    /// When the port can't be forwarded, or the answer isn't 200.
    pub async fn get(&self, pod: &Pod, port: u16, path: &str) -> Result<Bytes> {
        self.ask(http::Method::GET, pod, port, path).await
    }

    /// Sends a request without a body, as [`Cluster::get`] does.
    ///
    /// # Errors
    /// As there.
    pub async fn ask(&self, method: http::Method, pod: &Pod, port: u16, path: &str) -> Result<Bytes> {
        let what = || {
            format!(
                "{method} {path} from port {port} of pod {}.{}",
                pod.name_any(),
                pod.namespace().unwrap_or_default()
            )
        };
        let mut sender = self.dial(pod, port).await.with_context(what)?;
        let request = http::Request::builder().method(&method).uri(path).header("host", "localhost");
        let request = request.body(Empty::<Bytes>::new()).with_context(what)?;
        let response = sender.send_request(request).await.with_context(what)?;
        let status = response.status();
        let body = response.into_body().collect().await.with_context(what)?.to_bytes();
        if !status.is_success() {
            bail!("{}: {status}: {}", what(), String::from_utf8_lossy(&body).trim());
        }
        Ok(body)
    }

    /// Connects to a port that a pod listens at, its own loopback included. The API server doesn't say at once when
    /// nobody listens: the first request fails then.
    ///
    /// # Errors
    /// When the port can't be forwarded.
    pub(crate) async fn dial(&self, pod: &Pod, port: u16) -> Result<Sender> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let mut forwarder = api.portforward(&pod.name_any(), &[port]).await?;
        let stream = forwarder.take_stream(port).context("the port was not forwarded")?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn kind_of(object: &DynamicObject) -> Result<GroupVersionKind> {
    let types = object.types.as_ref().context("an object without apiVersion and kind")?;
    Ok(GroupVersionKind::try_from(types)?)
}
