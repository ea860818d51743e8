//! Both ends of mutual TLS, connected in memory.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pki::tls::{ClientAuth, PeerNames, client_config, peer_id, server_config, sni};
use pki::{Ca, Identity, SpiffeId, TrustBundle};
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, Error, ServerConfig, ServerConnection, SideData,
};

use crate::ca::{id, new_ca};

const SNI: &str = "outbound_.9080_._.reviews.default.svc.cluster.local";

pub(crate) struct TlsPair {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

fn identity(ca: &Ca, account: &str) -> Arc<Identity> {
    let cert = ca.issue_workload(&id(account), Duration::from_hours(1), SystemTime::now()).unwrap();
    Identity::new(cert, ca.bundle().clone())
}

fn only(account: &str) -> PeerNames {
    PeerNames::OneOf(Arc::new([id(account).to_string()]))
}

impl TlsPair {
    pub(crate) fn of(ca: &Ca, client: &str, server: &str) -> Self {
        Self {
            client: client_config(identity(ca, client), only(server), &[b"istio"]).unwrap(),
            server: server_config(identity(ca, server), ClientAuth::Required, &[]).unwrap(),
        }
    }
}

/// Runs a handshake; returns the server's id as the client saw it, and the client's as the server saw it.
pub(crate) fn handshake(pair: &TlsPair) -> Result<(Option<SpiffeId>, Option<SpiffeId>), Error> {
    let (client, server) = finish(pair)?;
    Ok((peer_id(client.peer_certificates()), peer_id(server.peer_certificates())))
}

fn finish(pair: &TlsPair) -> Result<(ClientConnection, ServerConnection), Error> {
    let mut client = ClientConnection::new(pair.client.clone(), sni(SNI).unwrap())?;
    let mut server = ServerConnection::new(pair.server.clone())?;
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
        carry(&mut client, &mut server)?;
        carry(&mut server, &mut client)?;
    }
    Ok((client, server))
}

fn carry<A: SideData, B: SideData>(
    from: &mut ConnectionCommon<A>,
    to: &mut ConnectionCommon<B>,
) -> Result<(), Error> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn both_ends_learn_the_others_identity_over_tls_13_with_aes_128_and_a_hybrid_key_exchange() {
    let (client, server) = finish(&TlsPair::of(&new_ca().0, "productpage", "reviews")).unwrap();
    assert_eq!(peer_id(client.peer_certificates()), Some(id("reviews")));
    assert_eq!(peer_id(server.peer_certificates()), Some(id("productpage")));
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(
        server.negotiated_cipher_suite().unwrap().suite(),
        rustls::CipherSuite::TLS13_AES_128_GCM_SHA256
    );
    assert_eq!(server.negotiated_key_exchange_group().unwrap().name(), rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(server.server_name(), Some(SNI));
    assert_eq!(server.alpn_protocol(), None, "an empty list negotiates nothing and refuses nothing");
}

#[test]
fn a_server_with_another_identity_is_refused() {
    let ca = new_ca().0;
    let pair = TlsPair {
        client: client_config(identity(&ca, "a"), only("b"), &[]).unwrap(),
        ..TlsPair::of(&ca, "a", "c")
    };
    assert!(matches!(handshake(&pair), Err(Error::InvalidCertificate(_))));
}

#[test]
fn peers_of_another_root_are_refused_by_both_ends() {
    let (ours, theirs) = (new_ca().0, new_ca().0);
    let (a, b) = (TlsPair::of(&ours, "a", "b"), TlsPair::of(&theirs, "a", "b"));
    let foreign_server = TlsPair { client: a.client.clone(), server: b.server };
    assert!(handshake(&foreign_server).is_err());
    let stranger = Identity::new(
        theirs.issue_workload(&id("a"), Duration::from_hours(1), SystemTime::now()).unwrap(),
        ours.bundle().clone(),
    );
    let foreign_client =
        TlsPair { client: client_config(stranger, PeerNames::Any, &[]).unwrap(), server: a.server };
    assert!(handshake(&foreign_client).is_err());
}

#[test]
fn a_client_without_certificate_passes_only_where_it_is_optional() {
    let ca = new_ca().0;
    let bare = client_config(Identity::roots_only(ca.bundle().clone()), PeerNames::Any, &[]).unwrap();
    for (auth, passes) in
        [(ClientAuth::Required, false), (ClientAuth::Optional, true), (ClientAuth::None, true)]
    {
        let server = server_config(identity(&ca, "b"), auth, &[]).unwrap();
        let outcome = handshake(&TlsPair { client: bare.clone(), server });
        assert_eq!(outcome.is_ok(), passes, "{auth:?}");
        if let Ok((server, client)) = outcome {
            assert_eq!((server, client), (Some(id("b")), None));
        }
    }
}

#[test]
fn an_expired_certificate_is_refused() {
    let ca = new_ca().0;
    let yesterday = SystemTime::now() - Duration::from_hours(24);
    let old = ca.issue_workload(&id("b"), Duration::from_hours(1), yesterday).unwrap();
    let server = server_config(Identity::new(old, ca.bundle().clone()), ClientAuth::None, &[]).unwrap();
    let pair = TlsPair { server, ..TlsPair::of(&ca, "a", "b") };
    assert!(matches!(handshake(&pair), Err(Error::InvalidCertificate(_))));
}

#[test]
fn rotation_needs_no_new_configuration() {
    let (old, new) = (new_ca().0, new_ca().0);
    let (client, server) = (identity(&old, "a"), identity(&old, "b"));
    let pair = TlsPair {
        client: client_config(client.clone(), only("b"), &[]).unwrap(),
        server: server_config(server.clone(), ClientAuth::Required, &[]).unwrap(),
    };
    handshake(&pair).unwrap();
    let both = old.bundle().merged(new.bundle()).unwrap();
    let hour = Duration::from_hours(1);
    for identity in [&client, &server] {
        identity.set_bundle(both.clone());
    }
    server.set_cert(new.issue_workload(&id("b"), hour, SystemTime::now()).unwrap());
    handshake(&pair).unwrap();
    client.set_cert(new.issue_workload(&id("a"), hour, SystemTime::now()).unwrap());
    client.set_bundle(new.bundle().clone());
    server.set_bundle(new.bundle().clone());
    handshake(&pair).unwrap();
}

#[test]
fn without_a_certificate_or_roots_nothing_is_served_and_nothing_trusted() {
    let ca = new_ca().0;
    let empty = server_config(Identity::empty(), ClientAuth::None, &[]).unwrap();
    assert!(handshake(&TlsPair { server: empty, ..TlsPair::of(&ca, "a", "b") }).is_err());
    let trusting = client_config(Identity::roots_only(TrustBundle::default()), PeerNames::Any, &[]).unwrap();
    assert!(handshake(&TlsPair { client: trusting, ..TlsPair::of(&ca, "a", "b") }).is_err());
}

#[test]
fn the_control_plane_is_known_by_its_dns_name() {
    let ca = new_ca().0;
    let cert = ca
        .issue_server(&["istiod.istio-system.svc".into()], Duration::from_hours(1), SystemTime::now())
        .unwrap();
    let server =
        server_config(Identity::new(cert, ca.bundle().clone()), ClientAuth::Optional, &[b"h2"]).unwrap();
    let client = pki::tls::control_plane_client_config(Identity::roots_only(ca.bundle().clone())).unwrap();
    for (name, fits) in [("istiod.istio-system.svc", true), ("istiod.other.svc", false)] {
        let mut near = ClientConnection::new(client.clone(), sni(name).unwrap()).unwrap();
        let mut far = ServerConnection::new(server.clone()).unwrap();
        let outcome = (0..4).try_for_each(|_| {
            carry(&mut near, &mut far)?;
            carry(&mut far, &mut near)
        });
        assert_eq!(outcome.is_ok(), fits, "{name}");
    }
}
