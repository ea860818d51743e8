//! Both ends together under random events: whatever happened, once it is quiet the client holds what it wants.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use proptest::prelude::*;
use xds::ResourceType::{self, Cluster, Endpoints, Listener, VirtualHost};
use xds::client::{DeltaClient, Rejected};
use xds::server::{DeltaServer, Limits, Next, Snapshot as _};

use crate::world::{World, response, v};

#[derive(Clone, Debug)]
enum Event {
    /// The mesh changes: version 0 removes.
    Set(ResourceType, &'static str, u64),
    /// The client starts or stops wanting virtual hosts of a route.
    Want(&'static str),
    Leave(&'static str),
    /// Messages move.
    ServerSends,
    ServerHears,
    ClientSends,
    ClientHears,
    Reconnect,
    Time,
}

fn event() -> impl Strategy<Value = Event> {
    let cluster = prop::sample::select(vec!["a", "b", "c", "bad"]);
    let host = prop::sample::select(vec!["80/x", "80/y", "81/x", "81/bad"]);
    let route = prop::sample::select(vec!["80/*", "81/*", "81/x"]);
    let kind = prop::sample::select(vec![Cluster, Endpoints, Listener]);
    prop_oneof![
        4 => (kind, cluster, 0..4u64).prop_map(|(kind, name, version)| Event::Set(kind, name, version)),
        2 => (host, 0..4u64).prop_map(|(name, version)| Event::Set(VirtualHost, name, version)),
        1 => route.clone().prop_map(Event::Want),
        1 => route.prop_map(Event::Leave),
        4 => Just(Event::ServerSends),
        4 => Just(Event::ServerHears),
        4 => Just(Event::ClientSends),
        4 => Just(Event::ClientHears),
        1 => Just(Event::Reconnect),
        1 => Just(Event::Time),
    ]
}

struct Run {
    world: Arc<World>,
    server: DeltaServer<World>,
    client: DeltaClient,
    to_server: VecDeque<DeltaDiscoveryRequest>,
    to_client: VecDeque<DeltaDiscoveryResponse>,
    applied: BTreeMap<ResourceType, BTreeMap<String, u64>>,
    wanted: BTreeSet<&'static str>,
    now: Instant,
}

const LIMITS: Limits =
    Limits { names_per_type: 100, name_bytes: 100, response_bytes: 150, hold: Duration::from_secs(2) };

impl Run {
    fn new() -> Self {
        let mut client = DeltaClient::new(Node::default());
        client.subscribe_all(Cluster.url());
        client.subscribe_all(Listener.url());
        client.connected();
        Self {
            world: World::of(&[]),
            server: DeltaServer::new(LIMITS, false),
            client,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            applied: BTreeMap::new(),
            wanted: BTreeSet::new(),
            now: Instant::now(),
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Set(kind, name, 0) => self.world = self.world.without(kind, name),
            Event::Set(kind, name, version) => self.world = self.world.with(kind, name, version),
            Event::Want(route) => {
                self.wanted.insert(route);
                self.client.subscribe(VirtualHost.url(), route);
            }
            Event::Leave(route) => {
                self.wanted.remove(route);
                self.client.unsubscribe(VirtualHost.url(), route);
                let wanted = &self.wanted;
                let hosts = self.applied.entry(VirtualHost).or_default();
                hosts.retain(|name, _| wants(wanted, name));
            }
            Event::ServerSends => drop(self.server_sends()),
            Event::ServerHears => drop(self.server_hears()),
            Event::ClientSends => drop(self.client_sends()),
            Event::ClientHears => drop(self.client_hears()),
            Event::Reconnect => self.reconnect(),
            Event::Time => self.now += Duration::from_secs(3),
        }
    }

    fn server_sends(&mut self) -> bool {
        match self.server.poll(&self.world, self.now) {
            Next::Send(plan) => self.to_client.push_back(response(&plan, &self.world)),
            Next::Wait(until) => self.now = until,
            Next::Idle => return false,
        }
        true
    }

    fn server_hears(&mut self) -> bool {
        let Some(request) = self.to_server.pop_front() else { return false };
        self.server.request(request, &self.world).unwrap();
        true
    }

    fn client_sends(&mut self) -> bool {
        let Some(request) = self.client.poll_request() else { return false };
        self.to_server.push_back(request);
        true
    }

    fn client_hears(&mut self) -> bool {
        let Some(response) = self.to_client.pop_front() else { return false };
        let kind = ResourceType::from_url(&response.type_url).unwrap();
        let (update, receipt) = self.client.receive(response).unwrap();
        let applied = self.applied.entry(kind).or_default();
        let mut rejected = Vec::new();
        for one in update.changed {
            if one.name.contains("bad") {
                rejected.push(Rejected { name: one.name, reason: "bad".into() });
                continue;
            }
            if kind == Cluster && !applied.contains_key(&one.name) {
                self.client.subscribe(Endpoints.url(), one.name.clone());
            }
            applied.insert(one.name, xds::wire::parse_version(&one.version).unwrap());
        }
        let mut gone = Vec::new();
        for name in update.removed {
            if applied.remove(&name).is_some() && kind == Cluster {
                self.client.unsubscribe(Endpoints.url(), &name);
                gone.push(name);
            }
        }
        for name in gone {
            self.applied.entry(Endpoints).or_default().remove(&name);
        }
        self.client.settle(receipt, &rejected);
        true
    }

    fn reconnect(&mut self) {
        self.to_server.clear();
        self.to_client.clear();
        self.server = DeltaServer::new(LIMITS, false);
        self.client.disconnected();
        self.client.connected();
    }

    /// Delivers everything until neither end has anything to say.
    fn quiesce(&mut self) {
        for _ in 0..10_000 {
            let moved = [self.client_sends(), self.server_hears(), self.server_sends(), self.client_hears()];
            if moved == [false; 4] {
                return;
            }
        }
        panic!("the two ends never stop talking");
    }

    fn expected(&self, kind: ResourceType) -> BTreeMap<String, u64> {
        let clusters = self.applied.get(&Cluster);
        let wanted = |name: &str| match kind {
            Endpoints => clusters.is_some_and(|clusters| clusters.contains_key(name)),
            VirtualHost => wants(&self.wanted, name),
            _ => true,
        };
        let names =
            self.world.names(kind, "").into_iter().filter(|name| wanted(name) && !name.contains("bad"));
        names.map(|name| (name.to_string(), self.world.version(kind, &name).unwrap())).collect()
    }
}

fn wants(wanted: &BTreeSet<&str>, name: &str) -> bool {
    wanted.contains(name)
        || wanted.iter().any(|one| one.strip_suffix('*').is_some_and(|prefix| name.starts_with(prefix)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_the_client_ends_with_what_it_wants(events in prop::collection::vec(event(), 0..120)) {
        let mut run = Run::new();
        for event in events {
            run.step(event);
        }
        run.quiesce();
        for kind in [Cluster, Endpoints, Listener, VirtualHost] {
            let applied = run.applied.get(&kind).cloned().unwrap_or_default();
            prop_assert_eq!(&applied, &run.expected(kind), "{} differ", kind);
            let held: BTreeMap<_, _> = run.client.held(kind.url()).map(|(n, x)| (n.to_owned(), x.to_owned())).collect();
            let expected: BTreeMap<_, _> = applied.into_iter().map(|(name, version)| (name, v(version))).collect();
            prop_assert_eq!(held, expected, "held versions of {} differ", kind);
        }
    }
}
