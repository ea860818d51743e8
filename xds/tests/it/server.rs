//! The server's end against scripted clients.

use std::sync::Arc;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::google::rpc::Status;
use xds::ResourceType::{self, Cluster, Endpoints, Listener, Route, Secret, VirtualHost};
use xds::server::{DeltaServer, Limits, Next, Plan, Received, Violation};

use crate::world::{World, ack, ask, v};

struct Script {
    server: DeltaServer<World>,
    world: Arc<World>,
    now: Instant,
}

impl Script {
    fn new(world: Arc<World>) -> Self {
        Self::with_limits(world, Limits::default())
    }

    fn with_limits(world: Arc<World>, limits: Limits) -> Self {
        Self { server: DeltaServer::new(limits, false), world, now: Instant::now() }
    }

    fn hears(&mut self, request: DeltaDiscoveryRequest) -> Received {
        self.server.request(request, &self.world).unwrap()
    }

    fn next(&mut self) -> Next {
        self.server.poll(&self.world, self.now)
    }

    fn sends(&mut self) -> Plan {
        match self.next() {
            Next::Send(plan) => plan,
            other => panic!("expected a response, got {other:?}"),
        }
    }

    /// Expects exactly these resources to be sent and removed, and acknowledges them.
    fn sends_and_acks(&mut self, kind: ResourceType, send: &[&str], remove: &[&str]) {
        let plan = self.sends();
        assert_eq!(plan.kind, kind);
        assert_eq!(plan.send.iter().map(|n| &**n).collect::<Vec<_>>(), send, "sent of {kind}");
        assert_eq!(plan.remove.iter().map(|n| &**n).collect::<Vec<_>>(), remove, "removed of {kind}");
        assert_eq!(self.hears(ack(&plan)), Received::Ack(kind));
    }

    fn is_idle(&mut self) {
        assert!(matches!(self.next(), Next::Idle));
    }
}

fn three_clusters() -> Arc<World> {
    World::of(&[(Cluster, "a", 1), (Cluster, "b", 1), (Cluster, "c", 1)])
}

#[test]
fn naming_nothing_first_asks_for_everything_where_envoy_means_it_so() {
    for (kind, all) in
        [(Cluster, true), (Listener, true), (Endpoints, false), (Route, false), (Secret, false)]
    {
        let mut script = Script::new(World::of(&[(kind, "x", 1)]));
        script.hears(ask(kind, &[]));
        assert_eq!(matches!(script.next(), Next::Send(_)), all, "{kind}");
    }
}

#[test]
fn who_asks_first_for_everything_is_told_if_there_is_nothing() {
    let mut script = Script::new(three_clusters());
    script.hears(ask(Listener, &[]));
    script.sends_and_acks(Listener, &[], &[]);
    script.is_idle();
    script.world = script.world.with(Listener, "l", 1);
    script.sends_and_acks(Listener, &["l"], &[]);

    // who brings something knows already
    let mut again = Script::new(script.world.clone());
    let mut request = ask(Listener, &[]);
    request.initial_resource_versions.insert("l".to_owned(), xds::wire::version_text(1));
    again.hears(request);
    again.is_idle();
}

#[test]
fn a_star_asks_for_everything_of_any_type_and_can_be_taken_back() {
    let mut script = Script::new(World::of(&[(Secret, "x", 1)]));
    script.hears(ask(Secret, &["*"]));
    script.sends_and_acks(Secret, &["x"], &[]);
    let stop = DeltaDiscoveryRequest {
        type_url: Secret.url().into(),
        resource_names_unsubscribe: vec!["*".into()],
        ..Default::default()
    };
    script.hears(stop);
    script.world = script.world.with(Secret, "x", 2);
    script.is_idle();
}

#[test]
fn only_what_changed_is_sent_after_the_first_response() {
    let mut script = Script::new(three_clusters());
    script.hears(ask(Cluster, &[]));
    script.sends_and_acks(Cluster, &["a", "b", "c"], &[]);
    script.is_idle();
    script.world = script.world.with(Cluster, "b", 2).without(Cluster, "c").with(Cluster, "d", 1);
    script.sends_and_acks(Cluster, &["b", "d"], &[]);
    script.sends_and_acks(Cluster, &[], &["c"]);
    script.is_idle();
}

#[test]
fn while_a_response_is_in_flight_changes_are_merged_and_the_latest_wins() {
    let mut script = Script::new(three_clusters());
    script.hears(ask(Cluster, &[]));
    let first = script.sends();
    for version in 2..50 {
        script.world = script.world.with(Cluster, "a", version).with(Cluster, "d", version);
        script.is_idle();
    }
    script.world = script.world.without(Cluster, "d");
    script.hears(ack(&first));
    script.sends_and_acks(Cluster, &["a"], &[]);
    // "d" came and went unseen; saying that it is gone is harmless, and cheaper than remembering that it was never sent.
    script.sends_and_acks(Cluster, &[], &["d"]);
    script.is_idle();
}

#[test]
fn a_rejected_version_is_not_sent_again_until_it_changes() {
    let mut script = Script::new(World::of(&[(Cluster, "bad", 1)]));
    script.hears(ask(Cluster, &[]));
    let plan = script.sends();
    let error_detail = Some(Status { code: 3, message: "bad: no".into(), details: vec![] });
    let received = script.hears(DeltaDiscoveryRequest { error_detail, ..ack(&plan) });
    assert_eq!(received, Received::Nack { kind: Cluster, message: "bad: no".into() });
    script.is_idle();
    script.world = script.world.with(Cluster, "bad", 2);
    script.sends_and_acks(Cluster, &["bad"], &[]);
}

#[test]
fn an_answer_with_an_old_nonce_acknowledges_nothing() {
    let mut script = Script::new(three_clusters());
    script.hears(ask(Cluster, &[]));
    let plan = script.sends();
    let stale = DeltaDiscoveryRequest { response_nonce: "ffff".into(), ..ack(&plan) };
    assert_eq!(script.hears(stale), Received::StaleNonce(Cluster));
    script.world = script.world.with(Cluster, "a", 2);
    script.is_idle();
    assert_eq!(script.hears(ack(&plan)), Received::Ack(Cluster));
    script.sends_and_acks(Cluster, &["a"], &[]);
}

#[test]
fn a_reconnecting_client_gets_only_the_difference() {
    let mut script = Script::new(three_clusters());
    let held = [("a", v(1)), ("b", v(9)), ("gone", v(1)), ("c", "from another server".into())];
    let initial_resource_versions = held.map(|(name, version)| (name.to_owned(), version)).into();
    script.hears(DeltaDiscoveryRequest { initial_resource_versions, ..ask(Cluster, &[]) });
    script.sends_and_acks(Cluster, &["b", "c"], &[]);
    script.sends_and_acks(Cluster, &[], &["gone"]);
    script.is_idle();
}

#[test]
fn names_that_do_not_exist_are_answered_as_removed_and_sent_when_they_appear() {
    let mut script = Script::new(World::of(&[(Endpoints, "a", 1)]));
    script.hears(ask(Endpoints, &["a", "nowhere"]));
    script.sends_and_acks(Endpoints, &["a"], &[]);
    script.sends_and_acks(Endpoints, &[], &["nowhere"]);
    script.world = script.world.with(Endpoints, "nowhere", 1);
    script.sends_and_acks(Endpoints, &["nowhere"], &[]);
}

#[test]
fn asking_again_is_answered_again() {
    let mut script = Script::new(World::of(&[(Endpoints, "a", 1), (Endpoints, "b", 1)]));
    script.hears(ask(Endpoints, &["a", "b"]));
    script.sends_and_acks(Endpoints, &["a", "b"], &[]);
    script.hears(ask(Endpoints, &["a"]));
    script.sends_and_acks(Endpoints, &["a"], &[]);
}

#[test]
fn unsubscribed_names_are_not_sent() {
    let mut script = Script::new(World::of(&[(Endpoints, "a", 1), (Endpoints, "b", 1)]));
    script.hears(ask(Endpoints, &["a", "b"]));
    script.sends_and_acks(Endpoints, &["a", "b"], &[]);
    let unsubscribe = DeltaDiscoveryRequest {
        type_url: Endpoints.url().into(),
        resource_names_unsubscribe: vec!["a".into()],
        ..Default::default()
    };
    script.hears(unsubscribe);
    script.world = script.world.with(Endpoints, "a", 2).with(Endpoints, "b", 2).with(Endpoints, "c", 2);
    script.sends_and_acks(Endpoints, &["b"], &[]);
    script.is_idle();
}

#[test]
fn a_prefix_asks_for_the_virtual_hosts_of_one_route() {
    let mut script = Script::new(World::of(&[
        (VirtualHost, "80/a", 1),
        (VirtualHost, "80/b", 1),
        (VirtualHost, "81/a", 1),
    ]));
    script.hears(ask(VirtualHost, &["80/*"]));
    script.sends_and_acks(VirtualHost, &["80/a", "80/b"], &[]);
    script.world =
        script.world.with(VirtualHost, "80/b", 2).with(VirtualHost, "81/a", 2).without(VirtualHost, "80/a");
    script.sends_and_acks(VirtualHost, &["80/b"], &["80/a"]);
    script.is_idle();
}

/// A client that holds cluster a with its endpoints and a virtual host that refers to it.
fn settled() -> Script {
    let mut script =
        Script::new(World::of(&[(Cluster, "a", 1), (Endpoints, "a", 1), (VirtualHost, "80/x", 1)]));
    script.hears(ask(Cluster, &[]));
    script.sends_and_acks(Cluster, &["a"], &[]);
    script.hears(ask(Endpoints, &["a"]));
    script.sends_and_acks(Endpoints, &["a"], &[]);
    script.hears(ask(VirtualHost, &["80/*"]));
    script.sends_and_acks(VirtualHost, &["80/x"], &[]);
    script
}

#[test]
fn a_route_to_a_new_cluster_waits_until_the_cluster_has_its_endpoints() {
    let mut script = settled();
    script.world = script.world.with(Cluster, "b", 1).with(Endpoints, "b", 1).with(VirtualHost, "80/x", 2);
    let clusters = script.sends();
    assert_eq!(clusters.kind, Cluster);
    script.is_idle();
    script.hears(ack(&clusters));
    assert!(matches!(script.next(), Next::Wait(_)), "the endpoints of b were not asked for yet");
    script.hears(ask(Endpoints, &["b"]));
    let endpoints = script.sends();
    assert_eq!(endpoints.kind, Endpoints);
    script.is_idle();
    script.hears(ack(&endpoints));
    script.sends_and_acks(VirtualHost, &["80/x"], &[]);
}

#[test]
fn a_client_that_never_asks_for_endpoints_is_not_waited_for_forever() {
    let mut script = settled();
    script.world = script.world.with(Cluster, "b", 1).with(Endpoints, "b", 1).with(VirtualHost, "80/x", 2);
    script.sends_and_acks(Cluster, &["b"], &[]);
    let Next::Wait(until) = script.next() else { panic!("should wait") };
    script.now = until;
    script.sends_and_acks(VirtualHost, &["80/x"], &[]);
}

#[test]
fn a_client_that_rejects_a_cluster_is_not_waited_for() {
    let mut script = settled();
    script.world = script.world.with(Cluster, "b", 1).with(Endpoints, "b", 1).with(VirtualHost, "80/x", 2);
    let plan = script.sends();
    let error_detail = Some(Status { code: 3, message: "b: no".into(), details: vec![] });
    script.hears(DeltaDiscoveryRequest { error_detail, ..ack(&plan) });
    script.sends_and_acks(VirtualHost, &["80/x"], &[]);
}

#[test]
fn a_cluster_is_removed_only_after_nothing_refers_to_it() {
    let mut script = settled();
    script.world = script.world.without(Cluster, "a").without(Endpoints, "a").with(VirtualHost, "80/x", 2);
    let hosts = script.sends();
    assert_eq!(hosts.kind, VirtualHost);
    script.is_idle();
    script.hears(ack(&hosts));
    script.sends_and_acks(Endpoints, &[], &["a"]);
    script.sends_and_acks(Cluster, &[], &["a"]);
    script.is_idle();
}

#[test]
fn an_endpoint_change_waits_for_nothing() {
    let mut script = settled();
    script.world = script.world.with(Endpoints, "a", 2).with(Listener, "unsubscribed", 1);
    script.sends_and_acks(Endpoints, &["a"], &[]);
    script.is_idle();
}

#[test]
fn a_stock_envoy_gets_the_endpoints_of_a_changed_cluster_again() {
    let mut script = settled();
    script.server = DeltaServer::new(Limits::default(), true);
    script.hears(ask(Cluster, &[]));
    script.sends_and_acks(Cluster, &["a"], &[]);
    script.hears(ask(Endpoints, &["a"]));
    script.sends_and_acks(Endpoints, &["a"], &[]);
    script.world = script.world.with(Cluster, "a", 2);
    script.sends_and_acks(Cluster, &["a"], &[]);
    script.sends_and_acks(Endpoints, &["a"], &[]);
    script.is_idle();
}

#[test]
fn a_large_answer_travels_in_several_responses() {
    let names: Vec<String> = (0..25).map(|n| format!("{n:02}")).collect();
    let world: Vec<_> = names.iter().map(|name| (Cluster, name.as_str(), 1)).collect();
    let limits = Limits { response_bytes: 1000, ..Limits::default() };
    let mut script = Script::with_limits(World::of(&world), limits);
    script.hears(ask(Cluster, &[]));
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    script.sends_and_acks(Cluster, &all[..10], &[]);
    script.sends_and_acks(Cluster, &all[10..20], &[]);
    script.sends_and_acks(Cluster, &all[20..], &[]);
    script.is_idle();
}

#[test]
fn a_stream_is_bounded() {
    let limits = Limits { names_per_type: 3, name_bytes: 10, ..Limits::default() };
    let mut script = Script::with_limits(three_clusters(), limits);
    let many = script.server.request(ask(Endpoints, &["1", "2", "3", "4"]), &script.world);
    assert_eq!(many, Err(Violation::TooManyNames { kind: Endpoints, limit: 3 }));
    script.hears(ask(Endpoints, &["1", "2"]));
    let more = script.server.request(ask(Endpoints, &["3", "4"]), &script.world);
    assert!(matches!(more, Err(Violation::TooManyNames { .. })));
    let long = script.server.request(ask(Endpoints, &["12345678901"]), &script.world);
    assert!(matches!(long, Err(Violation::NameTooLong { len: 11, .. })));
}

#[test]
fn a_type_that_is_not_served_is_reported_and_ignored() {
    let mut script = Script::new(three_clusters());
    let request = DeltaDiscoveryRequest { type_url: "type.googleapis.com/what".into(), ..Default::default() };
    assert!(matches!(script.hears(request), Received::UnknownType(_)));
    script.is_idle();
}

#[test]
fn synced_means_subscribed_sent_and_acknowledged() {
    let mut script = Script::new(three_clusters());
    assert!(!script.server.is_synced(Cluster, &script.world));
    script.hears(ask(Cluster, &[]));
    let plan = script.sends();
    assert!(!script.server.is_synced(Cluster, &script.world));
    script.hears(ack(&plan));
    assert!(script.server.is_synced(Cluster, &script.world));
    script.world = script.world.with(Cluster, "a", 2);
    assert!(!script.server.is_synced(Cluster, &script.world));
    script.now += Duration::from_secs(1);
    script.sends_and_acks(Cluster, &["a"], &[]);
    assert!(script.server.is_synced(Cluster, &script.world));
}
