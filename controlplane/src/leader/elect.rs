//! Reads and writes the Lease as [`Election`] says.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::lease::{DURATION, Election, INTERVAL, Record, Step};

/// All revisions share it: they write the same objects.
const NAME: &str = "istio-leader";
/// A leader that cannot renew gives up before others may take over.
const GIVE_UP: Duration = Duration::from_secs(10);
const CALL: Duration = Duration::from_secs(4);

/// Takes part in the election until `stop`, then gives the Lease up.
pub(crate) async fn run(
    client: Client,
    namespace: &str,
    me: String,
    leading: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let mut candidate = Candidate {
        api: Api::namespaced(client, namespace),
        election: Election::new(me.clone()),
        me,
        leading,
        renewed: Instant::now(),
    };
    loop {
        candidate.round().await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
    candidate.resign().await;
}

struct Candidate {
    api: Api<Lease>,
    election: Election,
    me: String,
    leading: watch::Sender<bool>,
    /// When we last held the Lease for certain.
    renewed: Instant,
}

impl Candidate {
    async fn round(&mut self) {
        let started = Instant::now();
        let outcome = tokio::time::timeout(CALL, self.attempt()).await;
        match outcome {
            Ok(Ok(true)) => {
                self.renewed = started;
                self.lead(true);
            }
            Ok(Ok(false)) => self.lead(false),
            Ok(Err(error)) => self.failed(&error.to_string()),
            Err(_) => self.failed("the API server does not answer"),
        }
    }

    fn failed(&self, error: &str) {
        tracing::debug!(error, "leader election");
        if self.renewed.elapsed() >= GIVE_UP {
            self.lead(false);
        }
    }

    fn lead(&self, now: bool) {
        let changed = self.leading.send_if_modified(|leading| std::mem::replace(leading, now) != now);
        if changed {
            tracing::info!(leading = now, me = self.me, "leader election");
        }
    }

    /// Whether the Lease is ours afterwards. Writes carry the version that was read, so only one of several takers wins.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let found = self.api.get_opt(NAME).await?;
        let record = found.as_ref().map(record_of);
        let step = self.election.evaluate(record, Instant::now());
        let written = match (step, found) {
            (Step::Wait, _) => return Ok(false),
            (_, None) => self.api.create(&PostParams::default(), &self.lease(None, step)).await,
            (_, Some(old)) => {
                self.api.replace(NAME, &PostParams::default(), &self.lease(Some(old), step)).await
            }
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn lease(&self, old: Option<Lease>, step: Step) -> Lease {
        let mut lease = old.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
            ..Lease::default()
        });
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        let now = MicroTime(jiff::Timestamp::now());
        spec.renew_time = Some(now.clone());
        spec.lease_duration_seconds = Some(DURATION.as_secs() as i32);
        if step == Step::Take {
            spec.acquire_time = Some(now);
            spec.holder_identity = Some(self.me.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        }
        lease
    }

    async fn resign(&mut self) {
        if !*self.leading.borrow() {
            return;
        }
        self.lead(false);
        let Ok(Ok(Some(mut lease))) = tokio::time::timeout(CALL, self.api.get_opt(NAME)).await else {
            return;
        };
        if let Some(spec) = &mut lease.spec
            && spec.holder_identity.as_deref() == Some(&self.me)
        {
            spec.holder_identity = None;
            let parameters = PostParams::default();
            if let Ok(Err(error)) =
                tokio::time::timeout(CALL, self.api.replace(NAME, &parameters, &lease)).await
            {
                tracing::debug!(%error, "giving up the lease");
            }
        }
    }
}

fn record_of(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        renewed: spec.renew_time.map(|time| time.0.to_string()).unwrap_or_default(),
        duration: seconds.map_or(DURATION, Duration::from_secs),
    }
}
