//! Client configurations: sidecar to sidecar, and proxy to control plane.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::EndEntityCert;

use super::provider::{algorithms, provider};
use super::verify::{Usage, verify};
use crate::{Identity, PkiError};

/// Which names the server's certificate must have one of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PeerNames {
    /// Any certificate of a trusted root.
    #[default]
    Any,
    /// One of these, exactly, as a URI (a SPIFFE id) or DNS name.
    OneOf(Arc<[String]>),
    /// The DNS name or address that is being connected to.
    ServerName,
}

/// Mutual TLS to a peer: presents the identity's certificate when asked, verifies the peer's against the identity's roots
/// and `peers`. `alpn` is offered in this order.
pub fn client_config(
    identity: Arc<Identity>,
    peers: PeerNames,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, PkiError> {
    client_config_with_versions(identity, peers, alpn, rustls::DEFAULT_VERSIONS)
}

/// The same, for these versions of TLS only.
pub fn client_config_with_versions(
    identity: Arc<Identity>,
    peers: PeerNames,
    alpn: &[&[u8]],
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ClientConfig>, PkiError> {
    let verifier = Arc::new(Verifier { identity: identity.clone(), peers });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(|e| PkiError::crypto("configuring TLS", e))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(Present(identity)));
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// TLS to the control plane: HTTP/2, the server known by its DNS name, our certificate presented when we have one.
pub fn control_plane_client_config(identity: Arc<Identity>) -> Result<Arc<ClientConfig>, PkiError> {
    client_config(identity, PeerNames::ServerName, &[b"h2"])
}

/// A name for SNI. Istio's have underscores and empty-looking labels (`outbound_.9080_._.reviews...`).
pub fn sni(name: &str) -> Result<ServerName<'static>, PkiError> {
    ServerName::try_from(name.to_owned())
        .map_err(|e| PkiError::crypto("reading the server name", format!("{name:?}: {e}")))
}

struct Verifier {
    identity: Arc<Identity>,
    peers: PeerNames,
}

impl Verifier {
    fn check_names(&self, cert: &EndEntityCert<'_>, server_name: &ServerName<'_>) -> Result<(), Error> {
        match &self.peers {
            PeerNames::Any => Ok(()),
            PeerNames::ServerName => cert
                .verify_is_valid_for_subject_name(server_name)
                .map_err(|_| CertificateError::NotValidForName.into()),
            PeerNames::OneOf(allowed) => {
                let mut names = cert.valid_uri_names().chain(cert.valid_dns_names());
                if names.any(|name| allowed.iter().any(|one| one == name)) {
                    return Ok(());
                }
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let bundle = self.identity.bundle();
        let cert = verify(&bundle, end_entity, intermediates, Usage::Server, now)?;
        self.check_names(&cert, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("peers", &self.peers).finish_non_exhaustive()
    }
}

/// Presents whatever certificate the identity has at the moment. An ended one is kept back: where a token is an
/// alternative, it would only stand in the way.
#[derive(Debug)]
struct Present(Arc<Identity>);

impl Present {
    fn cert(&self) -> Option<Arc<CertifiedKey>> {
        self.0.cert().filter(|cert| !cert.is_expired(SystemTime::now())).map(|cert| cert.certified().clone())
    }
}

impl ResolvesClientCert for Present {
    fn resolve(&self, _root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.cert()
    }

    fn has_certs(&self) -> bool {
        self.cert().is_some()
    }
}
