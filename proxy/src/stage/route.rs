//! From request to route: table, virtual host, route.

use std::sync::Arc;

use crate::snapshot::{
    RouteTable, Snapshot,
    http::RouteSource,
    matcher::RequestView,
    route::{Route, VirtualHost},
};

/// What the routing decided.
#[derive(Debug, Clone)]
pub struct Routed {
    /// The table.
    pub table: Arc<RouteTable>,
    /// The virtual host.
    pub host: Arc<VirtualHost>,
    /// The route.
    pub route: Arc<Route>,
}

/// The table that a listener's requests are routed by, if it is there.
pub fn table<'a>(source: &'a RouteSource, snapshot: &'a Snapshot) -> Option<&'a Arc<RouteTable>> {
    match source {
        RouteSource::Named(name) => snapshot.route_table(name),
        RouteSource::Inline(table) => Some(table),
    }
}

/// The virtual host of a request.
pub fn host<'a>(table: &'a RouteTable, request: &RequestView<'_>) -> Option<&'a Arc<VirtualHost>> {
    table.host(request.authority)
}

/// The route for a request. `chance` gives random numbers to routes that take a share of the requests.
pub fn find(
    table: &Arc<RouteTable>,
    request: &RequestView<'_>,
    chance: &mut dyn FnMut() -> u32,
) -> Option<Routed> {
    let host = table.host(request.authority)?;
    let route = host.route(request, chance)?;
    Some(Routed { table: table.clone(), host: host.clone(), route: route.clone() })
}
