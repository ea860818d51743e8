//! `AggregatedDiscoveryService`, as an HTTP service: tonic's own is bypassed where it would encode every response anew.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use envoy_types::pb::envoy::config::core::v3::ControlPlane;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use futures::Stream;
use model::Mesh;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tower::Service;

use super::codec::{AdsCodec, Push};
use super::connections::Connections;
use super::stream::AdsStream;
use crate::auth::{Authenticator, Caller};
use crate::mesh::Views;
use crate::monitor::Metrics;
use crate::serve::Peer;
use crate::source::kubernetes::SecretAccess;

const DELTA: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/// A request with the versions of tens of thousands of resources fits.
const MAX_REQUEST: usize = 16 << 20;

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
    /// Name of this replica.
    pub(crate) pod_name: String,
}

/// istiod's: half an hour.
const MAX_AGE: Duration = Duration::from_mins(30);

impl Context {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { views, mesh, authenticator, secrets, metrics, stop, pod_name } = parts;
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
            introduction,
        })
    }

    /// Who this control plane is, encoded.
    pub(super) fn introduction(&self) -> &[u8] {
        &self.introduction
    }

    /// The caller, where the connection says who it is. Plaintext says nothing: it is loopback, or was opened on purpose.
    async fn caller(
        &self,
        peer: &Peer,
        request: &Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Option<Caller>, Status> {
        if !peer.encrypted {
            return Ok(None);
        }
        let mesh = self.mesh.load_full();
        match self.authenticator.caller(peer, request.metadata(), mesh.trust_domain()).await {
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

impl NamedService for AdsService {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Pushes = Pin<Box<dyn Stream<Item = Result<Push, Status>> + Send>>;

impl Service<http::Request<Body>> for AdsService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let delta = request.uri().path() == DELTA;
        let context = self.0.clone();
        Box::pin(async move {
            if !delta {
                let status =
                    Status::unimplemented("only delta discovery is served; set api_type: DELTA_GRPC");
                return Ok(status.into_http());
            }
            let mut grpc = Grpc::new(AdsCodec).max_decoding_message_size(MAX_REQUEST);
            Ok(grpc.streaming(Delta(context), request).await)
        })
    }
}

struct Delta(Arc<Context>);

impl StreamingService<DeltaDiscoveryRequest> for Delta {
    type Response = Push;
    type ResponseStream = Pushes;
    type Future = Boxed<Result<Response<Pushes>, Status>>;

    fn call(&mut self, request: Request<Streaming<DeltaDiscoveryRequest>>) -> Self::Future {
        let context = self.0.clone();
        Box::pin(async move {
            let peer = request.extensions().get::<Peer>().cloned();
            let peer = peer.ok_or_else(|| {
                context.metrics.internal_errors.inc();
                Status::internal("the connection's peer is unknown")
            })?;
            let caller = context.caller(&peer, &request).await?;
            let stream = AdsStream::new(context, peer, caller, request.into_inner());
            Ok(Response::new(Box::pin(stream.into_pushes()) as Pushes))
        })
    }
}
