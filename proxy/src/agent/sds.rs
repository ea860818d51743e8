//! Secret discovery: both ways in which Envoy asks, state of the world and delta.
//!
//! A stream waits until a secret that it asks for is there, and gets it again when it has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use envoy_types::pb::envoy::service::discovery::v3 as pb;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};
use xds::names::type_url::SECRET;

use crate::identity::{FileSecrets, Secrets};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service.
#[derive(Debug, Clone)]
pub struct Sds {
    secrets: Arc<Secrets>,
}

impl Sds {
    /// Serves what is in `secrets`.
    pub fn new(secrets: Arc<Secrets>) -> Self {
        Self { secrets }
    }

    /// As a gRPC service.
    pub fn into_service(self) -> SecretDiscoveryServiceServer<Self> {
        SecretDiscoveryServiceServer::new(self)
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for Sds {
    type StreamSecretsStream = Answers<pb::DiscoveryResponse>;
    type DeltaSecretsStream = Answers<pb::DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<pb::DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        Ok(Response::new(talk(self.secrets.clone(), request.into_inner(), StateOfTheWorld)))
    }

    async fn delta_secrets(
        &self,
        request: Request<Streaming<pb::DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Ok(Response::new(talk(self.secrets.clone(), request.into_inner(), Delta)))
    }

    async fn fetch_secrets(
        &self,
        _request: Request<pb::DiscoveryRequest>,
    ) -> Result<Response<pb::DiscoveryResponse>, Status> {
        Err(Status::unimplemented("fetching once is not supported; open a stream"))
    }
}

/// What differs between the two protocols.
trait Dialect: Send + 'static {
    type Request: Send + 'static;
    type Answer: Send + 'static;

    /// The names asked for after this request, and what it says went wrong.
    fn read(&self, request: Self::Request, names: &mut BTreeSet<String>) -> Option<String>;
    /// An answer with these resources.
    fn answer(&self, resources: Vec<(String, Vec<u8>)>, version: String, nonce: String) -> Self::Answer;
}

struct StateOfTheWorld;

impl Dialect for StateOfTheWorld {
    type Request = pb::DiscoveryRequest;
    type Answer = pb::DiscoveryResponse;

    fn read(&self, request: pb::DiscoveryRequest, names: &mut BTreeSet<String>) -> Option<String> {
        *names = request.resource_names.into_iter().collect();
        request.error_detail.map(|error| error.message)
    }

    fn answer(
        &self,
        resources: Vec<(String, Vec<u8>)>,
        version: String,
        nonce: String,
    ) -> pb::DiscoveryResponse {
        pb::DiscoveryResponse {
            version_info: version,
            resources: resources
                .into_iter()
                .map(|(_, value)| Any { type_url: SECRET.to_owned(), value })
                .collect(),
            type_url: SECRET.to_owned(),
            nonce,
            ..pb::DiscoveryResponse::default()
        }
    }
}

struct Delta;

impl Dialect for Delta {
    type Request = pb::DeltaDiscoveryRequest;
    type Answer = pb::DeltaDiscoveryResponse;

    fn read(&self, request: pb::DeltaDiscoveryRequest, names: &mut BTreeSet<String>) -> Option<String> {
        names.extend(request.resource_names_subscribe);
        for name in &request.resource_names_unsubscribe {
            names.remove(name);
        }
        request.error_detail.map(|error| error.message)
    }

    fn answer(
        &self,
        resources: Vec<(String, Vec<u8>)>,
        version: String,
        nonce: String,
    ) -> pb::DeltaDiscoveryResponse {
        let resource = |(name, value)| pb::Resource {
            name,
            version: version.clone(),
            resource: Some(Any { type_url: SECRET.to_owned(), value }),
            ..pb::Resource::default()
        };
        pb::DeltaDiscoveryResponse {
            system_version_info: version.clone(),
            resources: resources.into_iter().map(resource).collect(),
            type_url: SECRET.to_owned(),
            nonce,
            ..pb::DeltaDiscoveryResponse::default()
        }
    }
}

fn talk<D: Dialect>(
    secrets: Arc<Secrets>,
    mut requests: Streaming<D::Request>,
    dialect: D,
) -> Answers<D::Answer> {
    let (answers, queue) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut changes = secrets.watch();
        let mut names = BTreeSet::new();
        let mut sent: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut files = FileSecrets::default();
        let mut nonce = 0_u64;
        loop {
            let due = files.next_refresh();
            let refresh = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                request = requests.next() => match request {
                    Some(Ok(request)) => {
                        if let Some(problem) = dialect.read(request, &mut names) {
                            tracing::warn!("Envoy refused a secret: {problem}");
                        }
                        sent.retain(|name, _| names.contains(name));
                        files.follow(&names);
                    }
                    Some(Err(_)) | None => return,
                },
                changed = changes.changed() => if changed.is_err() { return },
                () = refresh => {}
            }
            files.refresh(&secrets, Instant::now());
            let fresh = fresh(&secrets, &names, &sent);
            if fresh.is_empty() {
                continue;
            }
            nonce += 1;
            sent.extend(fresh.iter().cloned());
            let answer = dialect.answer(fresh, nonce.to_string(), nonce.to_string());
            if answers.send(Ok(answer)).await.is_err() {
                return;
            }
        }
    });
    Box::pin(ReceiverStream::new(queue))
}

/// The wanted secrets that are there and were not sent as they are.
fn fresh(
    secrets: &Secrets,
    names: &BTreeSet<String>,
    sent: &BTreeMap<String, Vec<u8>>,
) -> Vec<(String, Vec<u8>)> {
    let encoded =
        names.iter().filter_map(|name| Some((name.clone(), secret(secrets, name)?.encode_to_vec())));
    encoded.filter(|(name, bytes)| sent.get(name) != Some(bytes)).collect()
}

fn secret(secrets: &Secrets, name: &str) -> Option<tls::Secret> {
    let inline = |text: String| {
        Some(core::DataSource {
            specifier: Some(core::data_source::Specifier::InlineBytes(text.into_bytes())),
            ..core::DataSource::default()
        })
    };
    let kind = if let Some(cert) = secrets.certificate(name) {
        tls::secret::Type::TlsCertificate(tls::TlsCertificate {
            certificate_chain: inline(cert.chain_pem()),
            private_key: inline(cert.key_pem()),
            ..tls::TlsCertificate::default()
        })
    } else {
        let roots = secrets.roots(name)?;
        tls::secret::Type::ValidationContext(tls::CertificateValidationContext {
            trusted_ca: inline(roots.to_pem()),
            ..tls::CertificateValidationContext::default()
        })
    };
    Some(tls::Secret { name: name.to_owned(), r#type: Some(kind) })
}
