//! Route tables: from host to virtual host, from request to route, and what a route does.
//!
//! `config/` builds these from RouteConfigurations and VirtualHosts; `stage::route` asks them. A mesh has many: what few
//! routes have stands behind a pointer.

mod answer;
mod conditions;
mod filter;
mod forward;
mod retry;
mod table;
mod virtual_host;

use std::sync::Arc;

pub use self::{
    answer::{DirectResponse, Redirect},
    conditions::{Conditions, Fraction, is_grpc},
    filter::{Abort, Cors, Fault},
    forward::{
        Destination, Forward, GrpcTimeout, HashPolicy, HashSource, HostRewrite, Mirror, PathRewrite, Target,
        Weighted,
    },
    retry::{RetryOn, RetryPolicy},
    table::{BadRoutes, RouteTable, without_port},
    virtual_host::{RequireTls, VirtualHost},
};
use super::{headers::HeaderEdits, path::PathCondition};

/// Which object of the user's a route or chain comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The object: `/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews`.
    pub config: Arc<str>,
    /// The rule in it: its name or position.
    pub rule: Arc<str>,
}

/// Envoy's Route.
#[derive(Debug)]
pub struct Route {
    /// Its name, for the access log.
    pub name: Arc<str>,
    /// Its condition on the path.
    pub path: PathCondition,
    /// Its other conditions, if there are any.
    pub conditions: Option<Box<Conditions>>,
    /// What it does.
    pub action: Action,
    /// Edits of its requests.
    pub request_headers: HeaderEdits,
    /// Edits of its responses.
    pub response_headers: HeaderEdits,
    /// Faults of its own.
    pub fault: Option<Arc<Fault>>,
    /// CORS of its own.
    pub cors: Option<Arc<Cors>>,
    /// Where it comes from.
    pub origin: Option<Origin>,
    /// The name under which its answers are counted, if somebody wants that (`stat_prefix`).
    pub stat_name: Option<Arc<str>>,
}

impl Route {
    /// A route for every path, without edits.
    pub fn new(action: Action) -> Self {
        Self {
            name: Arc::default(),
            path: PathCondition::ANY,
            conditions: None,
            action,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            fault: None,
            cors: None,
            origin: None,
            stat_name: None,
        }
    }
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    /// Sends the request to a cluster.
    Forward(Box<Forward>),
    /// Answers with a redirect.
    Redirect(Box<Redirect>),
    /// Answers.
    Direct(Box<DirectResponse>),
}

#[cfg(test)]
mod tests;
