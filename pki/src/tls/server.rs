//! Server configurations: a sidecar's inbound side, a gateway, the control plane.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::provider::{algorithms, provider};
use super::verify::{Usage, verify};
use crate::{Identity, PkiError};

/// Whether the client must show a certificate of a trusted root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// It must: mutual TLS.
    Required,
    /// It may; one that is shown must be good.
    Optional,
    /// It is not asked.
    None,
}

/// Presents the identity's certificate and verifies the client's against the identity's roots.
/// With `alpn` empty, nothing is negotiated and no client is refused for what it offers.
pub fn server_config(
    identity: Arc<Identity>,
    clients: ClientAuth,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, PkiError> {
    server_config_with_versions(identity, clients, alpn, rustls::DEFAULT_VERSIONS, provider())
}

/// The same, for these versions of TLS only and with this cryptography.
pub fn server_config_with_versions(
    identity: Arc<Identity>,
    clients: ClientAuth,
    alpn: &[&[u8]],
    versions: &[&'static SupportedProtocolVersion],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<ServerConfig>, PkiError> {
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|e| PkiError::crypto("configuring TLS", e))?;
    let builder = match clients {
        ClientAuth::None => builder.with_no_client_auth(),
        _ => {
            let mandatory = clients == ClientAuth::Required;
            builder.with_client_cert_verifier(Arc::new(Verifier { identity: identity.clone(), mandatory }))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Present(identity)));
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

struct Verifier {
    identity: Arc<Identity>,
    mandatory: bool,
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    // No hints: the roots may rotate between the hint and the client's answer.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bundle = self.identity.bundle();
        verify(&bundle, end_entity, intermediates, Usage::Client, now)?;
        Ok(ClientCertVerified::assertion())
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
        f.debug_struct("Verifier").field("mandatory", &self.mandatory).finish_non_exhaustive()
    }
}

/// Presents whatever certificate the identity has at the moment.
#[derive(Debug)]
struct Present(Arc<Identity>);

impl ResolvesServerCert for Present {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.cert().map(|cert| cert.certified().clone())
    }
}
