//! Listeners, and which filter chain takes a connection.
//!
//! `config/` builds [`Listener`]s and puts the whole set into [`Listeners`]; `listen/` asks which listener owns a
//! destination and which chain fits a connection. The order of the conditions is Envoy's.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    http::{AccessLog, HttpConnectionManager},
    tcp::TcpProxy,
};

/// Whose traffic a listener takes, as seen from the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Neither; gateways' listeners.
    #[default]
    Unspecified,
    /// To the workload.
    Inbound,
    /// From the workload.
    Outbound,
}

/// Whether a listener looks into the first bytes for a protocol.
#[derive(Debug, Clone, Default)]
pub struct Inspector {
    /// Destination ports on which it doesn't.
    pub disabled_ports: Vec<RangeInclusive<u16>>,
}

impl Inspector {
    /// Whether it looks at connections to `port`.
    pub fn applies_to(&self, port: u16) -> bool {
        !self.disabled_ports.iter().any(|range| range.contains(&port))
    }
}

/// Envoy's Listener.
#[derive(Debug)]
pub struct Listener {
    /// Its name.
    pub name: Arc<str>,
    /// The addresses it listens on or stands for. At least one.
    pub addresses: Vec<SocketAddr>,
    /// Whether it has sockets of its own. Without, connections come from a listener that hands them off.
    pub bind: bool,
    /// Each connection begins with a PROXY header that tells who the client is.
    pub proxy_protocol: bool,
    /// Connections were redirected here; their destination is the original one.
    pub original_destination: bool,
    /// Connections whose original destination another listener owns go there (`use_original_dst`).
    pub hand_off: bool,
    /// Whose traffic this is.
    pub direction: Direction,
    /// Looks for a TLS ClientHello.
    pub tls_inspector: Option<Inspector>,
    /// Looks for HTTP/1 and HTTP/2.
    pub http_inspector: Option<Inspector>,
    /// How long the first bytes are waited for. `None` is for ever.
    pub detection_timeout: Option<Duration>,
    /// When that time is over, go on without knowing. Otherwise the connection is closed.
    pub continue_on_timeout: bool,
    /// The chains.
    pub chains: FilterChains,
    /// Where connections that no chain takes are logged.
    pub access_logs: Vec<AccessLog>,
}

/// Envoy's FilterChain.
#[derive(Debug)]
pub struct FilterChain {
    /// Its name; empty where it has none.
    pub name: Arc<str>,
    /// The connections it is for.
    pub matcher: ChainMatch,
    /// TLS towards the client. `None` is plaintext.
    pub tls: Option<Arc<DownstreamTls>>,
    /// Time for the TLS handshake.
    pub transport_timeout: Option<Duration>,
    /// What is done with its connections.
    pub network: Network,
    /// A hash of what it was compiled from. A chain with the same name and fingerprint is the same chain, and its
    /// connections outlive an update of their listener.
    pub fingerprint: u64,
}

impl FilterChain {
    /// Whether `other` does the same.
    pub fn same(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || (self.name == other.name && self.fingerprint == other.fingerprint)
    }
}

/// What is done with a connection.
#[derive(Debug, Clone)]
pub enum Network {
    /// Requests are routed.
    Http(Arc<HttpConnectionManager>),
    /// Bytes are carried.
    Tcp(Arc<TcpProxy>),
}

/// The conditions of a chain. An empty list or `None` is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainMatch {
    /// The port that the client wanted.
    pub destination_port: Option<u16>,
    /// The address that the client wanted.
    pub prefix_ranges: Vec<IpNet>,
    /// The SNI: exact, or `*.example.com`. In lower case.
    pub server_names: Vec<Box<str>>,
    /// `tls` or `raw_buffer`.
    pub transport_protocol: Option<Transport>,
    /// ALPN as offered, or `http/1.1`, `http/1.0` and `h2c` as detected.
    pub application_protocols: Vec<Box<str>>,
    /// The client's address.
    pub source_ranges: Vec<IpNet>,
}

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TLS.
    Tls,
    /// Plaintext.
    RawBuffer,
}

/// TLS towards the client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DownstreamTls {
    /// Whether the client must, may or needn't show a certificate.
    pub client_certificate: ClientCertificate,
    /// The secret with our certificate: `default`, or `kubernetes://name` for a gateway's. With several, the one
    /// whose key type the client can use.
    pub certificates: Vec<Arc<str>>,
    /// The secret with the roots that the client's certificate must come from: `ROOTCA`, `kubernetes://name-cacert`.
    pub roots: Option<Arc<str>>,
    /// Subject alternative names of which the client's certificate must have one. Empty is any.
    pub subject_alt_names: Vec<NameMatch>,
    /// Fingerprints of which the client's certificate, or its key, must have one. Empty is any.
    pub fingerprints: Vec<Fingerprint>,
    /// The protocols that we speak, best first.
    pub alpn: Vec<Box<[u8]>>,
    /// The lowest version.
    pub min_version: TlsVersion,
    /// The highest version.
    pub max_version: TlsVersion,
    /// Suites of TLS 1.2 by OpenSSL's names. Empty is ours.
    pub cipher_suites: Vec<Box<str>>,
}

/// A SHA-256 that tells a certificate, or a key, from all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fingerprint {
    /// Of the certificate.
    Certificate([u8; 32]),
    /// Of its public key, with the key's kind.
    Key([u8; 32]),
}

/// Whether a client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ClientCertificate {
    /// Not asked for.
    #[default]
    None,
    /// Asked for and, if shown, verified.
    Optional,
    /// Without one the handshake fails.
    Required,
}

/// A version of TLS that we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// A condition on a subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NameMatch {
    /// The whole name.
    Exact(Box<str>),
    /// How it begins.
    Prefix(Box<str>),
    /// How it ends.
    Suffix(Box<str>),
}

/// What is known about a connection when its chain is chosen.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionView<'a> {
    /// The address and port that the client wanted.
    pub destination: SocketAddr,
    /// The client's address.
    pub source: IpAddr,
    /// The SNI, in lower case; empty if there was none.
    pub server_name: &'a str,
    /// TLS or plaintext.
    pub transport: Transport,
    /// ALPN as offered, or what was detected.
    pub protocols: &'a [Box<[u8]>],
}

/// A listener's chains, indexed by destination port.
#[derive(Debug, Default)]
pub struct FilterChains {
    chains: Vec<Arc<FilterChain>>,
    by_port: HashMap<u16, Vec<usize>>,
    any_port: Vec<usize>,
    default: Option<Arc<FilterChain>>,
}

impl FilterChains {
    /// Indexes `chains`. `default` takes what none of them takes.
    pub fn new(chains: Vec<Arc<FilterChain>>, default: Option<Arc<FilterChain>>) -> Self {
        let mut index = Self { default, ..Self::default() };
        for (position, chain) in chains.iter().enumerate() {
            match chain.matcher.destination_port {
                Some(port) => index.by_port.entry(port).or_default().push(position),
                None => index.any_port.push(position),
            }
        }
        index.chains = chains;
        index
    }

    /// All chains, the default last.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<FilterChain>> {
        self.chains.iter().chain(&self.default)
    }

    /// The chains among which a connection to `port` is decided, without the default.
    pub fn candidates(&self, port: u16) -> impl Iterator<Item = &Arc<FilterChain>> {
        self.by_port.get(&port).unwrap_or(&self.any_port).iter().map(|&position| &self.chains[position])
    }

    /// The chain for a connection. At each condition in turn the most specific chains win, and what was lost
    /// isn't taken up again: a chain for the exact port hides those for any port even if its SNI doesn't fit.
    pub fn find(&self, connection: &ConnectionView<'_>) -> Option<&Arc<FilterChain>> {
        let mut left: Vec<&Arc<FilterChain>> = self.candidates(connection.destination.port()).collect();
        keep_best(&mut left, |chain| ip_rank(&chain.matcher.prefix_ranges, connection.destination.ip()));
        keep_best(&mut left, |chain| name_rank(&chain.matcher.server_names, connection.server_name));
        keep_best(&mut left, |chain| match chain.matcher.transport_protocol {
            None => Some(0),
            Some(transport) => (transport == connection.transport).then_some(1),
        });
        keep_best(&mut left, |chain| {
            protocol_rank(&chain.matcher.application_protocols, connection.protocols)
        });
        keep_best(&mut left, |chain| ip_rank(&chain.matcher.source_ranges, connection.source));
        left.first().copied().or(self.default.as_ref())
    }
}

fn keep_best(left: &mut Vec<&Arc<FilterChain>>, rank: impl Fn(&FilterChain) -> Option<usize>) {
    let best = left.iter().filter_map(|chain| rank(chain)).max();
    left.retain(|chain| best.is_some() && rank(chain) == best);
}

fn ip_rank(ranges: &[IpNet], ip: IpAddr) -> Option<usize> {
    if ranges.is_empty() {
        return Some(0);
    }
    ranges.iter().filter(|range| range.contains(&ip)).map(|range| 1 + range.prefix_len() as usize).max()
}

fn name_rank(names: &[Box<str>], name: &str) -> Option<usize> {
    if names.is_empty() {
        return Some(0);
    }
    names
        .iter()
        .filter_map(|want| match want.strip_prefix('*') {
            None => (**want == *name).then_some(usize::MAX),
            // `*.example.com` takes any depth of names below, longest suffix first.
            Some(suffix) => (name.len() > suffix.len() && name.ends_with(suffix)).then_some(suffix.len()),
        })
        .max()
}

fn protocol_rank(wanted: &[Box<str>], offered: &[Box<[u8]>]) -> Option<usize> {
    if wanted.is_empty() {
        return Some(0);
    }
    // The client's order decides between chains.
    let first = offered.iter().position(|offer| wanted.iter().any(|want| want.as_bytes() == &**offer))?;
    Some(usize::MAX - first)
}

/// All listeners, and how to find the owner of a destination.
#[derive(Debug, Default)]
pub struct Listeners {
    all: Vec<Arc<Listener>>,
    by_address: HashMap<SocketAddr, Arc<Listener>>,
    by_port: HashMap<u16, Arc<Listener>>,
}

impl Listeners {
    /// Indexes `all`.
    pub fn new(all: Vec<Arc<Listener>>) -> Self {
        let mut index = Self::default();
        for listener in &all {
            for address in &listener.addresses {
                if address.ip().is_unspecified() {
                    index.by_port.insert(address.port(), listener.clone());
                } else {
                    index.by_address.insert(*address, listener.clone());
                }
            }
        }
        index.all = all;
        index
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.all.iter()
    }

    /// Those that have sockets.
    pub fn bound(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.all.iter().filter(|listener| listener.bind)
    }

    /// The listener of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Listener>> {
        self.all.iter().find(|listener| &*listener.name == name)
    }

    /// The owner of `destination`: the listener with the exact address, else the one for its port on any address.
    pub fn owner(&self, destination: SocketAddr) -> Option<&Arc<Listener>> {
        self.by_address.get(&destination).or_else(|| self.by_port.get(&destination.port()))
    }

    /// The listener that has a socket on exactly this address.
    pub fn bound_to(&self, address: SocketAddr) -> Option<&Arc<Listener>> {
        self.bound().find(|listener| listener.addresses.contains(&address))
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
