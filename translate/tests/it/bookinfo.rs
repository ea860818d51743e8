//! Services and their endpoints, without any rule.

use insta::assert_snapshot;
use translate::ResourceType;

use crate::fixture::{BOOKINFO, Rig};
use crate::render::render;

#[test]
fn listeners_are_shared_for_http_and_by_address_for_the_rest() {
    assert_snapshot!(render(&Rig::sidecar(&[BOOKINFO]).resources, ResourceType::Listener, "_"));
}

#[test]
fn the_outbound_catch_all_passes_through() {
    assert_snapshot!(render(&Rig::sidecar(&[BOOKINFO]).resources, ResourceType::Listener, "virtualOutbound"));
}

#[test]
fn inbound_takes_mutual_tls_and_plaintext() {
    assert_snapshot!(render(&Rig::sidecar(&[BOOKINFO]).resources, ResourceType::Listener, "virtualInbound"));
}

#[test]
fn routes_know_every_name_of_a_service() {
    assert_snapshot!(render(&Rig::sidecar(&[BOOKINFO]).resources, ResourceType::Route, ""));
}

#[test]
fn our_own_proxies_get_virtual_hosts_one_by_one() {
    let rig = Rig::trysail(&[BOOKINFO]);
    assert_snapshot!(format!(
        "{}\n\n{}",
        render(&rig.resources, ResourceType::Route, ""),
        render(&rig.resources, ResourceType::VirtualHost, "9080/")
    ));
}

#[test]
fn clusters_speak_mutual_tls_where_the_endpoint_does() {
    assert_snapshot!(render(&Rig::sidecar(&[BOOKINFO]).resources, ResourceType::Cluster, ""));
}

#[test]
fn a_proxy_of_ours_chooses_alpn_itself() {
    assert_snapshot!(render(&Rig::trysail(&[BOOKINFO]).resources, ResourceType::Cluster, "far"));
}

#[test]
fn endpoints_say_whether_they_take_mutual_tls() {
    assert_snapshot!(render(&Rig::sidecar(&[BOOKINFO]).resources, ResourceType::Endpoints, ""));
}

#[test]
fn strict_and_disabled_ports_have_only_what_they_take() {
    let policy = |mode: &str| {
        format!(
            "{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {{name: all, namespace: shop}}, \
             spec: {{mtls: {{mode: {mode}}}}}}}"
        )
    };
    for mode in ["STRICT", "DISABLE"] {
        let rig = Rig::sidecar(&[BOOKINFO, &policy(mode)]);
        assert_snapshot!(mode, render(&rig.resources, ResourceType::Listener, "virtualInbound"));
    }
    let rig = Rig::sidecar(&[BOOKINFO, &policy("DISABLE")]);
    assert_snapshot!("endpoints", render(&rig.resources, ResourceType::Endpoints, "reviews"));
}
