//! The labels of Istio's metrics, in Istio's order and with its fallbacks.

use std::fmt::Write as _;

use super::{Observe, at_destination, workload::Peer};
use crate::{
    request::outcome::{Flags, Outcome},
    snapshot::Cluster,
};

const UNKNOWN: &str = "unknown";

/// What a series is about, apart from the workload at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Answer {
    /// The status; 0 if there was none.
    pub(super) code: u16,
    /// gRPC's status plus one; 0 if there was none.
    pub(super) grpc_status: u32,
    /// Whether the request is gRPC.
    pub(super) grpc: bool,
    /// The response flags.
    pub(super) flags: Flags,
}

/// Which service the client wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Service<'a> {
    host: &'a str,
    name: &'a str,
    namespace: &'a str,
}

impl<'a> Service<'a> {
    fn of(outcome: &'a Outcome, host: &'a str) -> Self {
        let mut service = Self { host, name: host, namespace: "" };
        match outcome.route.as_ref().map(|route| &*route.name) {
            Some("block_all") => service.name = "BlackHoleCluster",
            Some("allow_any") => service.name = "PassthroughCluster",
            _ => service.follow(outcome.cluster.as_deref()),
        }
        service
    }

    fn follow(&mut self, cluster: Option<&'a Cluster>) {
        let Some(cluster) = cluster else { return };
        if is_catch_all(&cluster.name) {
            self.name = &cluster.name;
        } else if let Some(service) = cluster.origin().services.first() {
            self.host = &service.host;
            self.namespace = &service.namespace;
            self.name = match &*service.name {
                "" => service.host.split('.').next().unwrap_or_default(),
                name => name,
            };
        }
    }
}

fn is_catch_all(cluster: &str) -> bool {
    matches!(
        cluster,
        "BlackHoleCluster"
            | "PassthroughCluster"
            | "InboundPassthroughCluster"
            | "InboundPassthroughClusterIpv4"
            | "InboundPassthroughClusterIpv6"
    )
}

/// The request's own host, which names the service where nothing better does. Only for the workload's own requests:
/// those from outside could make any number of names.
pub(super) fn fallback_host(outcome: &Outcome) -> Option<&str> {
    let outbound = outcome.connection.direction == crate::snapshot::listener::Direction::Outbound;
    let request = outcome.request.as_ref().filter(|_| outbound)?;
    let named = outcome.cluster.as_ref().is_some_and(|cluster| !cluster.origin().services.is_empty());
    (!named).then(|| request.authority.as_str())
}

/// The text of the labels for a request (with an answer) or a TCP connection (without). `host` names the service where
/// nothing better does.
pub(super) fn of(
    observe: &Observe,
    outcome: &Outcome,
    peer: Option<&Peer>,
    host: &str,
    answer: Option<Answer>,
) -> String {
    let at_destination = at_destination(outcome.connection.direction);
    let service = Service::of(outcome, host);
    let principals = Principals::of(outcome);
    let namespace = peer_namespace(principals.peer, peer);
    let mut labels = Labels(String::with_capacity(1024));
    labels.put("reporter", if at_destination { "destination" } else { "source" });
    let own = &observe.local.workload;
    let local = End { workload: own, namespace: &own.namespace, principal: principals.local, local: true };
    let nobody = Peer::default();
    let remote =
        End { workload: peer.unwrap_or(&nobody), namespace, principal: principals.peer, local: false };
    let (source, destination) = if at_destination { (&remote, &local) } else { (&local, &remote) };
    labels.end("source", source);
    labels.end("destination", destination);
    let canonical = if at_destination { &*own.canonical_name } else { "" };
    labels.put("destination_service", first([service.host, canonical]));
    labels.put("destination_service_name", first([service.name, canonical]));
    let service_namespace =
        if at_destination { &*own.namespace } else { first([service.namespace, namespace]) };
    labels.put("destination_service_namespace", service_namespace);
    labels.answer(answer, outcome.flags);
    labels.put(
        "connection_security_policy",
        match at_destination {
            false => UNKNOWN,
            true if !principals.peer.is_empty() && !principals.local.is_empty() => "mutual_tls",
            true => "none",
        },
    );
    labels.0
}

/// The labels of requests whose series would be one too many.
pub(super) fn of_overflow(at_destination: bool, answer: Option<Answer>) -> String {
    let mut labels = Labels(String::with_capacity(512));
    labels.put("reporter", if at_destination { "destination" } else { "source" });
    let nobody = Peer::default();
    let end = End { workload: &nobody, namespace: "", principal: "", local: false };
    labels.end("source", &end);
    labels.end("destination", &end);
    for name in ["destination_service", "destination_service_name", "destination_service_namespace"] {
        labels.put(name, "");
    }
    labels.answer(answer, Flags::NONE);
    labels.put("connection_security_policy", UNKNOWN);
    labels.0
}

/// One end of a request.
struct End<'a> {
    workload: &'a Peer,
    namespace: &'a str,
    principal: &'a str,
    /// Ours, of which an absent revision isn't `latest`.
    local: bool,
}

/// The SPIFFE identities of both ends, as the connection between the proxies proved them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Principals<'a> {
    pub(super) peer: &'a str,
    pub(super) local: &'a str,
}

impl<'a> Principals<'a> {
    pub(super) fn of(outcome: &'a Outcome) -> Self {
        let connection = &outcome.connection;
        if at_destination(connection.direction) {
            return Self {
                peer: connection.peer_uri().map_or("", |uri| uri),
                local: connection.tls.as_ref().and_then(|tls| tls.local_uri.as_deref()).unwrap_or_default(),
            };
        }
        let link = outcome.link.as_ref().filter(|link| link.tls);
        Self {
            peer: link.and_then(|link| link.peer.as_deref()).unwrap_or_default(),
            local: link.and_then(|link| link.local_uri.as_deref()).unwrap_or_default(),
        }
    }
}

/// A certificate's word on the namespace counts more than the workload's own.
fn peer_namespace<'a>(principal: &'a str, peer: Option<&'a Peer>) -> &'a str {
    let in_principal =
        principal.split_once("/ns/").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    match in_principal {
        Some(namespace) if !namespace.is_empty() => namespace,
        _ => peer.map_or("", |peer| &peer.namespace),
    }
}

fn first<const N: usize>(texts: [&str; N]) -> &str {
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

struct Labels(String);

impl Labels {
    /// An empty value is `unknown`.
    fn put(&mut self, name: &str, value: &str) {
        self.put_raw(name, if value.is_empty() { UNKNOWN } else { value });
    }

    fn put_raw(&mut self, name: &str, value: &str) {
        let out = &mut self.0;
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        for letter in value.chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                letter => out.push(letter),
            }
        }
        out.push('"');
    }

    fn end(&mut self, side: &str, end: &End<'_>) {
        let mut put = |name: &str, value: &str| {
            let mut whole = String::with_capacity(40);
            // Writing to a string doesn't fail.
            let _ = write!(whole, "{side}_{name}");
            self.put(&whole, value);
        };
        let workload = end.workload;
        put("workload", &workload.workload);
        put("canonical_service", &workload.canonical_name);
        let revision = match &*workload.canonical_revision {
            "" if !end.local => "latest",
            revision => revision,
        };
        put("canonical_revision", revision);
        put("workload_namespace", end.namespace);
        put("principal", end.principal);
        put("app", &workload.app);
        put("version", &workload.version);
        put("cluster", &workload.cluster);
    }

    fn answer(&mut self, answer: Option<Answer>, flags: Flags) {
        let Some(answer) = answer else {
            self.put("request_protocol", "tcp");
            self.put_raw("response_flags", &flags.to_string());
            return;
        };
        self.put("request_protocol", if answer.grpc { "grpc" } else { "http" });
        self.put_raw("response_code", &answer.code.to_string());
        let status = match (answer.grpc, answer.grpc_status) {
            (true, status) if status > 0 => (status - 1).to_string(),
            _ => String::new(),
        };
        self.put_raw("grpc_response_status", &status);
        self.put_raw("response_flags", &answer.flags.to_string());
    }
}
