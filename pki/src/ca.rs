//! The certificate authority: a self-signed root or a plug-in intermediate, and what it signs.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::bundle::{certificates, pem_block};
use crate::csr::{VerifiedCsr, san_of};
use crate::workload::instant;
use crate::{PkiError, SpiffeId, TrustBundle, WorkloadCert, new_csr, tls};

/// Istio's default for workload certificates.
pub const DEFAULT_WORKLOAD_TTL: Duration = Duration::from_hours(24);
/// Istio's longest workload certificate.
pub const MAX_WORKLOAD_TTL: Duration = Duration::from_hours(90 * 24);
/// How long a self-signed root lives.
pub const ROOT_TTL: Duration = Duration::from_hours(10 * 365 * 24);
/// Clocks of nodes differ; istiod dates certificates back by as much.
const CLOCK_SKEW: Duration = Duration::from_mins(2);

/// The PEM texts that make up a CA, as in the Secrets `cacerts` and `istio-ca-secret`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CaFiles {
    /// `root-cert.pem`: the roots that workloads trust.
    pub root_cert: String,
    /// `ca-cert.pem`: the signing certificate.
    pub ca_cert: String,
    /// `ca-key.pem`: its private key.
    pub ca_key: String,
    /// `cert-chain.pem`: from the signing certificate up to below the root; empty for a root.
    pub cert_chain: String,
}

/// Signs workload certificates.
#[derive(Debug)]
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// What follows a leaf so that the root verifies it; empty when the root itself signs.
    intermediates: Vec<CertificateDer<'static>>,
    bundle: TrustBundle,
    not_after: SystemTime,
}

impl Ca {
    /// A new P-256 root of ten years, together with the files to keep it.
    pub fn self_signed(organization: &str, now: SystemTime) -> Result<(Self, CaFiles), PkiError> {
        let key = KeyPair::generate().map_err(|e| PkiError::crypto("generating the root key", e))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(random_serial()?);
        params.not_before = OffsetDateTime::from(now - CLOCK_SKEW);
        params.not_after = OffsetDateTime::from(now + ROOT_TTL);
        let cert = params.self_signed(&key).map_err(|e| PkiError::crypto("signing the root", e))?;
        let pem = pem_block("CERTIFICATE", cert.der());
        let files = CaFiles {
            root_cert: pem.clone(),
            ca_cert: pem,
            ca_key: key.serialize_pem(),
            cert_chain: String::new(),
        };
        Ok((Self::load(&files, now)?, files))
    }

    /// Loads a CA and proves, by signing and verifying a throw-away certificate, that its files belong together.
    pub fn load(files: &CaFiles, now: SystemTime) -> Result<Self, PkiError> {
        let bundle = TrustBundle::from_pem(files.root_cert.as_bytes())?;
        let signing = certificates("ca-cert.pem", files.ca_cert.as_bytes())?.swap_remove(0);
        let key = PrivateKeyDer::from_pem_slice(files.ca_key.as_bytes())
            .map_err(|e| PkiError::Key { what: "ca-key.pem", problem: e.to_string() })?;
        let key = KeyPair::try_from(&key)
            .map_err(|e| PkiError::Key { what: "ca-key.pem", problem: e.to_string() })?;
        let issuer =
            Issuer::from_ca_cert_der(&signing, key).map_err(|e| PkiError::certificate("ca-cert.pem", e))?;
        let not_after = check_ca_certificate(&signing)?;
        let intermediates = intermediates(signing.clone(), &files.cert_chain, &bundle)?;
        let ca = Self { issuer, certificate: signing, intermediates, bundle, not_after };
        ca.prove(now)?;
        Ok(ca)
    }

    /// The roots that workloads must trust.
    pub fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// Whether both sign with the same certificate and trust the same roots.
    pub fn is_same(&self, other: &Self) -> bool {
        self.certificate == other.certificate
            && self.intermediates == other.intermediates
            && self.bundle == other.bundle
    }

    /// When the signing certificate ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Signs a CSR for the authenticated caller, for `ttl` (none means the default). Returns PEM blocks, leaf first, roots
    /// last, as agents expect them. Refuses a CSR that asks for any other name than the caller's.
    pub fn sign(
        &self,
        csr: &str,
        caller: &SpiffeId,
        ttl: Option<Duration>,
        now: SystemTime,
    ) -> Result<Vec<String>, PkiError> {
        let ttl = ttl.unwrap_or(DEFAULT_WORKLOAD_TTL);
        if ttl > MAX_WORKLOAD_TTL {
            return Err(PkiError::TtlTooLong { asked: ttl.as_secs(), limit: MAX_WORKLOAD_TTL.as_secs() });
        }
        let csr = VerifiedCsr::from_pem(csr)?;
        csr.names.check(caller)?;
        let params = self.leaf(vec![san_of(caller)?], ttl, now)?;
        let cert = params
            .signed_by(&csr.request.public_key, &self.issuer)
            .map_err(|e| PkiError::crypto("signing a certificate", e))?;
        let der = std::iter::once(cert.der()).chain(&self.intermediates).chain(self.bundle.roots());
        Ok(der.map(|cert| pem_block("CERTIFICATE", cert)).collect())
    }

    /// A certificate of this CA for a server of our own: DNS names, key made here.
    pub fn issue_server(
        &self,
        dns_names: &[String],
        ttl: Duration,
        now: SystemTime,
    ) -> Result<WorkloadCert, PkiError> {
        let names = dns_names.iter().map(|name| {
            let name = name.as_str().try_into().map_err(|e| PkiError::crypto("writing a DNS name", e))?;
            Ok(SanType::DnsName(name))
        });
        let params = self.leaf(names.collect::<Result<_, PkiError>>()?, ttl, now)?;
        let key = KeyPair::generate().map_err(|e| PkiError::crypto("generating a key", e))?;
        let cert =
            params.signed_by(&key, &self.issuer).map_err(|e| PkiError::crypto("signing a certificate", e))?;
        let chain: String = std::iter::once(cert.der())
            .chain(&self.intermediates)
            .map(|c| pem_block("CERTIFICATE", c))
            .collect();
        WorkloadCert::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes(), now)
    }

    /// A certificate for a workload whose key is made here: for tests and for processes that hold the CA themselves.
    pub fn issue_workload(
        &self,
        id: &SpiffeId,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<WorkloadCert, PkiError> {
        let (key, csr) = new_csr(id)?;
        let chain = self.sign(&csr, id, Some(ttl), now)?.concat();
        WorkloadCert::from_pem(chain.as_bytes(), key.to_pem().as_bytes(), now)
    }

    fn leaf(
        &self,
        names: Vec<SanType>,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<CertificateParams, PkiError> {
        if now >= self.not_after {
            return Err(PkiError::CaExpired(OffsetDateTime::from(self.not_after).to_string()));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(random_serial()?);
        params.not_before = OffsetDateTime::from(now - CLOCK_SKEW);
        params.not_after = OffsetDateTime::from((now + ttl).min(self.not_after));
        Ok(params)
    }

    fn prove(&self, now: SystemTime) -> Result<(), PkiError> {
        let probe = self.issue_server(&["probe.invalid".into()], Duration::from_mins(1), now)?;
        let (leaf, above) = probe
            .chain()
            .split_first()
            .ok_or(PkiError::Missing { what: "ca-cert.pem", wanted: "certificate" })?;
        tls::verify_chain(&self.bundle, leaf, above, now).map_err(|e| PkiError::Mismatch(e.to_string()))
    }
}

/// Checks that a certificate may sign others, and returns its end.
fn check_ca_certificate(cert: &CertificateDer<'_>) -> Result<SystemTime, PkiError> {
    let (_, parsed) = X509Certificate::from_der(cert).map_err(|e| PkiError::certificate("ca-cert.pem", e))?;
    if !parsed.is_ca() {
        return Err(PkiError::certificate(
            "ca-cert.pem",
            "it is not a CA certificate (basicConstraints CA:TRUE is missing)",
        ));
    }
    Ok(instant(parsed.validity().not_after))
}

/// The signing certificate and its chain without roots: what must travel with each leaf.
fn intermediates(
    signing: CertificateDer<'static>,
    chain_pem: &str,
    bundle: &TrustBundle,
) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let mut all = vec![signing];
    if !chain_pem.trim().is_empty() {
        for cert in certificates("cert-chain.pem", chain_pem.as_bytes())? {
            if !all.contains(&cert) {
                all.push(cert);
            }
        }
    }
    all.retain(|cert| !bundle.roots().contains(cert));
    Ok(all)
}

fn random_serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|e| PkiError::crypto("reading randomness", e))?;
    // Positive and never zero in front, so that it stays 16 bytes in DER.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

impl std::fmt::Debug for CaFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaFiles")
            .field("root_cert", &self.root_cert)
            .field("ca_cert", &self.ca_cert)
            .finish_non_exhaustive()
    }
}
