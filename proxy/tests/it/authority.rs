//! A CA in the test's own process: it signs, refuses, hangs and goes away as the test wants.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use pki::api::{
    IstioCertificateRequest, IstioCertificateResponse, IstioCertificateService, IstioCertificateServiceServer,
};
use pki::tls::{ClientAuth, server_config};
use pki::{Ca, Identity};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status};

/// A test CA's state.
pub(crate) struct Authority {
    pub(crate) ca: Ca,
    /// The token that is accepted.
    pub(crate) token: Mutex<String>,
    /// Requests, by the token they came with.
    pub(crate) requests: Mutex<Vec<String>>,
    /// Validity of certificates, whatever is asked for.
    pub(crate) ttl: Mutex<Duration>,
    /// The identity that is signed for.
    pub(crate) caller: String,
}

struct Service(Arc<Authority>);

#[tonic::async_trait]
impl IstioCertificateService for Service {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let token =
            request.metadata().get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned();
        self.0.requests.lock().push(token.clone());
        if token != format!("Bearer {}", self.0.token.lock()) {
            return Err(Status::unauthenticated("the token is not known"));
        }
        let ttl = *self.0.ttl.lock();
        let caller = self.0.caller.parse().unwrap();
        let chain = self.0.ca.sign(&request.get_ref().csr, &caller, Some(ttl), SystemTime::now());
        let cert_chain = chain.map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

/// A folder with the files that a pod has: token and roots.
pub(crate) struct PodFiles(tempfile::TempDir);

impl PodFiles {
    pub(crate) fn new(token: &str, roots: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        std::fs::write(files.token(), token).unwrap();
        std::fs::write(files.roots(), roots).unwrap();
        files
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn token(&self) -> PathBuf {
        self.0.path().join("token")
    }

    pub(crate) fn roots(&self) -> PathBuf {
        self.0.path().join("root-cert.pem")
    }
}

/// Starts a CA for `spiffe://cluster.local/ns/shop/sa/reviews` whose certificate is for `istiod.istio-system.svc`.
pub(crate) async fn start(ttl: Duration) -> (Arc<Authority>, String, PodFiles) {
    let (ca, files) = Ca::self_signed("cluster.local", SystemTime::now()).unwrap();
    let names = ["istiod.istio-system.svc".to_owned()];
    let cert = ca.issue_server(&names, Duration::from_hours(1), SystemTime::now()).unwrap();
    let identity = Identity::new(cert, ca.bundle().clone());
    let config = server_config(identity, ClientAuth::Optional, &[b"h2"]).unwrap();
    let authority = Arc::new(Authority {
        ca,
        token: Mutex::new("first".into()),
        requests: Mutex::default(),
        ttl: Mutex::new(ttl),
        caller: "spiffe://cluster.local/ns/shop/sa/reviews".into(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = IstioCertificateServiceServer::new(Service(authority.clone()));
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(secured(listener, config)),
    );
    (authority, address, PodFiles::new("first", &files.root_cert))
}

/// Connections after their TLS handshake, as pipes, which the server library knows; failed ones are left out.
pub(crate) fn secured(
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
) -> impl tokio_stream::Stream<Item = std::io::Result<DuplexStream>> {
    let acceptor = TlsAcceptor::from(config);
    tokio_stream::wrappers::TcpListenerStream::new(listener)
        .then(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let mut secured = acceptor.accept(stream?).await?;
                let (ours, mut inner) = tokio::io::duplex(64 << 10);
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut secured, &mut inner).await });
                Ok(ours)
            }
        })
        .filter(Result::is_ok)
}
