//! What becomes of a request.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// The end of a request's way.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Outcome {
    /// No rule takes it: 404.
    NotFound {
        /// What is missing.
        why: String,
    },
    /// The proxy answers with a redirect.
    Redirect {
        /// Status.
        status: u16,
        /// Where to.
        location: String,
        /// Which object asks for it.
        why: String,
    },
    /// The proxy answers.
    Answer {
        /// Status.
        status: u32,
        /// Body; bytes that are no text are replaced.
        body: String,
    },
    /// It is sent on.
    Forward(Box<Forward>),
    /// It goes where the app sent it, unseen by rules.
    PassThrough {
        /// Why.
        why: String,
    },
    /// It is refused with 502, or the connection is closed.
    Refused {
        /// Why.
        why: String,
    },
    /// Bytes are sent on.
    Bytes {
        /// To whom, by weight.
        targets: Vec<Target>,
    },
}

/// How a request is sent on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forward {
    /// Path and query, as the server sees them.
    pub path: String,
    /// Whether that is another path than the client's.
    pub path_rewritten: bool,
    /// Time for the whole answer; none is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// When it is tried again; none is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<RetriesSeen>,
    /// Faults on purpose, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Copies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Mirror>,
    /// To whom, by weight.
    pub targets: Vec<Target>,
}

/// When a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetriesSeen {
    /// Tries after the first.
    pub attempts: u32,
    /// Conditions, as Envoy names them; none are the mesh's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// Time for one try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try_timeout: Option<String>,
    /// Who says so: `the rule`, `the mesh`, `default`.
    pub from: String,
}

/// A copy of requests.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// To which cluster.
    pub cluster: String,
    /// How many of them, in percent.
    pub percent: f64,
}

/// One destination.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Subset; empty if the rule names none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subset: String,
    /// Relative weight. A single destination has 1.
    pub weight: u32,
    /// Share of the requests in percent.
    pub percent: f64,
    /// The cluster in the proxy.
    pub cluster: String,
    /// `Host` as the server sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// Why requests fail there, if they do: no service, no subset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The DestinationRule that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_rule: Option<RuleUsed>,
    /// What it, and the mesh, come to.
    pub policy: Policy,
    /// TLS towards the endpoints.
    pub tls: Tls,
    /// Who may answer.
    pub endpoints: Vec<EndpointSeen>,
}

/// A DestinationRule that counts, perhaps merged from several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleUsed {
    /// The objects, oldest first.
    pub objects: Vec<String>,
    /// The host in them that fits.
    pub host: String,
    /// Where it was found: `the client's namespace`, `the service's namespace`, `the root namespace`.
    pub found_in: String,
}

/// A traffic policy, block by block.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// How endpoints are picked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<Block>,
    /// Limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_pool: Option<Block>,
    /// When endpoints are ejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier_detection: Option<Block>,
    /// TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Block>,
}

/// One block of a policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Where it is written: `subset v2`, `port 9080`, `all subsets`, `the mesh`.
    pub from: String,
    /// As written.
    pub value: Value,
}

/// TLS towards endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// `mutual`, `plaintext`, `SIMPLE`, ...; `by endpoint` where that depends.
    pub mode: String,
    /// Who says so.
    pub why: String,
}

/// One endpoint.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSeen {
    /// Address and port; empty while it has none.
    pub address: String,
    /// Pod or WorkloadEntry.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workload: String,
    /// Region, zone, subzone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub locality: String,
    /// `ready`, `not ready`, `expected` (offline); against a cluster also what the sender's proxy thinks of it.
    pub health: String,
    /// Whether connections there are mutual TLS.
    pub mutual_tls: bool,
    /// What it demands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepts: Option<PeerPolicy>,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What a workload's port demands of its peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerPolicy {
    /// `STRICT`, `PERMISSIVE`, `DISABLE`.
    pub mode: String,
    /// The PeerAuthentication that says so; none is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}
