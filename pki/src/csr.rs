//! Certificate signing requests: made by the proxy, checked by the CA.

use rcgen::{CertificateParams, CertificateSigningRequestParams, DistinguishedName, KeyPair, SanType};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;

use crate::{PkiError, SpiffeId};

/// A CSR of a workload is under 2 KB; an RSA-8192 one with many names stays well below this.
const MAX_CSR_BYTES: usize = 64 << 10;

/// The private key that belongs to a CSR; kept until the certificate arrives.
#[derive(Debug)]
pub struct CsrKey(KeyPair);

impl CsrKey {
    /// The key as PKCS#8 PEM.
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }
}

/// A fresh P-256 key and a CSR (PEM) that asks for one SPIFFE id.
pub fn new_csr(id: &SpiffeId) -> Result<(CsrKey, String), PkiError> {
    let key = KeyPair::generate().map_err(|e| PkiError::crypto("generating a key", e))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![san_of(id)?];
    let request = params.serialize_request(&key).map_err(|e| PkiError::crypto("writing a CSR", e))?;
    let pem = request.pem().map_err(|e| PkiError::crypto("writing a CSR", e))?;
    Ok((CsrKey(key), pem))
}

pub(crate) fn san_of(id: &SpiffeId) -> Result<SanType, PkiError> {
    let uri = id.as_str().try_into().map_err(|e| PkiError::crypto("writing a SPIFFE id", e))?;
    Ok(SanType::URI(uri))
}

/// The names that a CSR asks for, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedNames(pub Vec<String>);

impl RequestedNames {
    /// Fails on the first name that is not the caller's own id. No name at all is fine: the CA fills it in.
    pub(crate) fn check(&self, caller: &SpiffeId) -> Result<(), PkiError> {
        match self.0.iter().find(|name| name.as_str() != caller.as_str()) {
            Some(other) => Err(PkiError::ForeignIdentity { asked: other.clone(), caller: caller.clone() }),
            None => Ok(()),
        }
    }
}

/// A CSR whose signature proves that the sender has the key.
pub(crate) struct VerifiedCsr {
    pub(crate) request: CertificateSigningRequestParams,
    pub(crate) names: RequestedNames,
}

impl VerifiedCsr {
    pub(crate) fn from_pem(pem: &str) -> Result<Self, PkiError> {
        if pem.len() > MAX_CSR_BYTES {
            return Err(PkiError::TooLarge { what: "CSR", size: pem.len(), limit: MAX_CSR_BYTES });
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .map_err(|e| PkiError::Pem { what: "CSR", problem: e.to_string() })?;
        let request =
            CertificateSigningRequestParams::from_der(&der).map_err(|e| PkiError::Csr(e.to_string()))?;
        check_key(&request)?;
        let names = request.params.subject_alt_names.iter().map(text_of).collect();
        Ok(Self { request, names: RequestedNames(names) })
    }
}

/// The curve is not visible in the signature algorithm, so the size of the point must fit it.
fn check_key(request: &CertificateSigningRequestParams) -> Result<(), PkiError> {
    use rcgen::PublicKeyData as _;
    let key = &request.public_key;
    let size = key.der_bytes().len();
    let fits = match key.algorithm() {
        a if a == &rcgen::PKCS_ECDSA_P256_SHA256 => size == 65,
        a if a == &rcgen::PKCS_ECDSA_P384_SHA384 => size == 97,
        a if a == &rcgen::PKCS_ED25519 => size == 32,
        // A 2048 bit modulus with its exponent in DER is 270 bytes.
        a if a == &rcgen::PKCS_RSA_SHA256 || a == &rcgen::PKCS_RSA_SHA384 || a == &rcgen::PKCS_RSA_SHA512 => {
            size >= 270
        }
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(PkiError::Csr(
            "the key must be ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more".into(),
        ))
    }
}

fn text_of(name: &SanType) -> String {
    match name {
        SanType::URI(text) | SanType::DnsName(text) | SanType::Rfc822Name(text) => text.as_str().to_owned(),
        SanType::IpAddress(ip) => ip.to_string(),
        other => format!("{other:?}"),
    }
}
