//! Which chain takes which connection, and which listener owns which destination.

use super::{
    Transport::{RawBuffer, Tls},
    *,
};

fn chain(name: &str, matcher: ChainMatch) -> Arc<FilterChain> {
    Arc::new(FilterChain {
        name: name.into(),
        matcher,
        tls: None,
        transport_timeout: None,
        network: Network::Tcp(Arc::new(TcpProxy::to_cluster("c"))),
        fingerprint: 0,
    })
}

fn port(port: u16) -> ChainMatch {
    ChainMatch { destination_port: Some(port), ..ChainMatch::default() }
}

fn names(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

fn protocols(names: &[&str]) -> Vec<Box<[u8]>> {
    names.iter().map(|name| name.as_bytes().into()).collect()
}

#[test]
fn the_most_specific_chain_wins_condition_by_condition() {
    let tls = |matcher| ChainMatch { transport_protocol: Some(Tls), ..matcher };
    let istio =
        |matcher| ChainMatch { application_protocols: names(&["istio-http/1.1", "istio"]), ..matcher };
    let chains = FilterChains::new(
        vec![
            chain("9080 istio", istio(tls(port(9080)))),
            chain("9080 tls", tls(port(9080))),
            chain("9080 plain", ChainMatch { transport_protocol: Some(RawBuffer), ..port(9080) }),
            chain(
                "10.0.0.0/8",
                ChainMatch { prefix_ranges: vec!["10.0.0.0/8".parse().unwrap()], ..port(3306) },
            ),
            chain(
                "10.1.0.0/16",
                ChainMatch { prefix_ranges: vec!["10.1.0.0/16".parse().unwrap()], ..port(3306) },
            ),
            chain("exact", ChainMatch { server_names: names(&["a.example.com"]), ..port(443) }),
            chain("wide", ChainMatch { server_names: names(&["*.com"]), ..port(443) }),
            chain("narrow", ChainMatch { server_names: names(&["*.example.com"]), ..port(443) }),
            chain(
                "any port, http",
                ChainMatch { application_protocols: names(&["http/1.1"]), ..ChainMatch::default() },
            ),
            chain("any port", ChainMatch::default()),
        ],
        Some(chain("default", ChainMatch::default())),
    );
    for (destination, server_name, transport, offers, expected) in [
        ("10.0.0.1:9080", "", Tls, &["istio-http/1.1"][..], "9080 istio"),
        ("10.0.0.1:9080", "", Tls, &["trysail-h2", "istio-http/1.1"], "9080 istio"),
        ("10.0.0.1:9080", "", Tls, &["h2"], "9080 tls"),
        ("10.0.0.1:9080", "", RawBuffer, &["http/1.1"], "9080 plain"),
        ("10.1.0.1:3306", "", RawBuffer, &[], "10.1.0.0/16"),
        ("10.2.0.1:3306", "", RawBuffer, &[], "10.0.0.0/8"),
        // A chain for the port hides those for any port, even where nothing in it fits.
        ("11.2.0.1:3306", "", RawBuffer, &[], "default"),
        ("10.0.0.1:443", "a.example.com", Tls, &[], "exact"),
        ("10.0.0.1:443", "b.example.com", Tls, &[], "narrow"),
        ("10.0.0.1:443", "a.b.example.com", Tls, &[], "narrow"),
        ("10.0.0.1:443", "example.com", Tls, &[], "wide"),
        ("10.0.0.1:443", "example.org", Tls, &[], "default"),
        ("10.0.0.1:8080", "", RawBuffer, &["http/1.1"], "any port, http"),
        ("10.0.0.1:8080", "", RawBuffer, &[], "any port"),
    ] {
        let view = ConnectionView {
            destination: destination.parse().unwrap(),
            source: "192.0.2.1".parse().unwrap(),
            server_name,
            transport,
            protocols: &protocols(offers),
        };
        let found = chains.find(&view).map(|chain| &*chain.name);
        assert_eq!(found, Some(expected), "{destination} {server_name} {offers:?}");
    }
}

fn listener(name: &str, address: &str, bind: bool) -> Arc<Listener> {
    Arc::new(Listener {
        name: name.into(),
        addresses: vec![address.parse().unwrap()],
        bind,
        original_destination: false,
        hand_off: false,
        direction: Direction::Outbound,
        tls_inspector: None,
        http_inspector: None,
        detection_timeout: None,
        continue_on_timeout: true,
        proxy_protocol: false,
        chains: FilterChains::default(),
        access_logs: Vec::new(),
    })
}

#[test]
fn a_destination_belongs_to_its_address_before_its_port() {
    let listeners = Listeners::new(vec![
        listener("virtualOutbound", "0.0.0.0:15001", true),
        listener("0.0.0.0_9080", "0.0.0.0:9080", false),
        listener("10.96.0.7_9080", "10.96.0.7:9080", false),
    ]);
    let owner =
        |address: &str| listeners.owner(address.parse().unwrap()).map(|listener| listener.name.to_string());
    assert_eq!(owner("10.96.0.7:9080").unwrap(), "10.96.0.7_9080");
    assert_eq!(owner("10.96.0.8:9080").unwrap(), "0.0.0.0_9080");
    assert_eq!(owner("10.96.0.8:81"), None);
    assert_eq!(listeners.bound().count(), 1);
    assert!(listeners.bound_to("0.0.0.0:9080".parse().unwrap()).is_none());
}
