//! Obtains the workload certificate and renews it at half of its life, for as long as the process runs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pki::{PkiError, SpiffeId};

use super::authority::Client;
use super::{Health, Secrets, files};
use crate::bootstrap::{Authority, Bootstrap, CertificateSource};

/// The first wait after a failure; each further one is twice as long.
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// While there is no certificate, nothing works: try often.
const LONGEST_RETRY_WITHOUT: Duration = Duration::from_secs(5);
/// While there is one, there is half of its life to get another.
const LONGEST_RETRY_WITH: Duration = Duration::from_mins(1);
/// How often the mounted roots are looked at for a rotation of the CA.
const ROOTS_INTERVAL: Duration = Duration::from_secs(30);

/// What renewal works with.
#[derive(Debug)]
pub struct Renewal {
    source: Source,
    secrets: Arc<Secrets>,
    health: Arc<Health>,
}

#[derive(Debug)]
enum Source {
    Authority(Client),
    Files(files::Mounted),
}

impl Renewal {
    /// From the bootstrap; fails if the names in it make no SPIFFE id.
    pub fn new(boot: &Bootstrap, secrets: Arc<Secrets>, health: Arc<Health>) -> Result<Self, PkiError> {
        let source = match &boot.certificates {
            CertificateSource::Files(folder) => Source::Files(files::Mounted::new(folder.clone())),
            CertificateSource::Authority(authority) => {
                let cluster = boot.node.text("CLUSTER_ID").map(str::to_owned);
                let mut renewal =
                    Self::from_authority(authority.clone(), &boot.spiffe_id(), cluster, secrets, health)?;
                renewal.mark(boot.packet_mark);
                return Ok(renewal);
            }
        };
        Ok(Self { source, secrets, health })
    }

    /// From a CA, for this SPIFFE id.
    pub fn from_authority(
        authority: Authority,
        id: &str,
        cluster_id: Option<String>,
        secrets: Arc<Secrets>,
        health: Arc<Health>,
    ) -> Result<Self, PkiError> {
        let id: SpiffeId = id.parse().map_err(|error: pki::SpiffeError| PkiError::Csr(error.to_string()))?;
        let source = Source::Authority(Client { authority, id, cluster_id, packet_mark: None });
        Ok(Self { source, secrets, health })
    }

    /// Marks the packets of requests to the CA.
    fn mark(&mut self, mark: Option<u32>) {
        if let Source::Authority(client) = &mut self.source {
            client.packet_mark = mark;
        }
    }
}

/// Runs until it is dropped.
pub async fn run(renewal: Renewal) {
    match renewal.source {
        Source::Files(mounted) => files::follow(mounted, &renewal.secrets, &renewal.health).await,
        Source::Authority(client) => {
            tokio::join!(
                obtain_for_ever(&client, &renewal.secrets, &renewal.health),
                follow_roots(&client, &renewal.secrets),
            );
        }
    }
}

async fn obtain_for_ever(client: &Client, secrets: &Secrets, health: &Health) {
    let identity = secrets.workload();
    let mut failures = 0;
    loop {
        let now = SystemTime::now();
        match client.request(&identity).await {
            Ok(issued) => {
                failures = 0;
                let random: f64 = rand::random();
                let wait = issued.cert.until_renewal(now, random);
                health.succeeded(issued.cert.not_after(), Some(issued.cert.renewal_at(random)));
                tracing::info!(serial = issued.cert.serial(), renewal_in = ?wait, "workload certificate obtained");
                // Roots first: a peer that has the new chain must be able to verify ours.
                secrets.set_roots(xds::names::SECRET_ROOT, Arc::new(issued.roots));
                secrets.set_certificate(xds::names::SECRET_WORKLOAD, Arc::new(issued.cert));
                // A certificate of no remaining life must not become a busy loop.
                tokio::time::sleep(wait.max(FIRST_RETRY)).await;
            }
            Err(error) => {
                failures += 1;
                let usable = identity.cert().is_some_and(|cert| !cert.is_expired(now));
                let wait = backoff(failures, usable, rand::random());
                let error = error.describe();
                tracing::warn!(failures, retry_in = ?wait, "no new workload certificate: {error}");
                health.failed(error);
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// Exponential, with up to a quarter taken off at random.
fn backoff(failures: u32, usable: bool, random: f64) -> Duration {
    let longest = if usable { LONGEST_RETRY_WITH } else { LONGEST_RETRY_WITHOUT };
    let wait = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    wait.mul_f64(1.0 - 0.25 * random)
}

/// A rotation of the CA begins with a new root in the mounted file: trust it before peers present it.
async fn follow_roots(client: &Client, secrets: &Secrets) {
    loop {
        tokio::time::sleep(ROOTS_INTERVAL).await;
        let Some(trusted) = secrets.roots(xds::names::SECRET_ROOT) else { continue };
        match client.mounted_roots().await.and_then(|mounted| Ok(trusted.merged(&mounted)?)) {
            Ok(merged) if merged != *trusted => {
                tracing::info!("a root was added to the trust bundle");
                secrets.set_roots(xds::names::SECRET_ROOT, Arc::new(merged));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("mounted roots: {}", error.describe()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_slow_down_but_less_so_while_there_is_no_certificate() {
        let wait = |failures, usable| backoff(failures, usable, 0.0).as_millis();
        assert_eq!([wait(1, false), wait(2, false), wait(3, false)], [250, 500, 1000]);
        assert_eq!([wait(30, false), wait(30, true)], [5_000, 60_000]);
        assert_eq!(backoff(1, false, 1.0), Duration::from_micros(187_500));
    }
}
