//! Opens one HTTP connection: where to, in TLS or not, HTTP/1.1 or HTTP/2.

use std::sync::Arc;

use anyhow::Context as _;
use http::{Request, Response, Uri};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::body::Body;

/// How to reach a server, apart from what the URL says.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Connect to this `host:port` instead of the URL's.
    pub connect_to: Option<String>,
    /// Speak HTTP/2 without asking (prior knowledge).
    pub http2: bool,
    /// For `https`: trust only the certificates in this PEM text. Without it, any.
    pub trust: Option<String>,
    /// For `https`: certificates and key, in PEM, for a server that asks for them.
    pub identity: Option<String>,
    /// For `https`: this version of TLS only, `1.2` or `1.3`.
    pub version: Option<String>,
    /// For `https`: this suite of TLS 1.2 only, by its IANA name.
    pub cipher: Option<String>,
    /// For `https`: a protocol to offer by ALPN before HTTP's own.
    pub alpn: Option<String>,
    /// A line to begin each connection with: a PROXY header.
    pub announce: Option<String>,
    /// For `https`: the server name to ask for, instead of the URL's host.
    pub server_name: Option<String>,
}

/// A connection that requests can be sent on.
pub(super) enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// Why a request was not answered, and the request if it never left.
pub(super) struct Unsent {
    pub(super) error: hyper::Error,
    pub(super) never_left: bool,
}

impl Sender {
    pub(super) async fn open(uri: &Uri, route: &Route) -> anyhow::Result<Self> {
        let host = uri.host().context("the URL names no host")?.trim_matches(['[', ']']);
        let tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let mut stream = match &route.connect_to {
            Some(address) => TcpStream::connect(address.as_str()).await,
            None => TcpStream::connect((host, port)).await,
        }
        .context("connect")?;
        stream.set_nodelay(true)?;
        if let Some(line) = &route.announce {
            stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        }
        if !tls {
            return Self::handshake(stream, route.http2).await;
        }
        let name = route.server_name.as_deref().unwrap_or(host).to_owned();
        let stream = TlsConnector::from(Arc::new(config(route)?))
            .connect(ServerName::try_from(name)?, stream)
            .await
            .context("TLS handshake")?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Self::handshake(stream, http2).await
    }

    async fn handshake(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        http2: bool,
    ) -> anyhow::Result<Self> {
        if http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.initial_stream_window_size(1 << 20).initial_connection_window_size(4 << 20);
            let (sender, connection) =
                builder.handshake(TokioIo::new(stream)).await.context("HTTP/2 handshake")?;
            tokio::spawn(connection);
            return Ok(Self::Http2(sender));
        }
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.context("HTTP/1.1 handshake")?;
        tokio::spawn(connection);
        Ok(Self::Http1(sender))
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Whether the connection is still there.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Http1(sender) => !sender.is_closed(),
            Self::Http2(sender) => !sender.is_closed(),
        }
    }

    /// Waits until another request may be sent, which is a moment after an answer's end. False: it never may.
    pub(super) async fn ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
        .is_ok()
    }

    pub(super) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Unsent> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        }
        .map_err(|mut failed| Unsent {
            never_left: failed.take_message().is_some(),
            error: failed.into_error(),
        })
    }
}

fn config(route: &Route) -> anyhow::Result<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    if let Some(name) = &route.cipher {
        provider.cipher_suites.retain(|suite| suite.suite().as_str() == Some(name.as_str()));
    }
    let provider = Arc::new(provider);
    let versions: &[&SupportedProtocolVersion] = match route.version.as_deref() {
        Some("1.2") => &[&TLS12],
        _ if route.cipher.is_some() => &[&TLS12],
        Some("1.3") => &[&TLS13],
        _ => rustls::DEFAULT_VERSIONS,
    };
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions)?;
    let builder = match &route.trust {
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                roots.add(certificate.context("reading the certificates to trust")?)?;
            }
            builder.with_root_certificates(roots)
        }
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))),
    };
    let mut config = match &route.identity {
        Some(pem) => {
            let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).context("reading the key")?;
            builder.with_client_auth_cert(chain.context("reading the certificates")?, key)?
        }
        None => builder.with_no_client_auth(),
    };
    let own = if route.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() };
    config.alpn_protocols = route.alpn.iter().map(|name| name.as_bytes().to_vec()).chain([own]).collect();
    Ok(config)
}

/// Accepts whoever answers, as `curl --insecure` does; signatures must still be right.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
