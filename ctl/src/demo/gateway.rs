//! The ingress gateway, asked over HTTP: at an address, or through a port that the API server forwards.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::cluster::{Cluster, Sender};

/// What Bookinfo's Gateway object selects.
const LABEL: &str = "istio=ingressgateway";
/// The port that it opens.
const PORT: i32 = 80;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client of the gateway; keeps connections for later requests.
pub struct Gateway {
    /// `http://HOST[:PORT]`, as others reach it: from outside if that is known, else from inside the cluster.
    pub url: String,
    way: Way,
    idle: Mutex<Vec<Sender>>,
}

enum Way {
    /// `HOST:PORT`
    Straight(String),
    Forwarded {
        cluster: Cluster,
        pod: Box<Pod>,
        port: u16,
    },
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body.
    pub text: String,
}

/// Where a cluster's ingress gateway is.
#[derive(Debug)]
pub struct Found {
    /// The namespace of its Service and pods.
    pub namespace: String,
    /// Its Service.
    pub service: String,
    /// `http://HOST` of the load balancer, if it has one.
    pub balanced: Option<String>,
    pod: Pod,
    port: u16,
}

impl Found {
    /// Looks for the gateway that Bookinfo's rules are meant for, first beside the control plane.
    ///
    /// # Errors
    /// When no gateway is ready, or no Service leads to its port 80.
    pub async fn look(cluster: &Cluster, control_namespace: &str) -> Result<Self> {
        let mut pods = cluster.running_pods(None, LABEL).await?;
        pods.sort_by_key(|pod| pod.namespace().as_deref() != Some(control_namespace));
        if pods.is_empty() {
            bail!(
                "no ingress gateway is running (no pod has label {LABEL}): the profiles default and demo have one, as \
                 in `trysailctl install --set profile=default`"
            );
        }
        let pod = pods.into_iter().find(ready).context("no pod of the ingress gateway is ready")?;
        let namespace = pod.namespace().unwrap_or_default();
        let api: Api<Service> = Api::namespaced(cluster.client.clone(), &namespace);
        let services = api.list(&ListParams::default()).await.context("listing Services")?.items;
        let Some((service, port)) = services.iter().find_map(|it| Some((it, target(it, &pod)?))) else {
            bail!("no Service leads to port {PORT} of pod {}.{namespace}", pod.name_any());
        };
        Ok(Self { service: service.name_any(), balanced: balanced(service), namespace, port, pod })
    }

    /// A client that the API server lets in.
    pub fn client(&self, cluster: &Cluster) -> Gateway {
        let way =
            Way::Forwarded { cluster: cluster.clone(), pod: Box::new(self.pod.clone()), port: self.port };
        let inside = || format!("http://{}.{}", self.service, self.namespace);
        Gateway::new(self.balanced.clone().unwrap_or_else(inside), way)
    }
}

fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The pod's port behind the Service's port 80, if the Service selects the pod.
fn target(service: &Service, pod: &Pod) -> Option<u16> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    let none = BTreeMap::new();
    let labels = pod.metadata.labels.as_ref().unwrap_or(&none);
    if !selector.iter().all(|(name, value)| labels.get(name) == Some(value)) {
        return None;
    }
    let port = spec.ports.iter().flatten().find(|port| port.port == PORT)?;
    u16::try_from(number(port, pod)?).ok()
}

fn number(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let containers = pod.spec.iter().flat_map(|spec| spec.containers.iter());
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            ports.find(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port)
        }
    }
}

fn balanced(service: &Service) -> Option<String> {
    let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?;
    let host = ingress.ip.as_ref().or(ingress.hostname.as_ref())?;
    Some(if host.contains(':') { format!("http://[{host}]") } else { format!("http://{host}") })
}

impl Gateway {
    fn new(url: String, way: Way) -> Self {
        Self { url, way, idle: Mutex::default() }
    }

    /// A client for a gateway that can be reached from here, at `http://HOST[:PORT]`.
    pub fn at(url: &str) -> Self {
        let host = url.trim_start_matches("http://");
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { host.to_owned() } else { format!("{host}:80") };
        Self::new(url.to_owned(), Way::Straight(address))
    }

    /// GET of a path.
    ///
    /// # Errors
    /// When the gateway can't be reached or doesn't answer within 10 s. Any status is an answer.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        let reply = tokio::time::timeout(TIMEOUT, self.exchange(path)).await;
        reply
            .with_context(|| format!("no answer within {} s", TIMEOUT.as_secs()))
            .flatten()
            .with_context(|| format!("GET {}{path}", self.url))
    }

    async fn exchange(&self, path: &str) -> Result<Reply> {
        let idle = self.idle.lock().await.pop().filter(|sender| !sender.is_closed());
        let mut sender = match idle {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let host = self.url.trim_start_matches("http://");
        let request = http::Request::get(path).header("host", host).body(Empty::<Bytes>::new())?;
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.context("the body broke off")?.to_bytes();
        self.idle.lock().await.push(sender);
        Ok(Reply { status, text: String::from_utf8_lossy(&body).into_owned() })
    }

    async fn connect(&self) -> Result<Sender> {
        match &self.way {
            Way::Forwarded { cluster, pod, port } => cluster.dial(pod, *port).await,
            Way::Straight(address) => {
                let stream =
                    TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
                stream.set_nodelay(true)?;
                let (sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                Ok(sender)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: Value) -> Result<Service> {
        Ok(serde_json::from_value(json!({ "metadata": { "name": "gateway" }, "spec": spec }))?)
    }

    #[test]
    fn the_pods_port_is_the_one_behind_port_80() -> Result<()> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "labels": { "istio": "ingressgateway", "a": "b" } },
            "spec": { "containers": [{ "name": "x", "ports": [{ "name": "web", "containerPort": 8081 }] }] },
        }))?;
        let selector = json!({ "istio": "ingressgateway" });
        let cases = [
            (
                json!({ "selector": selector, "ports": [{ "port": 443 }, { "port": 80, "targetPort": 8080 }] }),
                Some(8080),
            ),
            (json!({ "selector": selector, "ports": [{ "port": 80, "targetPort": "web" }] }), Some(8081)),
            (json!({ "selector": selector, "ports": [{ "port": 80 }] }), Some(80)),
            (json!({ "selector": selector, "ports": [{ "port": 443 }] }), None),
            (json!({ "selector": { "a": "c" }, "ports": [{ "port": 80 }] }), None),
            (json!({ "ports": [{ "port": 80 }] }), None),
        ];
        for (spec, wanted) in cases {
            assert_eq!(target(&service(spec.clone())?, &pod), wanted, "{spec}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn answers_are_read_and_connections_used_again() -> Result<()> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let gateway = Gateway::at(&format!("http://{}", listener.local_addr()?));
        tokio::spawn(async move {
            // One connection is accepted, so a second one would never be answered.
            let (mut stream, _) = listener.accept().await?;
            let mut buffer = [0; 1024];
            while stream.read(&mut buffer).await? > 0 {
                stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno").await?;
            }
            anyhow::Ok(())
        });
        for _ in 0..2 {
            let reply = gateway.get("/inventory").await?;
            assert_eq!((reply.status, reply.text.as_str()), (404, "no"));
        }
        Ok(())
    }
}
