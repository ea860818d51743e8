//! `AggregatedDiscoveryService`, as an HTTP service: tonic's own would encode every response anew.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use envoy_types::pb::envoy::config::core::v3::ControlPlane;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Request, Response};
use model::Mesh;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tower::Service;

use super::connections::Connections;
use super::framing::{Messages, Requests};
use super::stream::AdsStream;
use crate::auth::{Authenticator, Caller};
use crate::mesh::Views;
use crate::monitor::Metrics;
use crate::serve::Peer;
use crate::source::kubernetes::SecretAccess;

const DELTA: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// What all streams share.
pub(crate) struct Context {
    pub(crate) views: Views,
    pub(crate) mesh: Arc<ArcSwap<Mesh>>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) secrets: SecretAccess,
    pub(crate) connections: Arc<Connections>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stop: CancellationToken,
    /// How long a stream may last, so that proxies spread over replicas; each adds its own jitter.
    pub(crate) max_age: Duration,
    /// From a call to its first request.
    pub(super) first_request: Duration,
    introduction: Vec<u8>,
}

/// What [`Context`] is made of.
pub(crate) struct Parts {
    pub(crate) views: Views,
    pub(crate) mesh: Arc<ArcSwap<Mesh>>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) secrets: SecretAccess,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stop: CancellationToken,
    /// From a call to its first request.
    pub(crate) first_request: Duration,
    /// Name of this replica.
    pub(crate) pod_name: String,
}

/// istiod's: half an hour.
const MAX_AGE: Duration = Duration::from_mins(30);

impl Context {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { views, mesh, authenticator, secrets, metrics, stop, first_request, pod_name } = parts;
        let info = serde_json::json!({
            "Component": "istiod", "ID": pod_name, "Info": { "version": env!("CARGO_PKG_VERSION") },
        });
        let introduction = ControlPlane { identifier: info.to_string() }.encode_to_vec();
        let connections = Arc::new(Connections::default());
        Arc::new(Self {
            views,
            mesh,
            authenticator,
            secrets,
            connections,
            metrics,
            stop,
            max_age: MAX_AGE,
            first_request,
            introduction,
        })
    }

    /// Who this control plane is, encoded.
    pub(super) fn introduction(&self) -> &[u8] {
        &self.introduction
    }

    /// The caller, where the connection says who it is. Plaintext says nothing: it is loopback, or was opened on purpose.
    async fn caller(&self, peer: &Peer, headers: HeaderMap) -> Result<Option<Caller>, Status> {
        if !peer.encrypted {
            return Ok(None);
        }
        let mesh = self.mesh.load_full();
        let metadata = MetadataMap::from_headers(headers);
        match self.authenticator.caller(peer, &metadata, mesh.trust_domain()).await {
            Ok(caller) => Ok(Some(caller)),
            Err(error) => {
                tracing::warn!(address = %peer.address, %error, "discovery refused");
                Err(error.into())
            }
        }
    }
}

/// The service; clones share everything.
#[derive(Clone)]
pub(crate) struct AdsService(pub(crate) Arc<Context>);

impl AdsService {
    /// Whether a call of this path lasts as long as its proxy.
    pub(crate) fn streams(path: &str) -> bool {
        path == DELTA
    }
}

impl NamedService for AdsService {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl Service<Request<Body>> for AdsService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let context = self.0.clone();
        Box::pin(async move { Ok(answer(context, request).await.unwrap_or_else(Status::into_http)) })
    }
}

async fn answer(context: Arc<Context>, request: Request<Body>) -> Result<Response<Body>, Status> {
    if request.uri().path() != DELTA {
        return Err(Status::unimplemented("only delta discovery is served; set api_type: DELTA_GRPC"));
    }
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().cloned().ok_or_else(|| {
        context.metrics.internal_errors.inc();
        Status::internal("the connection's peer is unknown")
    })?;
    let caller = context.caller(&peer, parts.headers).await?;
    let stream = AdsStream::new(context, peer, caller, Requests::new(axum::body::Body::new(body)));
    let mut response = Response::new(Body::new(Messages::new(Box::pin(stream.into_pushes()))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}
