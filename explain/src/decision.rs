//! The answer: what the request's way is, and why.

use serde::Serialize;

use crate::outcome::Outcome;

/// The way of one request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Who sends: `productpage-v1 (sidecar, namespace default)`.
    pub from: String,
    /// The request: `GET reviews:9080/x`.
    pub request: String,
    /// Path and query, as the proxy reads them.
    pub path: String,
    /// The service that is connected to, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSeen>,
    /// The listener that takes the connection.
    pub listener: Listener,
    /// The route configuration; none for bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<String>,
    /// The virtual host in it; none if no host fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_host: Option<VirtualHostSeen>,
    /// VirtualServices that could speak for the host, the one that does first.
    pub virtual_services: Vec<Considered>,
    /// Their rules in the order in which they are tried, up to the one that matches.
    pub rules: Vec<RuleSeen>,
    /// Rules after that one.
    pub not_reached: usize,
    /// What becomes of the request.
    pub outcome: Outcome,
    /// What else is worth knowing: delegates that are missing, rules that can never match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Decision {
    /// The rule that matched.
    pub fn matched(&self) -> Option<&RuleSeen> {
        self.rules.iter().find(|rule| matches!(rule.verdict, Verdict::Matched { .. }))
    }
}

/// The service that is connected to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSeen {
    /// Its full name.
    pub host: String,
    /// The namespace that declares it.
    pub namespace: String,
    /// The object that declares it: `Service reviews`.
    pub declared_by: String,
    /// How the host that was asked for names it: `short name`.
    pub named: String,
}

/// The listener that takes the connection.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// As `trysailctl proxy-config listener` has it.
    pub name: String,
    /// What the port is declared to speak: `HTTP`, `TCP`, `detected`.
    pub protocol: String,
    /// The Gateway and its server, on gateways: `istio-system/front, server 0 (http)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

/// The virtual host that a request's authority leads to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualHostSeen {
    /// As `trysailctl proxy-config route` has it.
    pub name: String,
    /// The name in it that the authority is.
    pub domain: String,
    /// What kind of name that is: `full name`, `short name`, `wildcard`.
    pub matched: String,
}

/// A VirtualService that could speak for the host.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Considered {
    /// `namespace/name`.
    pub name: String,
    /// Its host that fits.
    pub host: String,
    /// Whether its rules count.
    pub applies: bool,
    /// Why, in words.
    pub why: String,
}

/// A rule that was tried.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleSeen {
    /// The VirtualService that has it, delegates' rules counted to their root.
    pub virtual_service: String,
    /// Its place among the rules in effect, from 0.
    pub number: usize,
    /// Its name, joined with its root's if it is a delegate's; empty if it has none.
    pub name: String,
    /// The VirtualService that it was left to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegate: Option<String>,
    /// What was found.
    pub verdict: Verdict,
}

/// What trying a rule came to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "result")]
pub enum Verdict {
    /// All of a condition holds.
    #[serde(rename_all = "camelCase")]
    Matched {
        /// The name of the route in the proxy, which access logs show.
        route: String,
        /// What held: `path begins with /x`; empty if the rule takes everything.
        because: Vec<String>,
    },
    /// Of each condition, what failed first.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// In words, one for each condition.
        because: Vec<String>,
    },
}
