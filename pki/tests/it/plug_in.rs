//! CAs from files, as in the Secret `cacerts`.

use std::time::{Duration, SystemTime};

use pki::{Ca, CaFiles, PkiError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

use crate::ca::{id, new_ca};
use crate::handshake::{TlsPair, handshake};

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// root -> upper -> signing, as a company's PKI would hand it over.
fn three_levels() -> CaFiles {
    let root = CertifiedIssuer::self_signed(ca_params("root"), KeyPair::generate().unwrap()).unwrap();
    let upper = CertifiedIssuer::signed_by(ca_params("upper"), KeyPair::generate().unwrap(), &root).unwrap();
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let signing = ca_params("signing").signed_by(&key, &upper).unwrap();
    CaFiles {
        root_cert: root.pem(),
        ca_cert: signing.pem(),
        ca_key: key.serialize_pem(),
        cert_chain: format!("{}{}{}", signing.pem(), upper.pem(), root.pem()),
    }
}

#[test]
fn an_intermediate_signs_and_peers_verify_up_to_the_root() {
    let ca = Ca::load(&three_levels(), SystemTime::now()).unwrap();
    let cert = ca.issue_workload(&id("a"), Duration::from_hours(1), SystemTime::now()).unwrap();
    assert_eq!(cert.chain().len(), 3, "leaf, signing, upper");
    let pair = TlsPair::of(&ca, "a", "b");
    assert_eq!(handshake(&pair).unwrap(), (Some(id("b")), Some(id("a"))));
}

#[test]
fn a_self_signed_root_is_loaded_again_from_its_files() {
    let (ca, files) = new_ca();
    let again = Ca::load(&files, SystemTime::now()).unwrap();
    assert_eq!(ca.bundle(), again.bundle());
    assert_eq!(ca.not_after(), again.not_after());
}

#[test]
fn files_that_do_not_fit_together_are_refused() {
    let (good, other) = (three_levels(), three_levels());
    let leaf = new_ca().0.issue_workload(&id("a"), Duration::from_hours(1), SystemTime::now()).unwrap();
    let cases = [
        ("another root", CaFiles { root_cert: other.root_cert, ..good.clone() }),
        ("another key", CaFiles { ca_key: other.ca_key, ..good.clone() }),
        ("chain missing", CaFiles { cert_chain: String::new(), ..good.clone() }),
        ("a leaf as CA", CaFiles { ca_cert: leaf.chain_pem(), ca_key: leaf.key_pem(), ..good.clone() }),
        ("no key", CaFiles { ca_key: String::new(), ..good.clone() }),
        ("no root", CaFiles { root_cert: "hello".into(), ..good }),
    ];
    for (case, files) in cases {
        let error = Ca::load(&files, SystemTime::now()).expect_err(case);
        assert!(!matches!(error, PkiError::Crypto { .. }), "{case}: {error}");
    }
}
