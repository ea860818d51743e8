//! Who may ask what was decided about a request, and the answer: `x-trysail-debug: decision` and `x-trysail-decision`.
//!
//! Off unless the pod's annotation or the environment names callers. A caller who isn't named gets no answer, and the
//! question goes no further: the next proxy would take it for ours.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::outcome::{Connection, Outcome};
use crate::snapshot::listener::Direction;
use crate::snapshot::route::VirtualHost;

/// The question.
const DEBUG: HeaderName = HeaderName::from_static("x-trysail-debug");
/// The answer. Each proxy on the way that is asked adds one; the last is that of the proxy nearest to the client.
pub const DECISION: HeaderName = HeaderName::from_static("x-trysail-decision");

/// The pod's annotation.
pub const ANNOTATION: &str = "mesh.trysail.dev/debug-callers";
/// The variable that counts where there is no annotation.
pub const VARIABLE: &str = "TRYSAIL_DEBUG_CALLERS";

/// An entry that names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "debug caller {0:?}: write self (the pod's own app), a SPIFFE id such as spiffe://cluster.local/ns/ops/sa/probe, \
     where a * may stand at the end, or an address or network such as 10.0.0.0/8"
)]
pub struct BadCaller(String);

/// Who may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callers {
    /// The app in our own pod.
    own_app: bool,
    /// SPIFFE ids.
    exact: Vec<Box<str>>,
    /// What SPIFFE ids begin with.
    prefixes: Vec<Box<str>>,
    /// Addresses at the other end of the connection.
    networks: Vec<IpNet>,
    /// Our own address.
    address: Option<IpAddr>,
}

impl Callers {
    /// From a comma-separated list; `None` if it names nobody. `address` is the pod's.
    pub fn parse(list: &str, address: IpAddr) -> Result<Option<Self>, BadCaller> {
        let mut callers = Self { address: Some(address), ..Self::default() };
        let mut any = false;
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            any = true;
            let bad = || BadCaller(entry.to_owned());
            if entry == "self" {
                callers.own_app = true;
            } else if let Some(id) = entry.strip_prefix("spiffe://") {
                match entry.strip_suffix('*') {
                    // Everybody in any trust domain is nobody in particular.
                    Some(_) if !id.contains('/') => return Err(bad()),
                    Some(start) if !start.contains('*') => callers.prefixes.push(start.into()),
                    None if !entry.contains('*') => callers.exact.push(entry.into()),
                    _ => return Err(bad()),
                }
            } else {
                let network = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
                callers.networks.push(network.map_err(|_| bad())?);
            }
        }
        Ok(any.then_some(callers))
    }

    /// Whether the request asks and may. If it may not, the question is taken out.
    pub fn heed(&self, headers: &mut HeaderMap, connection: &Connection) -> bool {
        let Some(question) = headers.get(DEBUG) else { return false };
        let asks = question == "decision";
        if !self.includes(connection) {
            headers.remove(DEBUG);
            return false;
        }
        asks
    }

    fn includes(&self, connection: &Connection) -> bool {
        let remote = connection.remote.ip().to_canonical();
        // Only the app in the pod reaches the outbound listeners from an address of the pod's.
        let own = self.own_app
            && connection.direction == Direction::Outbound
            && (remote.is_loopback() || Some(remote) == self.address);
        own || self.networks.iter().any(|network| network.contains(&remote))
            || connection.peer_uri().is_some_and(|id| {
                self.exact.iter().any(|known| **known == **id)
                    || self.prefixes.iter().any(|start| id.starts_with(&**start))
            })
    }
}

/// What was decided, as one header's value.
pub(super) fn decision(proxy: &str, host: Option<&VirtualHost>, outcome: &Outcome) -> Option<HeaderValue> {
    let mut text = String::with_capacity(256);
    let mut say = |key: &str, value: &str| {
        if !value.is_empty() {
            let separator = if text.is_empty() { "" } else { "; " };
            // Writing to a string doesn't fail.
            let _ = write!(text, "{separator}{key}=\"{}\"", Quoted(value));
        }
    };
    say("proxy", proxy);
    say("listener", &outcome.connection.listener);
    say("virtual-host", host.map_or("", |host| &host.name));
    if let Some(route) = &outcome.route {
        say("route", &route.name);
        if let Some(origin) = &route.origin {
            say("virtual-service", &object(&origin.config));
            say("rule", &origin.rule);
        }
    }
    if let Some(cluster) = &outcome.cluster {
        say("cluster", &cluster.name);
        say("destination-rule", &cluster.origin().config.as_deref().map(object).unwrap_or_default());
    }
    if let Some(endpoint) = &outcome.endpoint {
        say("endpoint", &endpoint.address().to_string());
    }
    say("flags", &outcome.flags.to_string());
    let _ = write!(text, "; attempts={}", outcome.attempts);
    HeaderValue::try_from(text).ok()
}

/// `shop/reviews` of `/apis/networking.istio.io/v1/namespaces/shop/virtual-service/reviews`; else as it is.
fn object(path: &str) -> String {
    let words: Vec<&str> = path.split('/').collect();
    match words[..] {
        ["", "apis", _, _, "namespaces", namespace, _, name] => format!("{namespace}/{name}"),
        _ => path.to_owned(),
    }
}

/// Text between quotes: what can't stand there is a question mark.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '"' | '\\' => write!(out, "\\{letter}"),
            ' '..='~' => out.write_char(letter),
            _ => out.write_char('?'),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "10.0.0.1";

    fn callers(list: &str) -> Callers {
        Callers::parse(list, OWN.parse().unwrap()).unwrap().unwrap()
    }

    fn connection(remote: &str, direction: Direction, identity: Option<&str>) -> Connection {
        use crate::request::outcome::{PeerCertificate, TlsFacts};
        let peer = identity.map(|id| PeerCertificate { uri: Some(id.into()), ..PeerCertificate::default() });
        Connection {
            id: 1,
            direction,
            remote: format!("{remote}:5").parse().unwrap(),
            local: "10.0.0.2:80".parse().unwrap(),
            redirected: true,
            server_name: None,
            tls: peer.map(|peer| TlsFacts { peer: Some(peer.into()), ..TlsFacts::default() }),
            carries_http1: false,
            listener: "l".into(),
            chain: "c".into(),
        }
    }

    #[test]
    fn only_named_callers_are_included() {
        let ops = "spiffe://cluster.local/ns/ops/sa/probe";
        for (list, remote, direction, identity, expected) in [
            ("self", OWN, Direction::Outbound, None, true),
            ("self", "127.0.0.1", Direction::Outbound, None, true),
            ("self", OWN, Direction::Inbound, None, false),
            ("self", "10.9.9.9", Direction::Outbound, None, false),
            ("10.9.0.0/16", "10.9.9.9", Direction::Inbound, None, true),
            ("10.9.9.9", "10.9.9.8", Direction::Inbound, None, false),
            (ops, "10.9.9.9", Direction::Inbound, Some(ops), true),
            (ops, "10.9.9.9", Direction::Inbound, Some("spiffe://cluster.local/ns/ops/sa/probe2"), false),
            ("spiffe://cluster.local/ns/ops/*", "10.9.9.9", Direction::Inbound, Some(ops), true),
            ("spiffe://cluster.local/ns/ops/*, self", "10.9.9.9", Direction::Inbound, None, false),
        ] {
            let included = callers(list).includes(&connection(remote, direction, identity));
            assert_eq!(included, expected, "{list} {remote} {identity:?}");
        }
    }

    #[test]
    fn an_entry_that_names_nobody_is_told_and_an_empty_list_is_off() {
        for list in ["everybody", "spiffe://*", "spiffe://a/*/b", "10.0.0.0/33", "self, x"] {
            let error = Callers::parse(list, OWN.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains("debug caller") && error.contains("write self"), "{list}: {error}");
        }
        assert_eq!(Callers::parse(" , ", OWN.parse().unwrap()), Ok(None));
    }

    #[test]
    fn who_may_not_ask_does_not_ask_through_us_either() {
        let mut headers = HeaderMap::new();
        headers.insert(DEBUG, HeaderValue::from_static("decision"));
        assert!(!callers("self").heed(&mut headers, &connection("10.9.9.9", Direction::Inbound, None)));
        assert!(headers.is_empty());
        headers.insert(DEBUG, HeaderValue::from_static("decision"));
        assert!(callers("self").heed(&mut headers, &connection(OWN, Direction::Outbound, None)));
        assert!(headers.contains_key(DEBUG), "the next proxy decides for itself");
    }
}
