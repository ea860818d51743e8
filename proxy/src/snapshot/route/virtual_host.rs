//! Virtual hosts: from a request to its route.

use std::sync::Arc;

use super::{Cors, Fault, Origin, Route, table::BadRoutes};
use crate::snapshot::{headers::HeaderEdits, matcher::RequestView, path::PathIndex};

/// Envoy's VirtualHost.
#[derive(Debug)]
pub struct VirtualHost {
    /// Its name, without the route table's.
    pub name: Arc<str>,
    /// The hosts it is for.
    pub domains: Box<[Arc<str>]>,
    /// Requests by plaintext are redirected to HTTPS.
    pub require_tls: RequireTls,
    /// Edits of its requests.
    pub request_headers: HeaderEdits,
    /// Edits of its responses.
    pub response_headers: HeaderEdits,
    /// Requests carry `x-envoy-attempt-count`.
    pub attempt_count_in_request: bool,
    /// Responses carry it.
    pub attempt_count_in_response: bool,
    /// CORS for routes that have none of their own.
    pub cors: Option<Arc<Cors>>,
    /// Faults for routes that have none of their own.
    pub fault: Option<Arc<Fault>>,
    /// Bytes of a request's body that may be kept for retries and mirrors. `None` is ours.
    pub buffer_limit: Option<u32>,
    /// Where it comes from.
    pub origin: Option<Origin>,
    routes: Box<[Arc<Route>]>,
    index: PathIndex,
}

impl VirtualHost {
    /// Compiles the routes, which are tried in order.
    pub fn new(
        name: impl Into<Arc<str>>,
        domains: Vec<Arc<str>>,
        routes: Vec<Arc<Route>>,
    ) -> Result<Self, BadRoutes> {
        let name = name.into();
        let index = PathIndex::new(routes.iter().map(|route| &route.path))
            .map_err(|source| BadRoutes::Regex { host: name.clone(), source })?;
        Ok(Self {
            name,
            domains: domains.into(),
            require_tls: RequireTls::No,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            attempt_count_in_request: false,
            attempt_count_in_response: false,
            cors: None,
            fault: None,
            buffer_limit: None,
            origin: None,
            routes: routes.into(),
            index,
        })
    }

    /// The routes in order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The first route whose conditions all hold.
    pub fn route(&self, request: &RequestView<'_>, chance: &mut dyn FnMut() -> u32) -> Option<&Arc<Route>> {
        let mut accept = |position: usize| {
            self.routes[position].conditions.as_deref().is_none_or(|all| all.match_all(request, chance))
        };
        let position = if request.method == "CONNECT" {
            self.index.first_connect(&mut accept)?
        } else {
            self.index.first(request.path, &mut accept)?
        };
        Some(&self.routes[position])
    }
}

/// Envoy's `TlsRequirementType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequireTls {
    /// Plaintext is fine.
    #[default]
    No,
    /// All plaintext requests are redirected.
    All,
    /// Plaintext requests from outside are redirected.
    ExternalOnly,
}
