//! Secrets whose names say which files of this container they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pki::{TrustBundle, WorkloadCert};
use tokio::time::Instant;

use super::Secrets;

/// `file-cert:<chain>~<key>`: as Istio names a certificate that a DestinationRule gives as files.
const FILE_CERT: &str = "file-cert:";
/// `file-root:<file>`.
const FILE_ROOT: &str = "file-root:";
/// Between a file with roots and one with what they have revoked.
const REVOKED: &str = "~revoked:";
/// Instead of a file: what the system trusts, as where a DestinationRule names no roots.
const SYSTEM: &str = "system";
/// Where Debian, Fedora, SUSE and Alpine have it.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// How often such files are read again.
const FILE_INTERVAL: Duration = Duration::from_secs(30);

/// Secrets that are files in this container.
#[derive(Debug, Default)]
pub(crate) struct FileSecrets {
    /// By name, with what was last read.
    names: BTreeMap<Arc<str>, Vec<u8>>,
    refreshed: Option<Instant>,
}

impl FileSecrets {
    /// Whether this is a file's name; then it is followed from now on.
    pub(crate) fn add(&mut self, name: &Arc<str>) -> bool {
        let is_file = name.starts_with(FILE_CERT) || name.starts_with(FILE_ROOT);
        if is_file {
            self.names.insert(name.clone(), Vec::new());
            self.refreshed = None;
        }
        is_file
    }

    /// Follows the files among these names, and no others.
    pub(crate) fn follow(&mut self, names: &BTreeSet<String>) {
        self.names.retain(|name, _| names.contains(&**name));
        for name in names {
            if !self.names.contains_key(name.as_str()) {
                self.add(&name.as_str().into());
            }
        }
    }

    /// Whether it was followed until now.
    pub(crate) fn remove(&mut self, name: &Arc<str>) -> bool {
        self.names.remove(name).is_some()
    }

    /// When the files are due again, if there are any.
    pub(crate) fn next_refresh(&self) -> Option<Instant> {
        (!self.names.is_empty()).then_some(())?;
        self.refreshed.map(|at| at + FILE_INTERVAL)
    }

    /// Reads the files if they are due. A file that can't be read leaves the secret as it is.
    pub(crate) fn refresh(&mut self, secrets: &Secrets, now: Instant) {
        if self.names.is_empty() || self.refreshed.is_some_and(|at| now < at + FILE_INTERVAL) {
            return;
        }
        self.refreshed = Some(now);
        for (name, last) in &mut self.names {
            if let Err(problem) = read(name, last, secrets) {
                tracing::warn!(secret = %name, "{problem}");
            }
        }
    }
}

/// The name of the same roots with a file of what they have revoked; none if these roots are no file.
pub(crate) fn with_revoked(name: &str, path: &str) -> Option<String> {
    name.starts_with(FILE_ROOT).then(|| format!("{name}{REVOKED}{path}"))
}

/// The file with the roots that this system trusts.
fn system_roots() -> Result<&'static str, String> {
    let there = SYSTEM_ROOTS.iter().find(|path| std::path::Path::new(path).is_file());
    there.copied().ok_or_else(|| format!("this system has none of {}", SYSTEM_ROOTS.join(", ")))
}

fn read(name: &str, last: &mut Vec<u8>, secrets: &Secrets) -> Result<(), String> {
    let file = |path: &str| std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"));
    if let Some(paths) = name.strip_prefix(FILE_ROOT) {
        let (path, revoked) =
            paths.split_once(REVOKED).map_or((paths, None), |(path, list)| (path, Some(list)));
        let path = if path == SYSTEM { system_roots()? } else { path };
        let (pem, revoked) = (file(path)?, revoked.map(file).transpose()?);
        let both = [pem.as_slice(), revoked.as_deref().unwrap_or_default()].concat();
        if both != *last {
            let mut roots = TrustBundle::from_pem(&pem).map_err(|error| error.to_string())?;
            if let Some(revoked) = revoked {
                roots = roots.with_revoked(&revoked).map_err(|error| error.to_string())?;
            }
            secrets.set_roots(name, Arc::new(roots));
            *last = both;
        }
        return Ok(());
    }
    let paths = name.strip_prefix(FILE_CERT).and_then(|rest| rest.split_once('~'));
    let (chain, key) = paths.ok_or("the name is not of the form file-cert:<chain>~<key>")?;
    let (chain, key) = (file(chain)?, file(key)?);
    let both = [chain.as_slice(), key.as_slice()].concat();
    if both != *last {
        let cert =
            WorkloadCert::from_pem(&chain, &key, SystemTime::now()).map_err(|error| error.to_string())?;
        secrets.set_certificate(name, Arc::new(cert));
        *last = both;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_trusts_is_a_secret_where_there_is_such_a_file() {
        let (secrets, mut files) = (Secrets::default(), FileSecrets::default());
        let name = format!("{FILE_ROOT}{SYSTEM}");
        files.follow(&BTreeSet::from([name.clone(), "default".to_owned()]));
        files.refresh(&secrets, Instant::now());
        assert_eq!(secrets.roots(&name).is_some(), system_roots().is_ok());
        files.follow(&BTreeSet::new());
        assert_eq!(files.next_refresh(), None);
    }
}
