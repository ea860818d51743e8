//! The identity of a running process: its certificate and the roots it trusts, both swappable at any time.
//!
//! TLS configurations hold an `Arc<Identity>` and read it at each handshake, so a rotation needs no new configuration and
//! breaks no connection.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::{SpiffeId, TrustBundle, WorkloadCert};

/// Certificate and trust bundle behind atomic pointers.
#[derive(Debug, Default)]
pub struct Identity {
    cert: ArcSwapOption<WorkloadCert>,
    bundle: ArcSwap<TrustBundle>,
}

impl Identity {
    /// Nothing yet: no certificate to present, and no peer can be verified.
    pub fn empty() -> Arc<Self> {
        Arc::default()
    }

    /// Both at once.
    pub fn new(cert: impl Into<Arc<WorkloadCert>>, bundle: impl Into<Arc<TrustBundle>>) -> Arc<Self> {
        let identity = Self::default();
        identity.set_cert(cert);
        identity.set_bundle(bundle);
        Arc::new(identity)
    }

    /// Only roots: what a client without a certificate needs.
    pub fn roots_only(bundle: impl Into<Arc<TrustBundle>>) -> Arc<Self> {
        let identity = Self::default();
        identity.set_bundle(bundle);
        Arc::new(identity)
    }

    /// Presents this certificate from the next handshake on.
    pub fn set_cert(&self, cert: impl Into<Arc<WorkloadCert>>) {
        self.cert.store(Some(cert.into()));
    }

    /// Presents nothing from the next handshake on.
    pub fn clear_cert(&self) {
        self.cert.store(None);
    }

    /// Trusts these roots from the next handshake on.
    pub fn set_bundle(&self, bundle: impl Into<Arc<TrustBundle>>) {
        self.bundle.store(bundle.into());
    }

    /// The current certificate.
    pub fn cert(&self) -> Option<Arc<WorkloadCert>> {
        self.cert.load_full()
    }

    /// The current roots.
    pub fn bundle(&self) -> Arc<TrustBundle> {
        self.bundle.load_full()
    }

    /// The SPIFFE id of the current certificate.
    pub fn id(&self) -> Option<SpiffeId> {
        self.cert.load().as_ref().and_then(|cert| cert.id().cloned())
    }
}
