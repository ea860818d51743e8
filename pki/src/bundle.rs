//! The roots that peers are verified against.
//!
//! Made from `root-cert.pem`, the last certificates of a CA response, or an xDS validation context.

use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor};
use webpki::{CertRevocationList, OwnedCertRevocationList};

use crate::PkiError;

/// More than any bundle of roots that people use (the web's is 200 KB), and little enough to parse at once.
const MAX_BUNDLE_BYTES: usize = 4 << 20;

/// A set of root certificates, parsed once.
#[derive(Clone, Debug, Default)]
pub struct TrustBundle {
    roots: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    /// Lists of what the roots, and who they trust, have revoked.
    revoked: Vec<Arc<CertRevocationList<'static>>>,
    /// As they were written, to tell two bundles apart.
    revoked_text: Vec<u8>,
}

impl TrustBundle {
    /// Reads all certificates of a PEM text; equal ones count once.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PkiError> {
        Self::from_der(certificates("trust bundle", pem)?)
    }

    /// Takes certificates as they are.
    pub fn from_der(roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<Self, PkiError> {
        let mut bundle = Self::default();
        for root in roots {
            if bundle.roots.contains(&root) {
                continue;
            }
            let anchor = webpki::anchor_from_trusted_cert(&root)
                .map_err(|e| PkiError::certificate("root certificate", e))?;
            bundle.anchors.push(anchor.to_owned());
            bundle.roots.push(root);
        }
        Ok(bundle)
    }

    /// The same roots, with lists of revoked certificates in PEM. From then on nobody is trusted whose issuer has no
    /// list here.
    pub fn with_revoked(mut self, pem: &[u8]) -> Result<Self, PkiError> {
        let what = "list of revoked certificates";
        if pem.len() > MAX_BUNDLE_BYTES {
            return Err(PkiError::TooLarge { what, size: pem.len(), limit: MAX_BUNDLE_BYTES });
        }
        for list in CertificateRevocationListDer::pem_slice_iter(pem) {
            let list = list.map_err(|e| PkiError::Pem { what, problem: e.to_string() })?;
            let list =
                OwnedCertRevocationList::from_der(&list).map_err(|e| PkiError::certificate(what, e))?;
            self.revoked.push(Arc::new(list.into()));
        }
        if self.revoked.is_empty() {
            return Err(PkiError::Missing { what, wanted: "list" });
        }
        self.revoked_text = pem.to_vec();
        Ok(self)
    }

    /// Both bundles' roots.
    pub fn merged(&self, other: &Self) -> Result<Self, PkiError> {
        Self::from_der(self.roots.iter().chain(&other.roots).cloned())
    }

    /// The roots in DER.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// True when nothing can be verified with this.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// All roots as one PEM text.
    pub fn to_pem(&self) -> String {
        self.roots.iter().map(|root| pem_block("CERTIFICATE", root)).collect()
    }

    pub(crate) fn revoked(&self) -> &[Arc<CertRevocationList<'static>>] {
        &self.revoked
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }
}

impl PartialEq for TrustBundle {
    fn eq(&self, other: &Self) -> bool {
        self.roots == other.roots && self.revoked_text == other.revoked_text
    }
}

/// All certificates of a PEM text; an error when there is none.
pub(crate) fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    if pem.len() > MAX_BUNDLE_BYTES {
        return Err(PkiError::TooLarge { what, size: pem.len(), limit: MAX_BUNDLE_BYTES });
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|e| PkiError::Pem { what, problem: e.to_string() })?;
    if found.is_empty() {
        return Err(PkiError::Missing { what, wanted: "certificate" });
    }
    Ok(found)
}

/// One PEM block with lines of 64 characters.
pub(crate) fn pem_block(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
