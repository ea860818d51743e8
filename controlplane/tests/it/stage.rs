//! A control plane on a folder, and the two kinds of clients it has.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use controlplane::{Options, Patience, Running};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use hyper_util::rt::TokioIo;
use pki::Identity;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use xds::ResourceType;

/// The name under which the control plane's certificate is issued.
pub(crate) const NAME: &str = "istiod.istio-system.svc";

pub(crate) struct Stage {
    pub(crate) running: Running,
    folder: tempfile::TempDir,
}

pub(crate) const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";

pub(crate) fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{clusterIP: 10.96.0.{}, ports: [{{name: http, port: 80, targetPort: 8080}}], selector: {{app: {name}}}}}\n",
        name.len()
    )
}

pub(crate) fn slice(service: &str, address: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n\
         metadata: {{name: {service}-1, namespace: shop, labels: {{kubernetes.io/service-name: {service}}}}}\n\
         ports: [{{name: http, port: 8080, protocol: TCP}}]\n\
         endpoints: [{{addresses: [{address}], conditions: {{ready: true}}}}]\n"
    )
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(Patience::default()).await
    }

    /// A control plane that waits so long for slow peers.
    pub(crate) async fn with(patience: Patience) -> Self {
        Self::start(|options| options.patience = patience).await
    }

    /// A control plane with options of its own.
    pub(crate) async fn start(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        let tokens = folder.path().join("tokens");
        let lines = [
            r#"{"token": "web-token", "identity": "shop/web"}"#,
            r#"{"token": "istiod-token", "identity": "istio-system/istiod"}"#,
            r#"{"token": "other-token", "identity": "bank/teller"}"#,
            r#"{"token": "old-token", "identity": "shop/web", "expires": "2020-01-01T00:00:00Z"}"#,
            r#"{"token": "vault-token", "identity": "shop/web", "audiences": ["vault"]}"#,
        ];
        std::fs::write(&tokens, lines.join("\n")).unwrap();
        for (name, text) in
            [("ns", NAMESPACE.to_owned()), ("a", service("a")), ("a-eps", slice("a", "10.1.0.1"))]
        {
            std::fs::write(folder.path().join("config").join(format!("{name}.yaml")), text).unwrap();
        }
        let mut options = Options {
            token_file: Some(tokens),
            ca_dir: Some(folder.path().join("ca")),
            ..Options::for_folder(folder.path().join("config"))
        };
        change(&mut options);
        let running = controlplane::start(options).await.unwrap();
        running.synced().await;
        Self { running, folder }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("config").join(format!("{name}.yaml"))
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.file(name)).unwrap();
    }

    pub(crate) async fn plaintext(&self) -> Channel {
        let address = format!("http://{}", self.running.addresses.plaintext);
        Endpoint::from_shared(address).unwrap().connect().await.unwrap()
    }

    /// TLS that trusts the control plane's root, with or without a certificate of one's own.
    pub(crate) async fn secure(&self, identity: Option<Arc<Identity>>) -> Channel {
        self.try_secure(identity).await.unwrap()
    }

    pub(crate) async fn try_secure(
        &self,
        identity: Option<Arc<Identity>>,
    ) -> Result<Channel, tonic::transport::Error> {
        let bundle = pki::TrustBundle::from_pem(self.running.root_pem().as_bytes()).unwrap();
        let identity = identity.unwrap_or_else(|| Identity::roots_only(bundle));
        let config = pki::tls::control_plane_client_config(identity).unwrap();
        let mut address = self.running.addresses.secure;
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        let connect = tower::service_fn(move |_| {
            let connector = tokio_rustls::TlsConnector::from(config.clone());
            async move {
                let stream = TcpStream::connect(address).await?;
                let stream = connector.connect(pki::tls::sni(NAME).unwrap(), stream).await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        Endpoint::from_static("http://istiod").connect_with_connector(connect).await
    }
}

/// A proxy's end of a stream, by hand.
pub(crate) struct Proxy {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

pub(crate) fn node(pod: &str, namespace: &str) -> Node {
    let text = |value: &str| Value { kind: Some(Kind::StringValue(value.into())) };
    let fields = [("NAMESPACE", text(namespace)), ("CLUSTER_ID", text("Kubernetes"))];
    Node {
        id: format!("sidecar~10.1.0.9~{pod}.{namespace}~{namespace}.svc.cluster.local"),
        user_agent_name: "trysail".into(),
        metadata: Some(Struct { fields: fields.map(|(key, value)| (key.to_owned(), value)).into() }),
        ..Node::default()
    }
}

/// A gateway that the label `istio: ingress` selects.
pub(crate) fn gateway(pod: &str, namespace: &str) -> Node {
    let mut node = node(pod, namespace);
    node.id = node.id.replacen("sidecar", "router", 1);
    let label = Value { kind: Some(Kind::StringValue("ingress".into())) };
    let labels = Struct { fields: [("istio".to_owned(), label)].into() };
    let labels = Value { kind: Some(Kind::StructValue(labels)) };
    if let Some(metadata) = &mut node.metadata {
        metadata.fields.insert("LABELS".to_owned(), labels);
    }
    node
}

impl Proxy {
    pub(crate) async fn connect(channel: Channel, token: Option<&str>, node: Node) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(16);
        let first = DeltaDiscoveryRequest { node: Some(node), ..ask(ResourceType::Cluster, &[]) };
        requests.send(first).await.unwrap();
        let mut request = Request::new(ReceiverStream::new(receiver));
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let responses =
            // As much as proxies take.
            AggregatedDiscoveryServiceClient::new(channel)
                .max_decoding_message_size(128 << 20)
                .delta_aggregated_resources(request)
                .await?;
        Ok(Self { requests, responses: responses.into_inner() })
    }

    pub(crate) async fn send(&self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    /// The next response, acknowledged.
    pub(crate) async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let response = self.receive().await?;
        let ack = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..DeltaDiscoveryRequest::default()
        };
        self.send(ack).await;
        Ok(response)
    }

    /// The next response, not acknowledged.
    pub(crate) async fn receive(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let message = tokio::time::timeout(Duration::from_secs(10), self.responses.message()).await;
        message.expect("a response should come")?.ok_or_else(|| Status::cancelled("the stream ended"))
    }

    /// Nothing comes for a while.
    pub(crate) async fn is_quiet(&mut self) {
        let message = tokio::time::timeout(Duration::from_millis(300), self.responses.message()).await;
        assert!(message.is_err(), "{message:?}");
    }
}

pub(crate) fn ask(kind: ResourceType, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: kind.url().into(),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

pub(crate) fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    response.resources.iter().map(|resource| resource.name.as_str()).collect()
}
