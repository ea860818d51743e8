//! Configuration from a control plane in the test's own process: what is asked for, kept and put in force.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3 as pb;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::google::protobuf::Any;
use parking_lot::Mutex;
use proxy::bootstrap::Discovery;
use proxy::identity::Secrets;
use proxy::snapshot::{Live, Snapshot, cluster::Registry};
use proxy::subscribe::{self, Applier, Held, Progress, Subscription};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};
use xds::names::type_url as url;

/// What the test makes the server send, on whichever stream is open.
type Send = (&'static str, Vec<(&'static str, Value)>, Vec<&'static str>);

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<pb::DeltaDiscoveryRequest>>,
    sender: Mutex<Option<mpsc::Sender<Result<pb::DeltaDiscoveryResponse, Status>>>>,
    authorization: Mutex<Option<String>>,
}

struct Server(Arc<Seen>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + std::marker::Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Server {
    type StreamAggregatedResourcesStream = Answers<pb::DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Answers<pb::DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<pb::DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("delta only"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<pb::DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let seen = self.0.clone();
        *seen.authorization.lock() =
            request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let mut requests = request.into_inner();
        let (sender, answers) = mpsc::channel(16);
        *seen.sender.lock() = Some(sender);
        tokio::spawn(async move {
            while let Some(Ok(request)) = requests.next().await {
                seen.requests.lock().push(request);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

struct Bench {
    seen: Arc<Seen>,
    live: Arc<Live>,
    progress: Arc<Progress>,
    stop: watch::Sender<bool>,
    nonce: u32,
}

/// A control plane in plaintext and a client of it.
async fn start() -> Bench {
    let seen = Arc::new(Seen::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = AggregatedDiscoveryServiceServer::new(Server(seen.clone()));
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let files = crate::authority::PodFiles::new("token-1", "");
    let (live, secrets, progress) = (Live::new(Snapshot::default()), Secrets::new(), Progress::new());
    let applier = Applier::new(live.clone(), Registry::new(), secrets.clone(), Held::new(), progress.clone());
    let subscription = Subscription {
        discovery: Discovery {
            address,
            root_file: files.roots(),
            token_file: files.token(),
            plaintext: true,
            server_name: None,
        },
        secrets,
        packet_mark: None,
        cluster_id: Some("Kubernetes".into()),
        applier,
        node: envoy_types::pb::envoy::config::core::v3::Node { id: "sidecar~1".into(), ..Default::default() },
    };
    let (stop, mut stopped) = watch::channel(false);
    tokio::spawn(async move {
        let _files = files;
        tokio::select! {
            () = subscribe::run(subscription) => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    });
    Bench { seen, live, progress, stop, nonce: 0 }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Bench {
    async fn send(&mut self, (type_url, changed, removed): Send) {
        self.nonce += 1;
        let resources = changed
            .into_iter()
            .map(|(name, value)| pb::Resource {
                name: name.into(),
                version: format!("v{}", self.nonce),
                resource: Some(Any {
                    type_url: type_url.into(),
                    value: xds::json::from_json(type_url, &value).unwrap(),
                }),
                ..Default::default()
            })
            .collect();
        let response = pb::DeltaDiscoveryResponse {
            type_url: type_url.into(),
            resources,
            removed_resources: removed.into_iter().map(str::to_owned).collect(),
            nonce: self.nonce.to_string(),
            ..Default::default()
        };
        let sender = self.seen.sender.lock().clone().unwrap();
        sender.send(Ok(response)).await.unwrap();
    }

    /// Waits until the client has sent a request like this.
    async fn asked(
        &self,
        what: &str,
        is_it: impl Fn(&pb::DeltaDiscoveryRequest) -> bool,
    ) -> pb::DeltaDiscoveryRequest {
        for _ in 0..500 {
            if let Some(request) = self.seen.requests.lock().iter().find(|request| is_it(request)) {
                return request.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} was not asked: {:#?}", self.seen.requests.lock());
    }

    async fn until(&self, what: &str, reached: impl Fn(&Snapshot) -> bool) {
        for _ in 0..500 {
            if reached(&self.live.load()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} did not come into force");
    }

    fn drop_stream(&self) {
        self.seen.requests.lock().clear();
        *self.seen.sender.lock() = None;
    }
}

fn cluster(name: &'static str) -> (&'static str, Value) {
    (name, json!({"name": name, "type": "STATIC"}))
}

fn listener(name: &'static str, port: u16) -> (&'static str, Value) {
    (
        name,
        json!({"name": name, "bindToPort": false, "address": {"socketAddress": {"address": "127.0.0.1", "portValue": port}},
        "filterChains": [{"filters": [{"name": "tcp", "typedConfig": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "statPrefix": "x", "cluster": "a"}}]}]}),
    )
}

#[tokio::test]
async fn the_first_requests_introduce_us_and_ask_for_everything() {
    let mut bench = start().await;
    let first = bench.asked("clusters", |r| r.type_url == url::CLUSTER).await;
    assert_eq!(first.node.unwrap().id, "sidecar~1");
    assert!(first.resource_names_subscribe.is_empty());
    bench.asked("listeners", |r| r.type_url == url::LISTENER && r.node.is_none()).await;
    assert_eq!(bench.seen.authorization.lock().as_deref(), Some("Bearer token-1"));
    bench.send((url::CLUSTER, vec![cluster("a")], vec![])).await;
    bench.send((url::LISTENER, vec![listener("l", 80)], vec![])).await;
    bench.until("the listener", |snapshot| snapshot.listeners.named("l").is_some()).await;
    assert!(bench.progress.is_complete());
    let ack = bench.asked("an ACK", |r| r.response_nonce == "2").await;
    assert!(ack.error_detail.is_none());
}

#[tokio::test]
async fn a_bad_resource_is_refused_by_name_and_the_rest_is_used() {
    let mut bench = start().await;
    bench.asked("clusters", |r| r.type_url == url::CLUSTER).await;
    let bad = ("bad", json!({"name": "bad", "lbSubsetConfig": {}}));
    bench.send((url::CLUSTER, vec![bad, cluster("good")], vec![])).await;
    bench.until("the good one", |snapshot| snapshot.cluster("good").is_some()).await;
    let nack = bench.asked("a NACK", |r| r.response_nonce == "1").await;
    let error = nack.error_detail.unwrap();
    assert_eq!(error.message, "bad: lb_subset_config is not supported by this proxy");
    assert!(bench.live.load().cluster("bad").is_none());
}

#[tokio::test]
async fn without_a_control_plane_everything_stays_and_nothing_is_asked_for_twice() {
    let mut bench = start().await;
    bench.asked("clusters", |r| r.type_url == url::CLUSTER).await;
    bench.send((url::CLUSTER, vec![cluster("a"), cluster("b")], vec![])).await;
    bench.until("the clusters", |snapshot| snapshot.clusters.len() == 2).await;
    bench.asked("an ACK", |r| r.response_nonce == "1").await;
    bench.drop_stream();
    let again = bench.asked("clusters again", |r| r.type_url == url::CLUSTER).await;
    assert!(again.node.is_some());
    let mut held: Vec<_> = again.initial_resource_versions.into_iter().collect();
    held.sort();
    assert_eq!(held, [("a".to_owned(), "v1".to_owned()), ("b".to_owned(), "v1".to_owned())]);
    assert_eq!(bench.live.load().clusters.len(), 2, "the last configuration serves on");
    bench.send((url::CLUSTER, vec![], vec!["b"])).await;
    bench.until("the removal", |snapshot| snapshot.clusters.len() == 1).await;
}

#[tokio::test]
async fn responses_that_make_no_sense_harm_nothing() {
    let mut bench = start().await;
    bench.asked("clusters", |r| r.type_url == url::CLUSTER).await;
    let sender = bench.seen.sender.lock().clone().unwrap();
    let odd = [
        pb::DeltaDiscoveryResponse {
            type_url: "type.googleapis.com/nobody.asked".into(),
            ..Default::default()
        },
        pb::DeltaDiscoveryResponse {
            type_url: url::CLUSTER.into(),
            nonce: "odd".into(),
            resources: vec![
                pb::Resource {
                    name: "garbage".into(),
                    resource: Some(Any { type_url: url::CLUSTER.into(), value: vec![0xff; 9] }),
                    ..Default::default()
                },
                pb::Resource {
                    name: "wrong".into(),
                    resource: Some(Any { type_url: url::LISTENER.into(), value: vec![] }),
                    ..Default::default()
                },
                pb::Resource { name: "empty".into(), ..Default::default() },
            ],
            ..Default::default()
        },
    ];
    for response in odd {
        sender.send(Ok(response)).await.unwrap();
    }
    let nack = bench.asked("a NACK", |r| r.response_nonce == "odd").await.error_detail.unwrap().message;
    for name in ["garbage", "wrong", "empty"] {
        assert!(nack.contains(name), "{name} in {nack}");
    }
    bench.send((url::CLUSTER, vec![cluster("fine")], vec![])).await;
    bench.until("the next response", |snapshot| snapshot.cluster("fine").is_some()).await;
}
