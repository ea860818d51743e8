//! Reads and writes the Lease as [`Watch`] says.

use k8s_openapi::{
    api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime, jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::watch,
    time::{Duration, Instant},
};

use crate::{
    Seat,
    lease::{DURATION, INTERVAL, Record, Step, Watch},
};

/// A holder that failed to renew for so long gives up.
const GIVE_UP: Duration = Duration::from_secs(10);
/// How long the API server may take to answer.
const CALL: Duration = Duration::from_secs(4);

/// Who takes part in which election.
#[derive(Clone)]
pub struct Election {
    /// Reads and writes the Lease.
    pub client: Client,
    /// Where the Lease is.
    pub namespace: String,
    /// Name of the Lease; replicas that share it take turns.
    pub lease: &'static str,
    /// Name of this replica, which no other replica has.
    pub me: String,
}

impl Election {
    /// Takes part for as long as the returned future runs, until `stop`; then gives the Lease up.
    pub fn take_part(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> (Seat, impl Future<Output = ()> + Send + 'static) {
        let (leading, seat) = watch::channel(false);
        let mut candidate = Candidate {
            leases: Api::namespaced(self.client, &self.namespace),
            name: self.lease,
            me: self.me,
            leading,
            watch: Watch::default(),
            renewed: Instant::now(),
            problem: String::new(),
        };
        let election = async move {
            let mut stop = std::pin::pin!(stop);
            loop {
                candidate.round().await;
                tokio::select! {
                    () = &mut stop => break,
                    () = tokio::time::sleep(INTERVAL) => {}
                }
            }
            candidate.resign().await;
        };
        (Seat(seat), election)
    }
}

struct Candidate {
    leases: Api<Lease>,
    name: &'static str,
    me: String,
    leading: watch::Sender<bool>,
    watch: Watch,
    /// When the Lease was ours for certain.
    renewed: Instant,
    /// What went wrong last; empty after a success.
    problem: String,
}

impl Candidate {
    async fn round(&mut self) {
        let started = Instant::now();
        match tokio::time::timeout(self.patience(), self.attempt()).await {
            Ok(Ok(ours)) => {
                if ours {
                    self.renewed = started;
                }
                self.problem.clear();
                self.lead(ours);
            }
            Ok(Err(error)) => self.failed(error.to_string()),
            Err(_) => self.failed("the API server does not answer".to_owned()),
        }
    }

    /// Others may take over when nothing was renewed for the Lease's duration: a holder never waits for an answer longer.
    fn patience(&self) -> Duration {
        if *self.leading.borrow() { CALL.min(DURATION.saturating_sub(self.renewed.elapsed())) } else { CALL }
    }

    fn failed(&mut self, problem: String) {
        if problem != self.problem {
            tracing::warn!(lease = self.name, problem, "cannot read or write the Lease; trying again");
            self.problem = problem;
        }
        if self.renewed.elapsed() >= GIVE_UP {
            self.lead(false);
        }
    }

    fn lead(&self, now: bool) {
        let changed = self.leading.send_if_modified(|leading| std::mem::replace(leading, now) != now);
        if changed {
            let what = if now { "holding the Lease" } else { "no longer holding the Lease" };
            tracing::info!(lease = self.name, me = self.me, "{what}");
        }
    }

    /// Whether the Lease is ours afterwards. Writes carry the version that was read, so of several only one succeeds.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let found = self.leases.get_opt(self.name).await?;
        let step = self.watch.evaluate(&self.me, found.as_ref().map(record), Instant::now());
        let parameters = PostParams::default();
        let written = match (step, found) {
            (Step::Wait, _) => return Ok(false),
            (_, None) => self.leases.create(&parameters, &self.ours(Lease::default(), step)).await,
            (_, Some(lease)) => self.leases.replace(self.name, &parameters, &self.ours(lease, step)).await,
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The Lease as it is after `step`.
    fn ours(&self, mut lease: Lease, step: Step) -> Lease {
        lease.metadata.name = Some(self.name.to_owned());
        let spec = lease.spec.get_or_insert_default();
        let now = MicroTime(Timestamp::now());
        spec.renew_time = Some(now.clone());
        spec.lease_duration_seconds = Some(DURATION.as_secs() as i32);
        if step == Step::Take {
            spec.acquire_time = Some(now);
            spec.holder_identity = Some(self.me.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        }
        lease
    }

    /// The next replica need not wait for the Lease to expire.
    async fn resign(&self) {
        if !*self.leading.borrow() {
            return;
        }
        self.lead(false);
        let problem = match tokio::time::timeout(CALL, self.give_up()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the API server does not answer".to_owned(),
        };
        tracing::info!(lease = self.name, problem, "the Lease is not given up, and expires");
    }

    async fn give_up(&self) -> kube::Result<()> {
        let Some(mut lease) = self.leases.get_opt(self.name).await? else { return Ok(()) };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() == Some(&self.me) {
            spec.holder_identity = None;
            self.leases.replace(self.name, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }
}

impl Drop for Candidate {
    /// Nobody acts on a Lease that is no longer renewed, however the election ended.
    fn drop(&mut self) {
        self.lead(false);
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        renewed: spec.renew_time.map(|time| time.0.to_string()).unwrap_or_default(),
        duration: seconds.map_or(DURATION, Duration::from_secs),
    }
}
