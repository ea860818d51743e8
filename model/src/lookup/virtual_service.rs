//! Which VirtualServices speak for a host.

use std::sync::Arc;

use super::Scope;
use crate::config::VirtualService;
use crate::mesh::Mesh;
use crate::value::by_host;

impl Mesh {
    /// VirtualServices for sidecars that may speak for a host, best first: the most specific host wins, then the
    /// oldest object. The first one that has rules for the proxy counts; they are not merged.
    pub fn virtual_services_for<'a>(
        &'a self,
        host: &'a str,
        scope: Scope<'a>,
    ) -> impl Iterator<Item = &'a Arc<VirtualService>> {
        by_host(&self.mesh_routes, host)
            .flat_map(|list| list.iter())
            .filter(move |service| scope.sees_routes(service))
    }
}
