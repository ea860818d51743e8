//! Istio Gateways.

use insta::assert_snapshot;
use translate::ResourceType;

use crate::fixture::{BOOKINFO, Rig};
use crate::render::render;

const EDGE: &str = include_str!("cases/edge.yaml");

#[test]
fn servers_become_listeners_and_chains() {
    assert_snapshot!(render(&Rig::gateway(&[BOOKINFO, EDGE]).resources, ResourceType::Listener, ""));
}

#[test]
fn routes_are_made_for_the_hosts_that_both_sides_name() {
    assert_snapshot!(render(&Rig::gateway(&[BOOKINFO, EDGE]).resources, ResourceType::Route, ""));
}

#[test]
fn secrets_come_only_from_the_gateways_own_namespace() {
    assert_snapshot!(render(&Rig::gateway(&[BOOKINFO, EDGE]).resources, ResourceType::Secret, ""));
}

#[test]
fn a_port_without_routes_answers_404() {
    let lonely = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: lonely, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8888, name: http, protocol: HTTP}, hosts: ['*']}]
";
    let rig = Rig::gateway(&[BOOKINFO, EDGE, lonely]);
    assert_snapshot!(render(&rig.resources, ResourceType::Route, "http.8888"), @r#"
    http.8888
      blackhole:8888 ["*"]
    "#);
}
