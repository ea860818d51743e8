//! Verification of a peer's chain against the current trust bundle, and the SPIFFE id in its leaf.

use std::time::{Duration, SystemTime};

use rustls::{CertificateError, Error};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, RevocationOptionsBuilder};

use super::provider::algorithms;
use crate::{SpiffeId, TrustBundle};

/// Intermediates that a peer may send; real chains have one or two.
const MAX_INTERMEDIATES: usize = 10;

/// The peer's SPIFFE id, from the certificates of a finished handshake (`connection.peer_certificates()`).
pub fn peer_id(certificates: Option<&[CertificateDer<'_>]>) -> Option<SpiffeId> {
    spiffe_id(certificates?.first()?)
}

/// The SPIFFE id of a certificate: its only URI name. More than one makes it not an SVID, by the SPIFFE specification.
pub fn spiffe_id(leaf: &CertificateDer<'_>) -> Option<SpiffeId> {
    let cert = EndEntityCert::try_from(leaf).ok()?;
    let mut names = cert.valid_uri_names();
    match (names.next(), names.next()) {
        (Some(only), None) => only.parse().ok(),
        _ => None,
    }
}

#[derive(Clone, Copy)]
pub(super) enum Usage {
    Server,
    Client,
}

/// Parses and verifies the leaf; the caller then looks at its names.
pub(super) fn verify<'c>(
    bundle: &TrustBundle,
    leaf: &'c CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    usage: Usage,
    now: UnixTime,
) -> Result<EndEntityCert<'c>, Error> {
    if bundle.is_empty() {
        return Err(Error::General("no trusted root yet; waiting for the trust bundle".into()));
    }
    if intermediates.len() > MAX_INTERMEDIATES {
        return Err(CertificateError::UnknownIssuer.into());
    }
    let cert = EndEntityCert::try_from(leaf).map_err(certificate_error)?;
    let usage = match usage {
        Usage::Server => KeyUsage::server_auth(),
        Usage::Client => KeyUsage::client_auth(),
    };
    let lists: Vec<_> = bundle.revoked().iter().map(|list| &**list).collect();
    // Without a list nothing is looked up; with one, every certificate of the chain must be on record as good.
    let revocation = RevocationOptionsBuilder::new(&lists).ok().map(RevocationOptionsBuilder::build);
    cert.verify_for_usage(algorithms().all, bundle.anchors(), intermediates, now, usage, revocation, None)
        .map_err(certificate_error)?;
    Ok(cert)
}

/// Verifies a server chain outside of a handshake.
pub(crate) fn verify_chain(
    bundle: &TrustBundle,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: SystemTime,
) -> Result<(), Error> {
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    verify(bundle, leaf, intermediates, Usage::Server, UnixTime::since_unix_epoch(since_epoch)).map(drop)
}

/// Gives rustls the alerts that peers and operators recognise.
fn certificate_error(error: webpki::Error) -> Error {
    match error {
        webpki::Error::BadDer | webpki::Error::TrailingData(_) => CertificateError::BadEncoding.into(),
        webpki::Error::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }.into()
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }.into()
        }
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer.into(),
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature.into(),
        webpki::Error::CertRevoked => CertificateError::Revoked.into(),
        webpki::Error::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus.into(),
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose.into(),
        other => CertificateError::Other(rustls::OtherError(std::sync::Arc::new(other))).into(),
    }
}
