//! Asks a webhook whether it is there, over TLS and with the certificate that the API server will expect.

use std::{sync::Arc, time::Duration};

use http_body_util::Empty;
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

const TIMEOUT: Duration = Duration::from_secs(3);

/// Why the webhook can't be used yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("the root certificate can't be used: {0}")]
    Roots(String),
    #[error("no connection to {address}: {problem}")]
    Connect { address: String, problem: String },
    #[error("{host} does not show a certificate of the expected root: {problem}")]
    Certificate { host: String, problem: String },
    #[error("{host} does not speak HTTP: {problem}")]
    Http { host: String, problem: String },
    #[error("{host} answers {status} where the webhook should be")]
    Status { host: String, status: StatusCode },
    #[error("no answer from {host} within {} seconds", TIMEOUT.as_secs())]
    Silent { host: String },
}

/// Succeeds when the webhook answers at `address` (`ip:port`) with a certificate for `host` that is signed by `roots`.
pub(crate) async fn probe(address: &str, host: &str, roots: &[u8]) -> Result<(), ProbeError> {
    let attempt = tokio::time::timeout(TIMEOUT, attempt(address, host, roots));
    attempt.await.map_err(|_| ProbeError::Silent { host: host.to_owned() })?
}

async fn attempt(address: &str, host: &str, roots: &[u8]) -> Result<(), ProbeError> {
    let status = get(connect(address, host, roots).await?, host)
        .await
        .map_err(|error| ProbeError::Http { host: host.to_owned(), problem: error.to_string() })?;
    // Reviews are posted, so this is refused - by the webhook, which therefore is there. Nothing is counted as a review.
    match status {
        StatusCode::METHOD_NOT_ALLOWED => Ok(()),
        status => Err(ProbeError::Status { host: host.to_owned(), status }),
    }
}

/// A TLS connection to `address`, which must show a certificate for `host` that is signed by `roots`.
pub(crate) async fn connect(
    address: &str,
    host: &str,
    roots: &[u8],
) -> Result<TlsStream<TcpStream>, ProbeError> {
    let config = tls(roots)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| ProbeError::Roots(error.to_string()))?;
    let connection = TcpStream::connect(address)
        .await
        .map_err(|error| ProbeError::Connect { address: address.to_owned(), problem: error.to_string() })?;
    let wrong = |problem: std::io::Error| ProbeError::Certificate {
        host: host.to_owned(),
        problem: problem.to_string(),
    };
    TlsConnector::from(config).connect(name, connection).await.map_err(wrong)
}

fn tls(pem: &[u8]) -> Result<Arc<ClientConfig>, ProbeError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| ProbeError::Roots(error.to_string()))?;
        roots.add(certificate).map_err(|error| ProbeError::Roots(error.to_string()))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ProbeError::Roots(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn get<S>(stream: S, host: &str) -> Result<StatusCode, hyper::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = hyper::Uri::from_static("/validate");
    if let Ok(host) = host.parse() {
        request.headers_mut().insert(hyper::header::HOST, host);
    }
    let response = sender.send_request(request).await;
    driver.abort();
    response.map(|response| response.status())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, routing::post};
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    const HOST: &str = "istiod.istio-system.svc";

    /// A CA, and a webhook with a certificate of it for `host`. Returns the CA's certificate and the webhook's address.
    async fn serve(host: &str, app: Router) -> (String, String) {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let service = hyper_util::service::TowerToHyperService::new(app.clone());
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        (issuer.pem(), address)
    }

    fn webhook() -> Router {
        Router::new().route("/validate", post(async || ""))
    }

    #[tokio::test]
    async fn a_webhook_with_its_own_certificate_answers() {
        let (roots, address) = serve(HOST, webhook()).await;
        probe(&address, HOST, roots.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn anything_else_is_told_apart() {
        let (roots, address) = serve(HOST, webhook()).await;
        let (other_roots, other_host) = serve("other.svc", webhook()).await;
        let (empty_roots, empty) = serve(HOST, Router::new()).await;
        let cases = [
            (address.as_str(), other_roots.as_str(), "does not show a certificate of the expected root"),
            (other_host.as_str(), other_roots.as_str(), "does not show a certificate of the expected root"),
            (empty.as_str(), empty_roots.as_str(), "answers 404 Not Found where the webhook should be"),
            ("127.0.0.1:1", roots.as_str(), "no connection to 127.0.0.1:1"),
            (
                address.as_str(),
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "root certificate",
            ),
        ];
        for (address, roots, expected) in cases {
            let error = probe(address, HOST, roots.as_bytes()).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
