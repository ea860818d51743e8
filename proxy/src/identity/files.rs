//! Certificates that somebody else mounts and renews: `cert-chain.pem`, `key.pem`, `root-cert.pem` in one folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pki::{TrustBundle, WorkloadCert};

use super::{Health, Secrets};

const INTERVAL: Duration = Duration::from_secs(5);

/// The folder and what was last read from it.
#[derive(Debug)]
pub(super) struct Mounted {
    folder: PathBuf,
    last: [Vec<u8>; 3],
}

impl Mounted {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, last: Default::default() }
    }

    /// The certificate and roots if the files changed since the last call. A half-written set is an error and is tried
    /// again at the next call.
    async fn changed(&mut self) -> Result<Option<(WorkloadCert, TrustBundle)>, String> {
        let mut files = [Vec::new(), Vec::new(), Vec::new()];
        for (name, content) in ["cert-chain.pem", "key.pem", "root-cert.pem"].iter().zip(&mut files) {
            let path = self.folder.join(name);
            *content =
                tokio::fs::read(&path).await.map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        }
        if files == self.last {
            return Ok(None);
        }
        let [chain, key, roots] = &files;
        let cert = WorkloadCert::from_pem(chain, key, SystemTime::now()).map_err(|e| e.to_string())?;
        let roots = TrustBundle::from_pem(roots).map_err(|e| e.to_string())?;
        self.last = files;
        Ok(Some((cert, roots)))
    }
}

/// Runs until it is dropped.
pub(super) async fn follow(mut mounted: Mounted, secrets: &Secrets, health: &Health) {
    loop {
        match mounted.changed().await {
            Ok(None) => {}
            Ok(Some((cert, roots))) => {
                tracing::info!(serial = cert.serial(), folder = %mounted.folder.display(), "mounted certificate read");
                health.succeeded(cert.not_after(), None);
                secrets.set_roots(xds::names::SECRET_ROOT, Arc::new(roots));
                secrets.set_certificate(xds::names::SECRET_WORKLOAD, Arc::new(cert));
            }
            Err(problem) => {
                tracing::warn!("mounted certificates: {problem}");
                health.failed(problem);
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_renewed_set_of_files_is_noticed_and_a_broken_one_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let (ca, ca_files) = pki::Ca::self_signed("cluster.local", now).unwrap();
        let id = "spiffe://cluster.local/ns/shop/sa/reviews".parse().unwrap();
        let write = |cert: &WorkloadCert| {
            std::fs::write(folder.path().join("cert-chain.pem"), cert.chain_pem()).unwrap();
            std::fs::write(folder.path().join("key.pem"), cert.key_pem()).unwrap();
            std::fs::write(folder.path().join("root-cert.pem"), &ca_files.root_cert).unwrap();
        };
        let mut mounted = Mounted::new(folder.path().to_owned());
        assert!(mounted.changed().await.unwrap_err().contains("cert-chain.pem"));

        let first = ca.issue_workload(&id, Duration::from_hours(1), now).unwrap();
        write(&first);
        assert_eq!(mounted.changed().await.unwrap().unwrap().0.serial(), first.serial());
        assert!(mounted.changed().await.unwrap().is_none());

        let second = ca.issue_workload(&id, Duration::from_hours(1), now).unwrap();
        write(&second);
        std::fs::write(folder.path().join("key.pem"), first.key_pem()).unwrap();
        assert!(mounted.changed().await.is_err(), "the key of another certificate");
        write(&second);
        assert_eq!(mounted.changed().await.unwrap().unwrap().0.serial(), second.serial());
    }
}
