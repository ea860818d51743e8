//! Elections with an API server in memory that holds one Lease, in paused time.

use std::sync::Arc;

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Duration, Instant},
};

use crate::{Election, Seat};

const HOUR: Duration = Duration::from_hours(1);

#[derive(Clone, Default)]
struct FakeApi(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Value>,
    version: u32,
    /// How long an answer takes.
    delay: Duration,
}

impl FakeApi {
    fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let delay = api.0.lock().delay;
                tokio::time::sleep(delay).await;
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let (status, answer) = api.0.lock().answer(&head.method, head.uri.path(), &body);
                Response::builder().status(status).body(Body::from(answer.to_string().into_bytes()))
            }
        });
        Client::new(service, "default")
    }

    fn holder(&self) -> Option<String> {
        let holder = self.0.lock().lease.as_ref()?["spec"]["holderIdentity"].as_str()?.to_owned();
        Some(holder)
    }

    fn slow_down(&self, delay: Duration) {
        self.0.lock().delay = delay;
    }
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        assert!(path.starts_with("/apis/coordination.k8s.io/v1/namespaces/home/leases"), "{path}");
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
        match (method.as_str(), &self.lease) {
            ("GET", Some(lease)) => (200, lease.clone()),
            ("GET", None) => (404, failure(404)),
            ("POST", Some(_)) => (409, failure(409)),
            ("PUT", None) => (404, failure(404)),
            (_, found) => {
                let mut lease: Value = serde_json::from_slice(body).unwrap();
                assert_eq!(lease["metadata"]["name"], "acts");
                if found.as_ref().is_some_and(|found| version(found) != version(&lease)) {
                    return (409, failure(409));
                }
                self.version += 1;
                lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
                self.lease = Some(lease.clone());
                (200, lease)
            }
        }
    }
}

fn failure(code: u16) -> Value {
    let reason = if code == 404 { "NotFound" } else { "Conflict" };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": ""})
}

struct Replica {
    seat: Seat,
    stop: oneshot::Sender<()>,
    election: JoinHandle<()>,
}

fn replica(api: &FakeApi, me: &str) -> Replica {
    let (stop, stopped) = oneshot::channel();
    let election =
        Election { client: api.client(), namespace: "home".to_owned(), lease: "acts", me: me.to_owned() };
    let (seat, election) = election.take_part(async move { drop(stopped.await) });
    Replica { seat, stop, election: tokio::spawn(election) }
}

/// One replica that has the Lease for a minute already, and one that waits for it.
async fn holder_and_other() -> (FakeApi, Replica, Replica) {
    let api = FakeApi::default();
    let mut first = replica(&api, "a");
    seconds(first.seat.won()).await;
    let second = replica(&api, "b");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(first.seat.held() && !second.seat.held());
    (api, first, second)
}

/// Seconds until `event`, which comes within the hour.
async fn seconds(event: impl Future<Output = ()>) -> f64 {
    let start = Instant::now();
    tokio::time::timeout(HOUR, event).await.unwrap();
    start.elapsed().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn of_replicas_that_start_together_one_acts() {
    let api = FakeApi::default();
    api.slow_down(Duration::from_millis(10));
    let replicas = ["a", "b", "c"].map(|me| replica(&api, me));
    tokio::time::sleep(Duration::from_mins(1)).await;
    let holders = replicas.iter().filter(|replica| replica.seat.held()).count();
    assert_eq!(holders, 1);
    assert_eq!(api.0.lock().lease.as_ref().unwrap()["spec"]["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_given_up_at_the_end_and_taken_by_the_next() {
    let (api, first, mut second) = holder_and_other().await;
    first.stop.send(()).unwrap();
    first.election.await.unwrap();
    assert!(!first.seat.held());
    assert_eq!(api.holder(), None);
    assert!(seconds(second.seat.won()).await <= 3.0);
    assert_eq!(api.holder().as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_holder_died_is_taken_when_it_has_expired() {
    let (_, mut first, mut second) = holder_and_other().await;
    first.election.abort();
    seconds(first.seat.lost()).await;
    let waited = seconds(second.seat.won()).await;
    assert!((12.0..=18.0).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_without_an_api_server_gives_up_before_others_may_take_over() {
    for delay in (0..20).map(|tenths| Duration::from_millis(tenths * 100)) {
        let api = FakeApi::default();
        api.slow_down(delay);
        let mut replica = replica(&api, "a");
        seconds(replica.seat.won()).await;
        // The Lease was written just now, and asking for that began two answers ago.
        api.slow_down(HOUR);
        let waited = seconds(replica.seat.lost()).await;
        assert!((10.0..=15.0).contains(&(waited + 2.0 * delay.as_secs_f64())), "{delay:?}: {waited}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_election_that_ends_wins_nothing() {
    let api = FakeApi::default();
    api.slow_down(HOUR);
    let mut replica = replica(&api, "a");
    replica.stop.send(()).unwrap();
    replica.election.await.unwrap();
    seconds(replica.seat.lost()).await;
    assert!(tokio::time::timeout(HOUR, replica.seat.won()).await.is_err());
    assert!(tokio::time::timeout(HOUR, replica.seat.changed()).await.is_err());
}
