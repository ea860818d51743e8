//! The cryptography that every connection uses.

use std::sync::{Arc, LazyLock};

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    Arc::new(CryptoProvider {
        // AES-128 first: it is the cheapest on every server processor, and as strong as the P-256 keys around it.
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..aws_lc_rs::default_provider()
    })
});

/// aws-lc-rs with the mesh's order of cipher suites and key exchanges.
pub fn provider() -> Arc<CryptoProvider> {
    PROVIDER.clone()
}

/// The same with only these suites of TLS 1.2, by OpenSSL's names and in this order; TLS 1.3 keeps its own. Names of
/// suites without forward secrecy or authenticated encryption are passed over. None if no name is left.
pub fn provider_with_suites(names: &[impl AsRef<str>]) -> Option<Arc<CryptoProvider>> {
    let known = |name: &str| SUITES.iter().find(|(known, _)| *known == name).map(|(_, suite)| *suite);
    let chosen: Vec<SupportedCipherSuite> = names.iter().filter_map(|name| known(name.as_ref())).collect();
    if chosen.is_empty() {
        return None;
    }
    let usual = PROVIDER.cipher_suites.iter().copied();
    let newer = usual.filter(|suite| suite.version().version == rustls::ProtocolVersion::TLSv1_3);
    Some(Arc::new(CryptoProvider { cipher_suites: newer.chain(chosen).collect(), ..(**PROVIDER).clone() }))
}

/// Suites of TLS 1.2 by OpenSSL's names.
const SUITES: [(&str, SupportedCipherSuite); 6] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES256-GCM-SHA384", cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

pub(super) fn algorithms() -> WebPkiSupportedAlgorithms {
    PROVIDER.signature_verification_algorithms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_those_that_are_named_and_tls_1_3() {
        let names = |provider: &CryptoProvider| -> Vec<&'static str> {
            provider.cipher_suites.iter().filter_map(|suite| suite.suite().as_str()).collect()
        };
        let chosen = provider_with_suites(&["ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-GCM-SHA384"]).unwrap();
        let names = names(&chosen);
        assert_eq!(names.len(), 4);
        assert_eq!(names[3], "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384");
        assert!(provider_with_suites(&["AES128-SHA"]).is_none());
        assert!(provider_with_suites(&[] as &[&str]).is_none());
    }
}
