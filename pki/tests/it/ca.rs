//! What the CA signs and what it refuses.

use std::time::{Duration, SystemTime};

use pki::{Ca, CaFiles, MAX_WORKLOAD_TTL, PkiError, SpiffeId, WorkloadCert, new_csr};

pub(crate) fn id(account: &str) -> SpiffeId {
    SpiffeId::for_service_account("cluster.local", "default", account).unwrap()
}

pub(crate) fn new_ca() -> (Ca, CaFiles) {
    Ca::self_signed("cluster.local", SystemTime::now()).unwrap()
}

#[test]
fn a_csr_for_the_callers_own_identity_is_signed() {
    let (ca, now) = (new_ca().0, SystemTime::now());
    let (key, csr) = new_csr(&id("reviews")).unwrap();
    let chain = ca.sign(&csr, &id("reviews"), None, now).unwrap();
    assert_eq!(chain.len(), 2, "leaf and root");
    let cert = WorkloadCert::from_pem(chain.concat().as_bytes(), key.to_pem().as_bytes(), now).unwrap();
    assert_eq!(cert.id(), Some(&id("reviews")));
    assert_eq!(cert.chain().len(), 1, "the root is not presented");
    let life = cert.not_after().duration_since(now).unwrap();
    assert!(life > Duration::from_hours(24) - Duration::from_secs(2) && life <= Duration::from_hours(24));
    assert!(cert.not_before() < now - Duration::from_secs(100), "dated back for skewed clocks");
    assert!(!cert.is_expired(now) && cert.is_expired(now + Duration::from_hours(25)));
}

#[test]
fn a_csr_for_somebody_else_is_refused() {
    let ca = new_ca().0;
    let (_, csr) = new_csr(&id("ratings")).unwrap();
    let error = ca.sign(&csr, &id("reviews"), None, SystemTime::now()).unwrap_err();
    assert!(matches!(error, PkiError::ForeignIdentity { .. }), "{error}");
    assert!(error.to_string().contains("spiffe://cluster.local/ns/default/sa/ratings"), "{error}");
}

#[test]
fn a_csr_with_additional_names_is_refused() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    params.subject_alt_names.push(rcgen::SanType::URI(id("reviews").as_str().try_into().unwrap()));
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    let error = new_ca().0.sign(&csr, &id("reviews"), None, SystemTime::now()).unwrap_err();
    assert!(error.to_string().contains("evil.example"), "{error}");
}

#[test]
fn a_csr_without_names_gets_the_callers_identity() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let now = SystemTime::now();
    let chain = new_ca().0.sign(&csr, &id("reviews"), None, now).unwrap().concat();
    let cert = WorkloadCert::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes(), now).unwrap();
    assert_eq!(cert.id(), Some(&id("reviews")));
}

#[test]
fn a_request_to_become_a_ca_yields_an_ordinary_leaf() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    let chain = new_ca().0.sign(&csr, &id("reviews"), None, SystemTime::now()).unwrap();
    let pem = x509_parser::pem::parse_x509_pem(chain[0].as_bytes()).unwrap().1;
    assert!(!pem.parse_x509().unwrap().is_ca());
}

#[test]
fn nonsense_is_answered_with_an_error() {
    let ca = new_ca().0;
    let (_, good) = new_csr(&id("reviews")).unwrap();
    let broken_signature = {
        let mut lines: Vec<String> = good.lines().map(str::to_owned).collect();
        let last = lines.len() - 2;
        lines[last] = lines[last].chars().rev().collect();
        lines.join("\n")
    };
    let huge = "A".repeat(1 << 20);
    for csr in ["", "not pem", &huge, &broken_signature, &new_ca().1.ca_cert, &new_ca().1.ca_key] {
        assert!(ca.sign(csr, &id("reviews"), None, SystemTime::now()).is_err());
    }
}

#[test]
fn validity_is_bounded() {
    let (ca, now) = (new_ca().0, SystemTime::now());
    let (_, csr) = new_csr(&id("reviews")).unwrap();
    assert!(ca.sign(&csr, &id("reviews"), Some(MAX_WORKLOAD_TTL), now).is_ok());
    let error =
        ca.sign(&csr, &id("reviews"), Some(MAX_WORKLOAD_TTL + Duration::from_secs(1)), now).unwrap_err();
    assert!(matches!(error, PkiError::TtlTooLong { .. }), "{error}");
    let late = now + Duration::from_hours(11 * 365 * 24);
    assert!(matches!(ca.sign(&csr, &id("reviews"), None, late), Err(PkiError::CaExpired(_))));
}

#[test]
fn serial_numbers_differ() {
    let (ca, now) = (new_ca().0, SystemTime::now());
    let hour = Duration::from_hours(1);
    let serials: std::collections::HashSet<_> =
        (0..50).map(|_| ca.issue_workload(&id("a"), hour, now).unwrap().serial().to_owned()).collect();
    assert_eq!(serials.len(), 50);
}

#[test]
fn renewal_is_at_half_life_with_one_percent_of_jitter() {
    let (ca, now) = (new_ca().0, SystemTime::now());
    let cert = ca.issue_workload(&id("a"), Duration::from_secs(1000), now).unwrap();
    let after = |random| cert.renewal_at(random).duration_since(now).unwrap().as_secs_f64();
    assert!((after(0.5) - 500.0).abs() < 1.0);
    assert!((after(0.0) - 490.0).abs() < 1.0);
    assert!((after(1.0) - 510.0).abs() < 1.0);
    assert_eq!(cert.until_renewal(now + Duration::from_mins(10), 0.5), Duration::ZERO);
}
