//! Reads and writes the Lease as `lease` says.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::sync::watch;

use super::lease::{DURATION, Record, Step, Watch};

const NAME: &str = "trysail-operator";
/// How often the holder renews and others look.
const INTERVAL: Duration = Duration::from_secs(3);
/// A holder that can't renew gives up before others may take over.
const GIVE_UP: Duration = Duration::from_secs(10);
const CALL: Duration = Duration::from_secs(4);

/// What an election knows of its outcome.
#[derive(Clone, Debug)]
pub struct Seat(watch::Receiver<bool>);

impl Seat {
    /// Returns when this replica is the one that acts.
    pub async fn won(&mut self) {
        let _ = self.0.wait_for(|leading| *leading).await;
    }

    /// Returns when it no longer is.
    pub async fn lost(&mut self) {
        let _ = self.0.wait_for(|leading| !*leading).await;
    }
}

/// Takes part in the election under the name `me` until `stop`, then gives the Lease up.
pub fn take_part(
    client: Client,
    namespace: &str,
    me: String,
    stop: impl Future<Output = ()> + Send + 'static,
) -> (Seat, tokio::task::JoinHandle<()>) {
    let (leading, seat) = watch::channel(false);
    let leases = Api::namespaced(client, namespace);
    let mut candidate = Candidate { leases, me, leading, watch: Watch::default(), renewed: Instant::now() };
    let task = tokio::spawn(async move {
        let mut stop = std::pin::pin!(stop);
        loop {
            candidate.round().await;
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
        candidate.resign().await;
    });
    (Seat(seat), task)
}

struct Candidate {
    leases: Api<Lease>,
    me: String,
    leading: watch::Sender<bool>,
    watch: Watch,
    /// When the Lease was ours for certain.
    renewed: Instant,
}

impl Candidate {
    async fn round(&mut self) {
        let started = Instant::now();
        match tokio::time::timeout(CALL, self.attempt()).await {
            Ok(Ok(ours)) => {
                if ours {
                    self.renewed = started;
                }
                self.leading.send_replace(ours);
            }
            Ok(Err(error)) => self.failed(&error.to_string()),
            Err(_) => self.failed("the API server does not answer"),
        }
    }

    fn failed(&self, problem: &str) {
        tracing::warn!(problem, "leader election");
        if self.renewed.elapsed() >= GIVE_UP {
            self.leading.send_replace(false);
        }
    }

    /// Whether the Lease is ours afterwards. Writes carry the version that was read, so of several only one succeeds.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let found = self.leases.get_opt(NAME).await?;
        let step = self.watch.evaluate_lease(&self.me, found.as_ref().map(record), Instant::now());
        let parameters = PostParams::default();
        let written = match (step, found) {
            (Step::Wait, _) => return Ok(false),
            (_, None) => self.leases.create(&parameters, &self.lease(Lease::default(), step)).await,
            (_, Some(lease)) => self.leases.replace(NAME, &parameters, &self.lease(lease, step)).await,
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn lease(&self, mut lease: Lease, step: Step) -> Lease {
        lease.metadata = ObjectMeta { name: Some(NAME.to_owned()), ..lease.metadata };
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        let now = MicroTime(Timestamp::now());
        spec.renew_time = Some(now.clone());
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        if step == Step::Take {
            spec.acquire_time = Some(now);
            spec.holder_identity = Some(self.me.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        }
        lease
    }

    /// The next replica need not wait for the Lease to expire.
    async fn resign(&mut self) {
        if !self.leading.send_replace(false) {
            return;
        }
        if let Ok(Err(error)) = tokio::time::timeout(CALL, self.give_up()).await {
            tracing::debug!(%error, "giving up the Lease");
        }
    }

    async fn give_up(&self) -> kube::Result<()> {
        let Some(mut lease) = self.leases.get_opt(NAME).await? else { return Ok(()) };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() == Some(&self.me) {
            spec.holder_identity = None;
            self.leases.replace(NAME, &PostParams::default(), &lease).await?;
        }
        Ok(())
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
