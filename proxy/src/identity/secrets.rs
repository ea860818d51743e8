//! Certificates and roots by secret name, joined to the identities that TLS configurations read.
//!
//! `identity` and `subscribe` put secrets in; `listen` and `upstream` ask for an identity once per configuration and
//! keep it: a rotation reaches it without a new TLS configuration.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pki::{Identity, TrustBundle, WorkloadCert};
use tokio::sync::watch;

/// Which secrets a TLS configuration uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TlsNames {
    /// The secret with our certificate; none presents nothing.
    pub certificate: Option<Arc<str>>,
    /// The secret with the roots; none verifies nobody.
    pub roots: Option<Arc<str>>,
}

/// All secrets of the process.
#[derive(Debug)]
pub struct Secrets {
    state: Mutex<State>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    certificates: HashMap<Arc<str>, Arc<WorkloadCert>>,
    roots: HashMap<Arc<str>, Arc<TrustBundle>>,
    identities: HashMap<TlsNames, Arc<Identity>>,
}

impl Default for Secrets {
    fn default() -> Self {
        Self { state: Mutex::default(), version: watch::channel(0).0 }
    }
}

impl Secrets {
    /// No secrets yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The identity made of these secrets. It stays the same value as the secrets in it change, and is empty until
    /// they are there.
    pub fn identity(&self, names: &TlsNames) -> Arc<Identity> {
        let state = &mut *self.state.lock();
        if let Some(known) = state.identities.get(names) {
            return known.clone();
        }
        let identity = Identity::empty();
        if let Some(cert) = names.certificate.as_ref().and_then(|name| state.certificates.get(name)) {
            identity.set_cert(cert.clone());
        }
        if let Some(roots) = names.roots.as_ref().and_then(|name| state.roots.get(name)) {
            identity.set_bundle(roots.clone());
        }
        state.identities.insert(names.clone(), identity.clone());
        identity
    }

    /// The workload's own identity: secrets `default` and `ROOTCA`.
    pub fn workload(&self) -> Arc<Identity> {
        self.identity(&TlsNames {
            certificate: Some(xds::names::SECRET_WORKLOAD.into()),
            roots: Some(xds::names::SECRET_ROOT.into()),
        })
    }

    /// Presents this certificate wherever the secret is used, from the next handshake on.
    pub fn set_certificate(&self, name: &str, cert: Arc<WorkloadCert>) {
        let mut state = self.state.lock();
        for (names, identity) in &state.identities {
            if names.certificate.as_deref() == Some(name) {
                identity.set_cert(cert.clone());
            }
        }
        state.certificates.insert(name.into(), cert);
        self.changed();
    }

    /// Trusts these roots wherever the secret is used, from the next handshake on.
    pub fn set_roots(&self, name: &str, roots: Arc<TrustBundle>) {
        let mut state = self.state.lock();
        for (names, identity) in &state.identities {
            if names.roots.as_deref() == Some(name) {
                identity.set_bundle(roots.clone());
            }
        }
        state.roots.insert(name.into(), roots);
        self.changed();
    }

    /// Forgets a secret: handshakes that need it fail from now on.
    pub fn remove(&self, name: &str) {
        let mut state = self.state.lock();
        state.certificates.remove(name);
        state.roots.remove(name);
        for (names, identity) in &state.identities {
            if names.certificate.as_deref() == Some(name) {
                identity.clear_cert();
            }
            if names.roots.as_deref() == Some(name) {
                identity.set_bundle(TrustBundle::default());
            }
        }
        self.changed();
    }

    /// Forgets the identities that nobody else holds.
    pub fn prune(&self) {
        self.state.lock().identities.retain(|_, identity| Arc::strong_count(identity) > 1);
    }

    /// The certificate of this name.
    pub fn certificate(&self, name: &str) -> Option<Arc<WorkloadCert>> {
        self.state.lock().certificates.get(name).cloned()
    }

    /// The roots of this name.
    pub fn roots(&self, name: &str) -> Option<Arc<TrustBundle>> {
        self.state.lock().roots.get(name).cloned()
    }

    /// All certificates, by name.
    pub fn certificates(&self) -> Vec<(Arc<str>, Arc<WorkloadCert>)> {
        sorted(&self.state.lock().certificates)
    }

    /// All sets of roots, by name.
    pub fn all_roots(&self) -> Vec<(Arc<str>, Arc<TrustBundle>)> {
        sorted(&self.state.lock().roots)
    }

    /// Tells of every change from now on.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}

fn sorted<T>(map: &HashMap<Arc<str>, Arc<T>>) -> Vec<(Arc<str>, Arc<T>)> {
    let mut all: Vec<_> = map.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn signed(ca: &pki::Ca) -> Arc<WorkloadCert> {
        let id = "spiffe://cluster.local/ns/shop/sa/reviews".parse().unwrap();
        Arc::new(ca.issue_workload(&id, Duration::from_hours(1), SystemTime::now()).unwrap())
    }

    #[test]
    fn an_identity_follows_the_secrets_it_is_made_of() {
        let (ca, _) = pki::Ca::self_signed("cluster.local", SystemTime::now()).unwrap();
        let secrets = Secrets::new();
        let early = secrets.workload();
        assert!(early.cert().is_none());

        let first = signed(&ca);
        secrets.set_certificate("default", first.clone());
        secrets.set_roots("ROOTCA", Arc::new(ca.bundle().clone()));
        assert_eq!(early.cert().unwrap().serial(), first.serial());
        assert!(!early.bundle().is_empty());
        assert!(Arc::ptr_eq(&early, &secrets.workload()));

        secrets.remove("default");
        assert!(early.cert().is_none());
        assert!(!early.bundle().is_empty());
    }

    #[test]
    fn identities_without_users_are_forgotten() {
        let secrets = Secrets::new();
        let kept = secrets.workload();
        drop(secrets.identity(&TlsNames { certificate: Some("kubernetes://web".into()), roots: None }));
        secrets.prune();
        assert_eq!(secrets.state.lock().identities.len(), 1);
        assert!(Arc::ptr_eq(&kept, &secrets.workload()));
    }

    #[test]
    fn every_change_is_told() {
        let secrets = Secrets::new();
        let mut changes = secrets.watch();
        assert!(!changes.has_changed().unwrap());
        secrets.set_roots("ROOTCA", Arc::default());
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        secrets.remove("ROOTCA");
        assert!(changes.has_changed().unwrap());
    }
}
