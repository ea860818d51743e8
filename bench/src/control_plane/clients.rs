//! Many proxies of our kind in one cheap process.
//!
//! Each holds one delta-ADS stream, subscribes as our proxy does (all clusters and listeners; the endpoints, routes and
//! virtual hosts that these name), and acknowledges every response after having looked at each resource in it. What
//! a resource names is worked out once for each distinct body, since all clients get the same bytes.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster};
use envoy_types::pb::envoy::config::core::v3::{Node, node};
use envoy_types::pb::envoy::config::listener::v3::{Listener, filter};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier,
};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use prost::Message as _;
use tokio::sync::Mutex;
use tokio::sync::mpsc;
use tonic::transport::Channel;

const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const ROUTE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
const VIRTUAL_HOST: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";

/// What all clients count together.
#[derive(Debug)]
pub(crate) struct Tally {
    start: Instant,
    /// Bytes of all responses.
    pub(crate) bytes: AtomicU64,
    /// Responses received.
    pub(crate) responses: AtomicU64,
    /// Microseconds since the start at which the last response came.
    last: AtomicU64,
}

impl Tally {
    fn count(&self, response: &DeltaDiscoveryResponse) {
        self.bytes.fetch_add(response.encoded_len() as u64, Ordering::Relaxed);
        let now = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last.fetch_max(now, Ordering::Relaxed);
        self.responses.fetch_add(1, Ordering::Relaxed);
    }

    /// Milliseconds from `since` to the last response.
    pub(crate) fn last_after(&self, since: Instant) -> f64 {
        let last = self.last.load(Ordering::Relaxed) as f64 / 1000.0;
        last - since.duration_since(self.start).as_secs_f64() * 1000.0
    }
}

/// What a body names, by the hash of the body.
type Names = Arc<Mutex<HashMap<u64, Option<(&'static str, String)>>>>;

/// The clients; dropping them closes their streams.
pub(crate) struct Clients {
    /// What they have received.
    pub(crate) tally: Arc<Tally>,
    tasks: tokio::task::JoinSet<Result<()>>,
}

impl Clients {
    /// Connects `count` clients to a plaintext ADS port.
    pub(crate) async fn connect(address: &str, count: usize) -> Result<Self> {
        let tally = Arc::new(Tally {
            start: Instant::now(),
            bytes: AtomicU64::new(0),
            responses: AtomicU64::new(0),
            last: AtomicU64::new(0),
        });
        let names = Names::default();
        let mut tasks = tokio::task::JoinSet::new();
        for index in 0..count {
            let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
            tasks.spawn(client(index, channel, tally.clone(), names.clone()));
        }
        Ok(Self { tally, tasks })
    }

    /// The first client that has ended, and why; a healthy run has none.
    pub(crate) fn failure(&mut self) -> Option<anyhow::Error> {
        match self.tasks.try_join_next()? {
            Ok(Ok(())) => Some(anyhow::anyhow!("the server closed a stream")),
            Ok(Err(error)) => Some(error),
            Err(error) => Some(error.into()),
        }
    }
}

async fn client(index: usize, channel: Channel, tally: Arc<Tally>, names: Names) -> Result<()> {
    let (sender, receiver) = mpsc::channel::<DeltaDiscoveryRequest>(64);
    let mut service = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(64 << 20);
    let subscribe = |kind: &str, names: Vec<String>| DeltaDiscoveryRequest {
        type_url: kind.to_owned(),
        resource_names_subscribe: names,
        ..DeltaDiscoveryRequest::default()
    };
    sender.send(DeltaDiscoveryRequest { node: Some(node_of(index)), ..subscribe(CLUSTER, vec![]) }).await?;
    sender.send(subscribe(LISTENER, vec![])).await?;
    let stream = tokio_stream(receiver);
    let mut responses = service.delta_aggregated_resources(stream).await?.into_inner();
    let mut subscribed: BTreeSet<(&'static str, String)> = BTreeSet::new();
    while let Some(response) = responses.message().await? {
        tally.count(&response);
        let wanted = look(&response, &names).await?;
        sender
            .send(DeltaDiscoveryRequest {
                type_url: response.type_url,
                response_nonce: response.nonce,
                ..DeltaDiscoveryRequest::default()
            })
            .await?;
        for kind in [ENDPOINTS, ROUTE, VIRTUAL_HOST] {
            let new = wanted
                .iter()
                .filter(|(wanted, _)| *wanted == kind)
                .filter(|entry| !subscribed.contains(*entry));
            let new: Vec<_> = new.cloned().collect();
            if !new.is_empty() {
                sender.send(subscribe(kind, new.iter().map(|(_, name)| name.clone()).collect())).await?;
                subscribed.extend(new);
            }
        }
    }
    Ok(())
}

fn tokio_stream(
    mut receiver: mpsc::Receiver<DeltaDiscoveryRequest>,
) -> impl futures::Stream<Item = DeltaDiscoveryRequest> {
    futures::stream::poll_fn(move |context| receiver.poll_recv(context))
}

/// The resources that a response's resources name.
async fn look(response: &DeltaDiscoveryResponse, names: &Names) -> Result<BTreeSet<(&'static str, String)>> {
    let mut known = names.lock().await;
    let mut wanted = BTreeSet::new();
    for resource in &response.resources {
        let body = resource.resource.as_ref().map_or(&[][..], |any| &any.value);
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let key = hasher.finish();
        let named = match known.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(named_by(&response.type_url, resource, body)?),
        };
        wanted.extend(named.clone());
    }
    Ok(wanted)
}

fn named_by(kind: &str, resource: &Resource, body: &[u8]) -> Result<Option<(&'static str, String)>> {
    Ok(match kind {
        CLUSTER => {
            let cluster = Cluster::decode(body)?;
            let eds = matches!(
                cluster.cluster_discovery_type,
                Some(cluster::ClusterDiscoveryType::Type(kind)) if kind == cluster::DiscoveryType::Eds as i32
            );
            eds.then_some((ENDPOINTS, cluster.name))
        }
        LISTENER => route_of(&Listener::decode(body)?)?.map(|name| (ROUTE, name)),
        ROUTE => Some((VIRTUAL_HOST, format!("{}/*", resource.name))),
        _ => None,
    })
}

fn route_of(listener: &Listener) -> Result<Option<String>> {
    let chains = listener.filter_chains.iter().chain(&listener.default_filter_chain);
    for filter in chains.flat_map(|chain| &chain.filters) {
        let Some(filter::ConfigType::TypedConfig(config)) = &filter.config_type else { continue };
        if config.type_url.ends_with("HttpConnectionManager") {
            let manager = HttpConnectionManager::decode(config.value.as_slice())?;
            if let Some(RouteSpecifier::Rds(rds)) = manager.route_specifier {
                return Ok(Some(rds.route_config_name));
            }
        }
    }
    Ok(None)
}

fn node_of(index: usize) -> Node {
    let text = |value: String| Value { kind: Some(Kind::StringValue(value)) };
    let (pod, address) = (format!("client-{index}"), format!("10.250.{}.{}", index / 250, index % 250 + 1));
    let fields = [
        ("NAME", pod.clone()),
        ("NAMESPACE", "ns0".to_owned()),
        ("CLUSTER_ID", "Kubernetes".to_owned()),
        ("SERVICE_ACCOUNT", "default".to_owned()),
        ("INSTANCE_IPS", address.clone()),
    ];
    Node {
        id: format!("sidecar~{address}~{pod}.ns0~ns0.svc.cluster.local"),
        cluster: "client.ns0".to_owned(),
        metadata: Some(Struct {
            fields: fields.into_iter().map(|(key, value)| (key.to_owned(), text(value))).collect(),
        }),
        user_agent_name: "trysail".to_owned(),
        user_agent_version_type: Some(node::UserAgentVersionType::UserAgentVersion(
            env!("CARGO_PKG_VERSION").to_owned(),
        )),
        ..Node::default()
    }
}

/// Waits until nothing has come for `quiet` and returns how many responses there were before.
pub(crate) async fn settle(
    tally: &Tally,
    quiet: std::time::Duration,
    limit: std::time::Duration,
) -> Result<u64> {
    let deadline = Instant::now() + limit;
    let mut seen = tally.responses.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(quiet).await;
        let now = tally.responses.load(Ordering::Relaxed);
        if now == seen {
            return Ok(now);
        }
        seen = now;
        if Instant::now() > deadline {
            return Err(anyhow::anyhow!("responses still come after {limit:?}"))
                .context("the control plane does not settle");
        }
    }
}
