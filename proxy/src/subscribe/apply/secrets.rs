//! Secrets other than our own identity: gateways' certificates over SDS, and files that TLS settings name.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as pb;
use tokio::time::Instant;
use xds::client::{Changed, DeltaClient, Rejected, Update};
use xds::names::{SECRET_ROOT, SECRET_WORKLOAD, type_url};

use super::{Applier, check_name, decode, reject};
use crate::config::{self, CompiledSecret};

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
