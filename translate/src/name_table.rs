//! What names mean to the apps of a proxy that resolves them: each host with an address, a resource of its own.
//!
//! Hosts without an address of their own are not told: their names are asked of the cluster's DNS, which knows the pods of
//! headless services.

use std::sync::Arc;

use model::Registry;
use xds::{NameTable, ResourceType};

use crate::context::Context;
use crate::resource::Resource;

/// Whether the proxy answers its app's questions for names: a sidecar of ours that is told to.
pub(crate) fn is_wanted(context: &Context<'_>) -> bool {
    context.view.dns_capture && !context.is_gateway() && !context.is_envoy()
}

/// What a host means, for a proxy that wants to know. Most views agree on it.
pub(crate) fn of_host(context: &Context<'_>, host: &str) -> Option<Arc<Resource>> {
    let service = context.scope.service(host).filter(|service| context.scope.sees(service, None))?;
    let addresses: Vec<_> = context.view.single_addresses(service).map(|net| net.addr()).collect();
    if addresses.is_empty() {
        return None;
    }
    let mut inputs = context.inputs();
    inputs.object(service);
    let resource = context.memo.resource(ResourceType::NameTable, inputs, || {
        let registry = match service.registry {
            Registry::Kubernetes => "Kubernetes",
            Registry::ServiceEntry => "External",
        };
        let host = &service.key.host;
        let name = host.to_ascii_lowercase();
        Resource::of(host, &NameTable::of(&name, addresses, registry))
    });
    Some(resource)
}
