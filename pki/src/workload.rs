//! A certificate chain with its private key, and when to renew it.

use std::time::{Duration, SystemTime};

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::bundle::{certificates, pem_block};
use crate::{PkiError, SpiffeId, tls};

/// What a workload presents: leaf first, then the intermediates; the root is not part of it.
#[derive(Debug)]
pub struct WorkloadCert {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    certified: std::sync::Arc<CertifiedKey>,
    id: Option<SpiffeId>,
    serial: String,
    obtained: SystemTime,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl WorkloadCert {
    /// Reads a chain (leaf first; self-signed roots at its end are dropped) and its key, both PEM.
    /// Renewal counts from `obtained`, because the CA dates certificates back to allow for skewed clocks.
    pub fn from_pem(chain: &[u8], key: &[u8], obtained: SystemTime) -> Result<Self, PkiError> {
        let mut chain = certificates("certificate chain", chain)?;
        while chain.len() > 1 && chain.last().is_some_and(is_self_issued) {
            chain.pop();
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|e| PkiError::Key { what: "private key", problem: e.to_string() })?;
        Self::new(chain, key, obtained)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        obtained: SystemTime,
    ) -> Result<Self, PkiError> {
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
            .map_err(|e| PkiError::Key { what: "private key", problem: e.to_string() })?;
        let certified = CertifiedKey::new(chain.clone(), signing);
        certified.keys_match().map_err(|e| PkiError::Key { what: "private key", problem: e.to_string() })?;
        let leaf =
            chain.first().ok_or(PkiError::Missing { what: "certificate chain", wanted: "certificate" })?;
        let (_, parsed) =
            X509Certificate::from_der(leaf).map_err(|e| PkiError::certificate("leaf certificate", e))?;
        let (not_before, not_after) =
            (instant(parsed.validity().not_before), instant(parsed.validity().not_after));
        let (id, serial) = (tls::spiffe_id(leaf), parsed.raw_serial_as_string());
        Ok(Self { certified: certified.into(), id, serial, obtained, not_before, not_after, chain, key })
    }

    /// The SPIFFE id in the leaf; certificates of gateways and servers have none.
    pub fn id(&self) -> Option<&SpiffeId> {
        self.id.as_ref()
    }

    /// Leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Serial number of the leaf, hexadecimal with colons.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The chain as PEM, leaf first.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|cert| pem_block("CERTIFICATE", cert)).collect()
    }

    /// The key as PEM.
    pub fn key_pem(&self) -> String {
        let label = match &self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        pem_block(label, self.key.secret_der())
    }

    /// When the leaf begins to be valid.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// When the leaf ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// True when the leaf has ended.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        now >= self.not_after
    }

    /// When to ask for the next certificate: at half of the remaining life when obtained, give or take 1 % of it,
    /// so that a fleet started at once does not renew at once. `random` is uniform in 0..1.
    pub fn renewal_at(&self, random: f64) -> SystemTime {
        let life = self.not_after.duration_since(self.obtained).unwrap_or(Duration::ZERO);
        let share = 0.5 + (random.clamp(0.0, 1.0) * 2.0 - 1.0) * 0.01;
        self.obtained + life.mul_f64(share)
    }

    /// How long to wait from now until [`Self::renewal_at`]; zero when that has passed.
    pub fn until_renewal(&self, now: SystemTime, random: f64) -> Duration {
        self.renewal_at(random).duration_since(now).unwrap_or(Duration::ZERO)
    }

    /// Chain and key as a TLS server presents them.
    pub fn certified(&self) -> &std::sync::Arc<CertifiedKey> {
        &self.certified
    }
}

fn is_self_issued(cert: &CertificateDer<'static>) -> bool {
    X509Certificate::from_der(cert).is_ok_and(|(_, parsed)| parsed.subject() == parsed.issuer())
}

pub(crate) fn instant(time: x509_parser::time::ASN1Time) -> SystemTime {
    let seconds = time.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance }
}
