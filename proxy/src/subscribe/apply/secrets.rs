//! Secrets other than our own identity: gateways' certificates over SDS, and files that TLS settings name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as pb;
use pki::{TrustBundle, WorkloadCert};
use tokio::time::Instant;
use xds::client::{Changed, DeltaClient, Rejected, Update};
use xds::names::{SECRET_ROOT, SECRET_WORKLOAD, type_url};

use super::{Applier, check_name, decode, reject};
use crate::config::{self, CompiledSecret};
use crate::identity::Secrets;

/// `file-cert:<chain>~<key>`: as Istio names a certificate that a DestinationRule gives as files.
const FILE_CERT: &str = "file-cert:";
/// `file-root:<file>`.
const FILE_ROOT: &str = "file-root:";
/// How often such files are read again.
const FILE_INTERVAL: Duration = Duration::from_secs(30);

impl Applier {
    pub(super) fn secrets(&mut self, update: Update) -> Vec<Rejected> {
        let mut rejected = Vec::new();
        for one in &update.changed {
            match compile(one) {
                Ok(CompiledSecret::Certificate(cert)) => {
                    self.secrets.set_certificate(&one.name, Arc::from(cert));
                }
                Ok(CompiledSecret::Roots(roots)) => self.secrets.set_roots(&one.name, Arc::new(roots)),
                Err(problem) => rejected.push(problem),
            }
        }
        for name in &update.removed {
            self.secrets.remove(name);
        }
        rejected
    }

    /// Asks for the secrets that listeners and clusters name, and lets go of those that none names.
    pub(super) fn want_secrets(&mut self, client: &mut DeltaClient, now: Instant) {
        let of_listeners = self.listeners.values().flat_map(|one| &one.secrets);
        let of_clusters = self.clusters.values().flat_map(|entry| &entry.secrets);
        let own = |name: &&Arc<str>| ***name == *SECRET_WORKLOAD || ***name == *SECRET_ROOT;
        let wanted: BTreeSet<Arc<str>> =
            of_listeners.chain(of_clusters).filter(|name| !own(name)).cloned().collect();
        for name in wanted.difference(&self.wanted_secrets) {
            if !self.files.add(name) {
                client.subscribe(type_url::SECRET, name.to_string());
            }
        }
        for name in self.wanted_secrets.difference(&wanted) {
            if !self.files.remove(name) {
                client.unsubscribe(type_url::SECRET, name);
            }
            self.secrets.remove(name);
        }
        self.wanted_secrets = wanted;
        self.secrets.prune();
        self.files.refresh(&self.secrets, now);
    }

    pub(super) fn secret_is_there(&self, name: &str) -> bool {
        // Readiness asks for our own identity by itself.
        name == SECRET_WORKLOAD
            || name == SECRET_ROOT
            || self.secrets.certificate(name).is_some()
            || self.secrets.roots(name).is_some()
    }
}

fn compile(changed: &Changed) -> Result<CompiledSecret, Rejected> {
    let message: pb::Secret = decode(changed)?;
    check_name(changed, &message.name)?;
    config::secret(&message, SystemTime::now()).map_err(|error| reject(&changed.name, error))
}

/// Secrets that are files in this container.
#[derive(Debug, Default)]
pub(super) struct FileSecrets {
    /// By name, with what was last read.
    names: BTreeMap<Arc<str>, Vec<u8>>,
    refreshed: Option<Instant>,
}

impl FileSecrets {
    /// Whether this is a file's name; then it is followed from now on.
    fn add(&mut self, name: &Arc<str>) -> bool {
        let is_file = name.starts_with(FILE_CERT) || name.starts_with(FILE_ROOT);
        if is_file {
            self.names.insert(name.clone(), Vec::new());
            self.refreshed = None;
        }
        is_file
    }

    fn remove(&mut self, name: &Arc<str>) -> bool {
        self.names.remove(name).is_some()
    }

    pub(super) fn next_refresh(&self) -> Option<Instant> {
        (!self.names.is_empty()).then_some(())?;
        self.refreshed.map(|at| at + FILE_INTERVAL)
    }

    /// Reads the files if they are due. A file that can't be read leaves the secret as it is.
    pub(super) fn refresh(&mut self, secrets: &Secrets, now: Instant) {
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

fn read(name: &str, last: &mut Vec<u8>, secrets: &Secrets) -> Result<(), String> {
    let file = |path: &str| std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"));
    if let Some(path) = name.strip_prefix(FILE_ROOT) {
        let pem = file(path)?;
        if pem != *last {
            let roots = TrustBundle::from_pem(&pem).map_err(|error| error.to_string())?;
            secrets.set_roots(name, Arc::new(roots));
            *last = pem;
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
