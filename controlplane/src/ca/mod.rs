//! The mesh's certificate authority as it runs: the current CA, the control plane's own certificate, and where both come
//! from.

pub(crate) mod folder;
pub(crate) mod roots;
pub(crate) mod secrets;
mod service;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use pki::{Ca, CaFiles, Identity, PkiError};
use tokio::sync::watch;

use crate::monitor::Metrics;
pub(crate) use service::{CaService, Validity};

/// Validity of the control plane's own certificate; renewed at half of it.
const SERVER_TTL: Duration = Duration::from_hours(30 * 24);
const CHECK_EVERY: Duration = Duration::from_mins(10);

/// The CA that signs at the moment, and the certificate that this process serves with.
pub(crate) struct Authority {
    ca: ArcSwap<Ca>,
    dns_names: Vec<String>,
    server: Arc<Identity>,
    root_pem: watch::Sender<Arc<str>>,
    metrics: Arc<Metrics>,
}

impl Authority {
    pub(crate) fn new(ca: Ca, dns_names: Vec<String>, metrics: Arc<Metrics>) -> Result<Arc<Self>, PkiError> {
        let authority = Self {
            server: Identity::empty(),
            root_pem: watch::Sender::new(ca.bundle().to_pem().into()),
            ca: ArcSwap::from_pointee(ca),
            dns_names,
            metrics,
        };
        authority.use_current()?;
        Ok(Arc::new(authority))
    }

    /// What to sign with now.
    pub(crate) fn ca(&self) -> Arc<Ca> {
        self.ca.load_full()
    }

    /// What this process presents and trusts; follows every change.
    pub(crate) fn server_identity(&self) -> Arc<Identity> {
        self.server.clone()
    }

    /// The roots, now and whenever they change.
    pub(crate) fn roots(&self) -> watch::Receiver<Arc<str>> {
        self.root_pem.subscribe()
    }

    /// Signs with another CA from now on. A broken one changes nothing.
    pub(crate) fn replace(&self, files: &CaFiles) -> Result<(), PkiError> {
        let ca = Ca::load(files, SystemTime::now())?;
        if self.ca.load().is_same(&ca) {
            return Ok(());
        }
        self.ca.store(Arc::new(ca));
        self.use_current()
    }

    fn use_current(&self) -> Result<(), PkiError> {
        let ca = self.ca();
        let cert = ca.issue_server(&self.dns_names, SERVER_TTL, SystemTime::now())?;
        self.server.set_bundle(ca.bundle().clone());
        self.server.set_cert(cert);
        let end = ca.not_after().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.metrics.root_expiry.set(end.as_secs() as i64);
        self.root_pem.send_replace(ca.bundle().to_pem().into());
        Ok(())
    }

    /// Renews the control plane's own certificate at half of its life.
    pub(crate) async fn keep_server_certificate(self: Arc<Self>) {
        loop {
            tokio::time::sleep(CHECK_EVERY).await;
            let due =
                self.server.cert().is_none_or(|cert| cert.until_renewal(SystemTime::now(), 0.5).is_zero());
            if due && let Err(error) = self.use_current() {
                tracing::error!(%error, "cannot renew the control plane's certificate");
            }
        }
    }
}
