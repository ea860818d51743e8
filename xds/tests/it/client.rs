//! The client's end against a scripted server.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use xds::ResourceType::{Cluster, Endpoints, Listener, VirtualHost};
use xds::client::{ClientError, DeltaClient, Rejected};

const CDS: &str = Cluster.url();
const EDS: &str = Endpoints.url();
const LDS: &str = Listener.url();
const VHDS: &str = VirtualHost.url();

fn connected() -> DeltaClient {
    let mut client = DeltaClient::new(Node { id: "sidecar~1.2.3.4~a.b~c".into(), ..Default::default() });
    client.connected();
    client
}

fn resource(type_url: &str, name: &str, version: &str) -> Resource {
    Resource {
        name: name.into(),
        version: version.into(),
        resource: Some(Any { type_url: type_url.into(), value: vec![] }),
        ..Default::default()
    }
}

fn response(
    type_url: &str,
    nonce: &str,
    resources: &[(&str, &str)],
    removed: &[&str],
) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        type_url: type_url.into(),
        nonce: nonce.into(),
        resources: resources.iter().map(|(name, version)| resource(type_url, name, version)).collect(),
        removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

fn requests(client: &mut DeltaClient) -> Vec<DeltaDiscoveryRequest> {
    std::iter::from_fn(|| client.poll_request()).collect()
}

/// Receives, applies all and returns the answer.
fn accept(client: &mut DeltaClient, response: DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    let (_, receipt) = client.receive(response).unwrap();
    client.settle(receipt, &[]);
    client.poll_request().unwrap()
}

fn held(client: &DeltaClient, type_url: &str) -> Vec<(String, String)> {
    client.held(type_url).map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

#[test]
fn the_first_request_introduces_the_node_and_clusters_come_first() {
    let mut client = connected();
    client.subscribe(EDS, "b");
    client.subscribe(EDS, "a");
    client.subscribe_all(LDS);
    client.subscribe_all(CDS);
    let sent = requests(&mut client);
    let types: Vec<_> = sent.iter().map(|request| request.type_url.as_str()).collect();
    assert_eq!(types, [CDS, EDS, LDS]);
    assert_eq!(sent.iter().map(|request| request.node.is_some()).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(sent[1].resource_names_subscribe, ["a", "b"]);
}

#[test]
fn nothing_is_sent_without_a_stream_or_interest() {
    let mut client = DeltaClient::new(Node::default());
    client.subscribe_all(CDS);
    assert!(client.poll_request().is_none());
    client.connected();
    assert_eq!(requests(&mut client).len(), 1);
    assert!(client.poll_request().is_none());
}

#[test]
fn changes_of_interest_are_merged_until_they_are_sent() {
    let mut client = connected();
    client.subscribe(EDS, "a");
    requests(&mut client);
    client.subscribe(EDS, "b");
    client.subscribe(EDS, "c");
    client.unsubscribe(EDS, "c");
    client.unsubscribe(EDS, "a");
    client.unsubscribe(EDS, "unknown");
    let sent = requests(&mut client);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].resource_names_subscribe, ["b"]);
    assert_eq!(sent[0].resource_names_unsubscribe, ["a", "c"]);
}

#[test]
fn a_good_response_is_acknowledged_with_its_nonce() {
    let mut client = connected();
    client.subscribe_all(CDS);
    requests(&mut client);
    let ack = accept(&mut client, response(CDS, "n1", &[("a", "1"), ("b", "1")], &[]));
    assert_eq!((ack.response_nonce.as_str(), ack.error_detail), ("n1", None));
    accept(&mut client, response(CDS, "n2", &[("a", "2")], &["b"]));
    assert_eq!(held(&client, CDS), [("a".into(), "2".into())]);
}

#[test]
fn what_a_response_leads_to_is_asked_for_before_it_is_acknowledged() {
    let mut client = connected();
    client.subscribe_all(LDS);
    requests(&mut client);
    let (_, receipt) = client.receive(response(LDS, "n1", &[("0.0.0.0_80", "1")], &[])).unwrap();
    client.subscribe(VHDS, "80/*");
    client.settle(receipt, &[]);
    let kinds: Vec<_> = requests(&mut client).into_iter().map(|request| request.type_url).collect();
    assert_eq!(kinds, [VHDS, LDS]);
}

#[test]
fn a_bad_resource_is_named_and_the_good_ones_are_held() {
    let mut client = connected();
    client.subscribe_all(CDS);
    requests(&mut client);
    accept(&mut client, response(CDS, "n1", &[("bad", "1"), ("good", "1")], &[]));
    let (update, receipt) = client.receive(response(CDS, "n2", &[("bad", "2"), ("good", "2")], &[])).unwrap();
    assert_eq!(update.changed.len(), 2);
    client.settle(receipt, &[Rejected { name: "bad".into(), reason: "unknown filter \"x\"".into() }]);
    let nack = client.poll_request().unwrap();
    assert_eq!(nack.response_nonce, "n2");
    assert_eq!(nack.error_detail.unwrap().message, "bad: unknown filter \"x\"");
    assert_eq!(held(&client, CDS), [("bad".into(), "1".into()), ("good".into(), "2".into())]);
}

#[test]
fn malformed_resources_are_rejected_before_anybody_sees_them() {
    let mut client = connected();
    client.subscribe_all(CDS);
    requests(&mut client);
    let mut mixed = response(CDS, "n1", &[("good", "1"), ("twice", "1"), ("twice", "2"), ("", "1")], &[]);
    mixed.resources.push(Resource { name: "empty".into(), ..Default::default() });
    mixed.resources.push(Resource { name: "other".into(), ..resource(LDS, "other", "1") });
    let (update, receipt) = client.receive(mixed).unwrap();
    assert_eq!(update.changed.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["good", "twice"]);
    client.settle(receipt, &[]);
    let message = client.poll_request().unwrap().error_detail.unwrap().message;
    for named in ["twice", "empty", "other", "has no name"] {
        assert!(message.contains(named), "{named} in {message}");
    }
}

#[test]
fn a_nack_is_bounded() {
    let mut client = connected();
    client.subscribe_all(CDS);
    requests(&mut client);
    let (_, receipt) = client.receive(response(CDS, "n1", &[], &[])).unwrap();
    let rejected: Vec<_> =
        (0..5000).map(|n| Rejected { name: n.to_string(), reason: "é".repeat(9000) }).collect();
    client.settle(receipt, &rejected);
    assert!(client.poll_request().unwrap().error_detail.unwrap().message.len() < 20_000);
}

#[test]
fn after_a_reconnect_the_server_learns_what_is_held() {
    let mut client = connected();
    client.subscribe_all(CDS);
    client.subscribe(EDS, "a");
    requests(&mut client);
    accept(&mut client, response(CDS, "n1", &[("a", "1")], &[]));
    client.disconnected();
    client.subscribe(EDS, "b");
    assert!(client.poll_request().is_none());
    client.connected();
    let sent = requests(&mut client);
    assert_eq!(sent[0].initial_resource_versions, [("a".to_owned(), "1".to_owned())].into());
    assert!(sent[0].node.is_some());
    assert_eq!(sent[1].resource_names_subscribe, ["a", "b"]);
}

#[test]
fn a_response_of_an_earlier_stream_is_applied_but_not_acknowledged() {
    let mut client = connected();
    client.subscribe_all(CDS);
    requests(&mut client);
    let (_, receipt) = client.receive(response(CDS, "n1", &[("a", "1")], &[])).unwrap();
    client.disconnected();
    client.connected();
    requests(&mut client);
    client.settle(receipt, &[]);
    assert!(client.poll_request().is_none());
    assert_eq!(held(&client, CDS).len(), 1);
}

#[test]
fn what_is_no_longer_wanted_is_acknowledged_and_dropped() {
    let mut client = connected();
    client.subscribe(EDS, "a");
    requests(&mut client);
    client.unsubscribe(EDS, "a");
    requests(&mut client);
    let (update, receipt) = client.receive(response(EDS, "n1", &[("a", "1")], &[])).unwrap();
    assert!(update.changed.is_empty());
    client.settle(receipt, &[]);
    assert!(client.poll_request().unwrap().error_detail.is_none());
    assert!(held(&client, EDS).is_empty());
}

#[test]
fn a_prefix_wants_all_below_it_and_forgets_them_together() {
    let mut client = connected();
    client.subscribe(VHDS, "80/*");
    client.subscribe(VHDS, "81/*");
    requests(&mut client);
    accept(
        &mut client,
        response(VHDS, "n1", &[("80/a", "1"), ("80/b", "1"), ("81/a", "1"), ("82/a", "1")], &[]),
    );
    assert_eq!(held(&client, VHDS).len(), 3);
    client.unsubscribe(VHDS, "80/*");
    assert_eq!(held(&client, VHDS), [("81/a".into(), "1".into())]);
}

#[test]
fn a_type_that_nobody_asked_for_is_an_error() {
    let mut client = connected();
    let error = client.receive(response(LDS, "n1", &[], &[])).unwrap_err();
    assert_eq!(error, ClientError::UnexpectedType(LDS.into()));
}
